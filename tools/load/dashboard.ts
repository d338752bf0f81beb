import { readFile } from 'node:fs/promises'
import type { Panel } from '../lib/plot.ts'
import { type Line, type Prometheus, type Range, SCRAPE_S } from './prometheus.ts'

/** A rate needs a few scrapes. */
const RATE_INTERVAL = `${SCRAPE_S * 5}s`

/** Pixels of a unit of Grafana's grid, and of what a panel's axes and title need. */
const COLUMN_WIDTH = 60
const ROW_HEIGHT = 30
const MARGIN = 80

/** How values of these Grafana units are shown; all others are shown unchanged. */
const UNITS: Readonly<Record<string, { readonly unit: string; readonly scale: number }>> = {
  s: { unit: 'ms', scale: 1000 },
  reqps: { unit: 'per second', scale: 1 },
  cps: { unit: 'per second', scale: 1 },
  percentunit: { unit: '%', scale: 100 },
  bytes: { unit: 'MiB', scale: 1 / 2 ** 20 },
}

/** The used part of a Grafana dashboard. */
interface Dashboard {
  readonly title: string
  readonly panels: readonly {
    readonly type: string
    readonly title: string
    readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>
    readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[]
    readonly fieldConfig?: { readonly defaults?: { readonly unit?: string } }
  }[]
}

/** Returns a dashboard's panels with Prometheus' data, row by row, without empty panels. */
export async function dashboardRows(
  name: string,
  { prometheus, range, job }: { prometheus: Prometheus; range: Range; job: string },
): Promise<{ title: string; rows: Panel[][] }> {
  const file = new URL(`../../grafana/dashboards/${name}.json`, import.meta.url)
  const dashboard = JSON.parse(await readFile(file, 'utf8')) as Dashboard
  const shown = dashboard.panels.filter(({ type }) => type === 'timeseries' || type === 'stat')
  const panels = await Promise.all(
    shown.map(async ({ type, title, gridPos: { x, y, w, h }, targets = [], fieldConfig }) => {
      const { unit, scale } = UNITS[fieldConfig?.defaults?.unit ?? ''] ?? { unit: '', scale: 1 }
      const series = await Promise.all(
        targets.map(async ({ expr, legendFormat = '' }) => {
          const lines = await prometheus.query(withValues(expr, job), range)
          return lines.map(({ labels, points }) => ({
            name: legend(legendFormat, labels),
            points: points.map(([at, value]) => [at - range.from, Number.isFinite(value) ? value * scale : null]),
          }))
        }),
      )
      const size = { width: w * COLUMN_WIDTH - MARGIN, height: h * ROW_HEIGHT - MARGIN }
      return { x, y, panel: { title, unit, series: series.flat(), isStat: type === 'stat', ...size } }
    }),
  )
  const withData = panels.filter(({ panel }) => panel.series.length > 0)
  const rows = [...Map.groupBy(withData, ({ y }) => y)]
    .toSorted(([a], [b]) => a - b)
    .map(([, row]) => row.toSorted((a, b) => a.x - b.x).map(({ panel }) => panel))
  return { title: dashboard.title, rows }
}

/** Replaces the variables of an expression as Grafana does. */
export function withValues(expression: string, job: string): string {
  return expression.replaceAll(/\$(\w+)/g, (_, variable: string) => {
    if (variable === '__rate_interval' || variable === '__interval') return RATE_INTERVAL
    return variable === 'job' ? job : '.*'
  })
}

function legend(format: string, labels: Line['labels']): string {
  return format.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, name: string) => labels[name] ?? '')
}
