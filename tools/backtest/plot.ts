import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Failure } from '../lib/options.ts'
import { drawSvg, type Panel, toPng } from '../lib/plot.ts'
import type { LabelWindow } from './labels.ts'
import type { KeyPoints, PlotPoint } from './plot-points.ts'

const WIDTH = 1500
const HEIGHT = 240

/** The value axis extends beyond the values by this share of their range. */
const MARGIN = 0.15

const COLOURS = { value: '#1f4e79', range: '#b9d3ea', label: '#f5c84c', flagged: '#e08214', alert: '#c51b1b' } as const

interface Plot {
  readonly title: string
  readonly panels: readonly KeyPoints[]
  readonly windows: readonly LabelWindow[]
}

/** Writes the plot as PNG, or as a self-contained HTML page, depending on the file name. */
export async function writePlot(path: string, { title, panels, windows }: Plot): Promise<void> {
  const rows = panels.map(panel => [panelOf(panel, windows)])
  const svg = await drawSvg({ title, xTitle: 'time (UTC)', isTime: true, rows })
  const content = path.endsWith('.png') ? toPng(svg) : toPage(title, svg)
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content)
  } catch (error) {
    throw new Failure(`cannot write the plot to ${path}`, { cause: error })
  }
}

/** Returns the panel of one key, with its labelled windows. */
export function panelOf({ title, points }: KeyPoints, windows: readonly LabelWindow[]): Panel {
  const low = points.reduce((least, { value }) => Math.min(least, value), Number.POSITIVE_INFINITY)
  const high = points.reduce((greatest, { value }) => Math.max(greatest, value), Number.NEGATIVE_INFINITY)
  const margin = MARGIN * (high - low || Math.abs(high) || 1)
  const domain = [low - margin, high + margin] as const
  const clamp = (value: number | null): number | null =>
    value === null ? null : Math.min(domain[1], Math.max(domain[0], value))
  const labels = windows.map(({ start, end }) => [start, end])
  const labelled = { name: 'labelled', style: 'span', colour: COLOURS.label, points: labels } as const
  const range = points.map(point => [point.timestamp, clamp(point.low), clamp(point.high)])
  const values = points.map(({ timestamp, value }) => [timestamp, value])
  const flagged = points.filter(({ isFlagged }) => isFlagged).map(({ timestamp, value }) => [timestamp, value])
  const opened = points.filter(({ isOpened }) => isOpened).map(({ timestamp }) => [timestamp])
  return {
    title,
    unit: '',
    width: WIDTH,
    height: HEIGHT,
    domain,
    series: [
      ...(labels.length > 0 ? [labelled] : []),
      { name: 'alert', style: 'span', colour: COLOURS.alert, points: alertSpans(points) },
      { name: 'normal range', style: 'band', colour: COLOURS.range, points: range },
      { name: 'value', colour: COLOURS.value, points: values },
      { name: 'flagged', style: 'dots', colour: COLOURS.flagged, points: flagged },
      { name: 'alert opened', style: 'mark', colour: COLOURS.alert, points: opened },
    ],
  }
}

/** Returns when alerts were firing. An alert that was not resolved lasts to the end. */
function alertSpans(points: readonly PlotPoint[]): [begin: number, end: number][] {
  const spans: [number, number][] = []
  let openedAt: number | undefined
  for (const { timestamp, isOpened, isResolved } of points) {
    if (isResolved && openedAt !== undefined) {
      spans.push([openedAt, timestamp])
      openedAt = undefined
    }
    if (isOpened) openedAt = timestamp
  }
  if (openedAt !== undefined) spans.push([openedAt, points.at(-1)?.timestamp ?? openedAt])
  return spans
}

function toPage(title: string, svg: string): string {
  const text = title.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${text}</title>
<style>body { margin: 0 } svg { max-width: 100%; height: auto }</style>
${svg}
</html>
`
}
