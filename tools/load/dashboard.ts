import { readFile } from 'node:fs/promises'
import type { Panel } from './pictures.ts'
import { type Line, type Prometheus, type Range, SCRAPE_S } from './prometheus.ts'

/** A rate needs a few looks to be one. */
const RATE_INTERVAL = `${SCRAPE_S * 5}s`

/** How a value is shown that Grafana is told to have this unit; whatever else is shown as it is. */
const UNITS: Readonly<Record<string, { readonly unit: string; readonly scale: number }>> = {
  s: { unit: 'ms', scale: 1000 },
  reqps: { unit: 'per second', scale: 1 },
  cps: { unit: 'per second', scale: 1 },
  percentunit: { unit: '%', scale: 100 },
  bytes: { unit: 'MiB', scale: 1 / 2 ** 20 },
}

/** What is used of a dashboard of Grafana. */
interface Dashboard {
  readonly title: string
  readonly panels: readonly DashboardPanel[]
}

interface DashboardPanel {
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[]
  readonly fieldConfig?: { readonly defaults?: { readonly unit?: string } }
}

/** A dashboard as a Prometheus has the data for it: its own panels, where they are, by their own expressions. */
export async function dashboardPanels(
  name: string,
  { prometheus, range, job }: { prometheus: Prometheus; range: Range; job: string },
): Promise<{ title: string; panels: Panel[] }> {
  const file = new URL(`../../grafana/dashboards/${name}.json`, import.meta.url)
  const dashboard = JSON.parse(await readFile(file, 'utf8')) as Dashboard
  const wanted = dashboard.panels.filter(({ type }) => type === 'timeseries' || type === 'stat')
  const panels = await Promise.all(
    wanted.map(async ({ type, title, gridPos: { x, y, w, h }, targets = [], fieldConfig }) => {
      const { unit, scale } = UNITS[fieldConfig?.defaults?.unit ?? ''] ?? { unit: '', scale: 1 }
      const answers = await Promise.all(
        targets.map(async ({ expr, legendFormat = '' }) => {
          const lines = await prometheus.query(withValues(expr, job), range)
          return lines.map(({ labels, points }) => ({
            name: legend(legendFormat, labels),
            points: points.map(([at, value]) => [at - range.from, Number.isFinite(value) ? value * scale : null]),
          }))
        }),
      )
      const place = [x, y, w, h] as const
      const series = answers.flat()
      return type === 'stat' ? { title, unit, place, series, isStat: true } : { title, unit, place, series }
    }),
  )
  // Of a metric that nobody has there is nothing to see; Grafana would say "No data".
  return { title: dashboard.title, panels: panels.filter(({ series }) => series.length > 0) }
}

/** The expression as Grafana would send it. */
export function withValues(expression: string, job: string): string {
  return expression.replaceAll(/\$(\w+)/g, (_, variable: string) => {
    if (variable === '__rate_interval' || variable === '__interval') return RATE_INTERVAL
    return variable === 'job' ? job : '.*'
  })
}

function legend(format: string, labels: Line['labels']): string {
  return format.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, name: string) => labels[name] ?? '')
}
