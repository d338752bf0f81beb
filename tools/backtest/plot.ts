import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Resvg } from '@resvg/resvg-js'
import * as vega from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { BacktestFailure } from './failure.ts'
import type { LabelWindow } from './labels.ts'
import type { Panel } from './plot-points.ts'

const WIDTH = 1500
const HEIGHT = 240
const FONT = 'DejaVu Sans'

/** How far beyond the values the picture reaches, as a share of their range: a band may be far wider, and is cut off. */
const MARGIN = 0.15

const COLOURS = { value: '#1f4e79', band: '#b9d3ea', label: '#f5c84c', flagged: '#e08214', alert: '#c51b1b' } as const

export interface Plot {
  readonly title: string
  readonly panels: readonly Panel[]
  readonly windows: readonly LabelWindow[]
}

/** Writes the plot as a PNG, or as an HTML page that needs nothing else, by the name's ending. */
export async function writePlot(path: string, plot: Plot): Promise<void> {
  const svg = await drawPlot(plot)
  const content = path.endsWith('.png') ? toPng(svg) : toPage(plot.title, svg)
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content)
  } catch (error) {
    throw new BacktestFailure(`cannot write the plot to ${path}`, { cause: error })
  }
}

/** The plot as SVG: of each panel the value, its band, what was labelled, what was flagged, and from where to where an alert was on. */
export async function drawPlot({ title, panels, windows }: Plot): Promise<string> {
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: { text: title, subtitle: legend(windows.length > 0), anchor: 'start' },
    config: { font: FONT, axis: { gridOpacity: 0.4 }, view: { stroke: '#ccc' } },
    background: 'white',
    padding: 12,
    vconcat: panels.map(panel => panelSpec(panel, windows)),
  } as TopLevelSpec
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' })
  return await view.toSVG()
}

function legend(hasLabels: boolean): string {
  const labels = hasLabels ? 'yellow: labelled; ' : ''
  return `line: value; blue: band; ${labels}orange dots: flagged; red: an alert, from its opening to its resolution`
}

function panelSpec({ title, points }: Panel, windows: readonly LabelWindow[]): object {
  const values = points.map(({ value }) => value)
  const least = values.reduce((low, value) => Math.min(low, value), Number.POSITIVE_INFINITY)
  const greatest = values.reduce((high, value) => Math.max(high, value), Number.NEGATIVE_INFINITY)
  const margin = MARGIN * (greatest - least || Math.abs(greatest) || 1)
  const domain = [least - margin, greatest + margin]
  const clamp = (value: number | null): number | null =>
    value === null ? null : Math.min(domain[1] as number, Math.max(domain[0] as number, value))

  const x = { field: 't', type: 'temporal', scale: { type: 'utc' }, axis: { title: null } }
  const y = (field: string) => ({
    field,
    type: 'quantitative',
    scale: { domain, zero: false, nice: false },
    title: null,
  })
  const data = points.map(({ timestamp, value, low, high, isFlagged }) => ({
    ...{ t: timestamp, value, low: clamp(low), high: clamp(high), isFlagged },
  }))
  return {
    width: WIDTH,
    height: HEIGHT,
    title: { text: title, anchor: 'start', fontWeight: 'normal' },
    data: { values: data },
    layer: [
      band(
        windows.map(({ start, end }) => ({ t: start, end })),
        { color: COLOURS.label, opacity: 0.35 },
        x,
      ),
      band(alertSpans(points), { color: COLOURS.alert, opacity: 0.18 }, x),
      {
        mark: { type: 'area', color: COLOURS.band, opacity: 0.6, clip: true, interpolate: 'step' },
        encoding: { x, y: y('low'), y2: { field: 'high' } },
      },
      { mark: { type: 'line', color: COLOURS.value, strokeWidth: 1, clip: true }, encoding: { x, y: y('value') } },
      {
        transform: [{ filter: 'datum.isFlagged' }],
        mark: { type: 'point', filled: true, color: COLOURS.flagged, size: 28, opacity: 1, clip: true },
        encoding: { x, y: y('value') },
      },
      {
        data: { values: points.filter(({ isOpened }) => isOpened).map(({ timestamp }) => ({ t: timestamp })) },
        mark: { type: 'rule', color: COLOURS.alert, strokeWidth: 1.5 },
        encoding: { x },
      },
    ],
  }
}

function band(values: readonly object[], mark: object, x: object): object {
  return {
    data: { values },
    mark: { type: 'rect', clip: true, ...mark },
    encoding: { x, x2: { field: 'end' } },
  }
}

/** From where to where an alert was on; one that was not resolved goes on to the end. */
function alertSpans(points: readonly { timestamp: number; isOpened: boolean; isResolved: boolean }[]): object[] {
  const spans: { t: number; end: number }[] = []
  let openedAt: number | undefined
  for (const { timestamp, isOpened, isResolved } of points) {
    if (isResolved && openedAt !== undefined) {
      spans.push({ t: openedAt, end: timestamp })
      openedAt = undefined
    }
    if (isOpened) openedAt = timestamp
  }
  if (openedAt !== undefined) spans.push({ t: openedAt, end: points.at(-1)?.timestamp ?? openedAt })
  return spans
}

function toPng(svg: string): Buffer {
  const fontFiles = ['DejaVuSans', 'DejaVuSans-Bold'].map(name =>
    fileURLToPath(import.meta.resolve(`dejavu-fonts-ttf/ttf/${name}.ttf`)),
  )
  const font = { fontFiles, loadSystemFonts: false, defaultFontFamily: FONT, sansSerifFamily: FONT }
  return new Resvg(svg, { font }).render().asPng()
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
