import { fileURLToPath } from 'node:url'
import { Resvg } from '@resvg/resvg-js'
import { parse, resetSVGDefIds, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'

const FONT = 'DejaVu Sans'
/** The number format of axes, as of d3-format: without trailing zeros. */
const NUMBER = ',~r'
const COLOURS = ['#1f6feb', '#d9480f', '#2b8a3e', '#862e9c', '#c92a2a', '#495057']
const DEFAULT_COLOURS: Partial<Record<Style, string>> = { band: '#adb5bd', dots: '#c92a2a' }
const RULE_COLOUR = '#868e96'

/** The space for the labels of a value axis, so that panels below each other are aligned. */
const Y_AXIS_WIDTH = 36

/** A legend with more entries would be larger than the panel. */
const LEGEND_MAX = 6
const LETTER_WIDTH = 6

/** line, step, dots: [x, y]; band: [x, low, high]; span, a range of x: [begin, end]; mark: [x]. */
export type Style = 'line' | 'step' | 'dots' | 'band' | 'span' | 'mark'

export interface Series {
  readonly name: string
  readonly style?: Style
  readonly colour?: string
  /** A null interrupts a line. */
  readonly points: readonly (readonly (number | null)[])[]
}

export interface Panel {
  readonly title: string
  readonly unit: string
  readonly series: readonly Series[]
  /** Horizontal dashed lines. */
  readonly rules?: readonly { readonly name: string; readonly y: number }[]
  /** Whether the value axis begins at zero; true if not given. */
  readonly isFromZero?: boolean
  /** The ends of the value axis. Without it the values decide. */
  readonly domain?: readonly [low: number, high: number]
  /** The number format of the value axis, as of d3-format. */
  readonly format?: string
  /** Shows only the newest value, as a number. */
  readonly isStat?: boolean
  readonly width: number
  readonly height: number
}

export interface Figure {
  readonly title: string
  readonly subtitle?: string
  readonly xTitle: string
  /** Whether x is Unix milliseconds. */
  readonly isTime?: boolean
  readonly rows: readonly (readonly Panel[])[]
}

export async function drawSvg(figure: Figure): Promise<string> {
  const { title, subtitle, xTitle, isTime = false, rows } = figure
  const resolve = { scale: { color: 'independent' } }
  const { spec } = compile({
    title: { text: title, anchor: 'start', ...(subtitle === undefined ? {} : { subtitle }) },
    config: { font: FONT, axis: { gridOpacity: 0.4, titleFontWeight: 'normal' }, view: { stroke: '#ddd' } },
    background: 'white',
    padding: 12,
    vconcat: rows.map((panels, i) => {
      const axis = { xTitle: i === rows.length - 1 ? xTitle : null, isTime }
      return {
        hconcat: panels.map(panel => (panel.isStat === true ? statSpec(panel) : panelSpec(panel, axis))),
        resolve,
      }
    }),
    resolve,
  } as unknown as TopLevelSpec)
  const view = new View(parse(spec), { renderer: 'none' })
  try {
    // Otherwise ids count on from picture to picture, and equal figures give different files.
    resetSVGDefIds()
    return withTitle(await view.toSVG(), title)
  } finally {
    view.finalize()
  }
}

export function toPng(svg: string): Buffer {
  const fonts = ['DejaVuSans', 'DejaVuSans-Bold'].map(name => `dejavu-fonts-ttf/ttf/${name}.ttf`)
  const fontFiles = fonts.map(file => fileURLToPath(import.meta.resolve(file)))
  const font = { fontFiles, loadSystemFonts: false, defaultFontFamily: FONT, sansSerifFamily: FONT }
  return new Resvg(svg, { font }).render().asPng()
}

function panelSpec(panel: Panel, { xTitle, isTime }: { xTitle: string | null; isTime: boolean }): object {
  const { title, unit, width, height, series, rules = [], isFromZero = true, domain, format = NUMBER } = panel
  const colours = coloursOf(series)
  const names = [...colours.keys()]
  const scale = domain === undefined ? { zero: isFromZero } : { domain, nice: false, zero: false }
  const tickMinStep = format === 'd' ? 1 : 0
  const channels: Channels = {
    x: isTime
      ? { type: 'temporal', axis: { title: xTitle }, scale: { type: 'utc' } }
      : { type: 'quantitative', axis: { title: xTitle, format: NUMBER } },
    y: { type: 'quantitative', scale, axis: { title: unit, tickMinStep, minExtent: Y_AXIS_WIDTH, format } },
    color: {
      type: 'nominal',
      scale: { domain: names, range: [...colours.values()] },
      legend: series.length < 2 ? null : legendOf(names, width),
    },
  }
  return {
    width,
    height,
    title: { text: title, anchor: 'start', fontWeight: 'normal' },
    layer: [...series.map(one => seriesLayer(one, channels)), ...rules.flatMap(rule => ruleLayers(rule, channels))],
  }
}

type Channels = Readonly<Record<'x' | 'y' | 'color', object>>

/** A legend above the panel, where it does not change the panel's position. */
function legendOf(names: readonly string[], width: number): object {
  const values = names.slice(0, LEGEND_MAX)
  const longest = Math.max(...values.map(name => name.length))
  const columns = Math.max(1, Math.floor(width / (30 + LETTER_WIDTH * longest)))
  return { title: null, orient: 'top', direction: 'horizontal', labelLimit: width, symbolOpacity: 1, values, columns }
}

const MARKS: Readonly<Record<Style, object>> = {
  line: { type: 'line', strokeWidth: 1.2, clip: true },
  step: { type: 'line', strokeWidth: 1.2, clip: true, interpolate: 'step-after' },
  dots: { type: 'point', filled: true, size: 28, opacity: 1 },
  band: { type: 'area', opacity: 0.45, clip: true, interpolate: 'step' },
  span: { type: 'rect', opacity: 0.25, clip: true },
  mark: { type: 'rule', strokeWidth: 1.5 },
}

function seriesLayer({ name, style = 'line', points }: Series, { x, y, color }: Channels): object {
  const value = { y: { field: 'b', ...y } }
  const second = { band: { ...value, y2: { field: 'c' } }, span: { x2: { field: 'b' } }, mark: {} }
  const others = style in second ? second[style as keyof typeof second] : value
  return {
    data: { values: points.map(([a, b = null, c = null]) => ({ a, b, c })) },
    mark: MARKS[style],
    encoding: { x: { field: 'a', ...x }, color: { datum: name, ...color }, ...others },
  }
}

function ruleLayers({ name, y }: { name: string; y: number }, channels: Channels): object[] {
  const line = { type: 'rule', strokeDash: [4, 3], color: RULE_COLOUR }
  const label = { type: 'text', text: name, x: 4, dy: -5, align: 'left', fontSize: 9, color: RULE_COLOUR }
  const encoding = { y: { field: 'y', ...channels.y } }
  return [line, label].map(mark => ({ data: { values: [{ y }] }, mark, encoding }))
}

function statSpec({ title, unit, width, height, series }: Panel): object {
  const newest = series[0]?.points.findLast(([, y]) => y !== null)?.[1]
  const text = newest === undefined || newest === null ? '-' : String(Number(newest.toPrecision(4)))
  return {
    width,
    height,
    title: { text: title, anchor: 'start', fontWeight: 'normal' },
    data: { values: [{}] },
    mark: { type: 'text', fontSize: 20, text: `${text} ${unit}`.trim() },
  }
}

function coloursOf(series: readonly Series[]): Map<string, string> {
  let lines = 0
  const colourOf = ({ style = 'line', colour }: Series): string =>
    colour ?? DEFAULT_COLOURS[style] ?? COLOURS[lines++ % COLOURS.length] ?? 'black'
  return new Map(series.map(one => [one.name, colourOf(one)]))
}

/** Replaces the ARIA descriptions of single lines and labels with one title. */
function withTitle(svg: string, title: string): string {
  const escaped = title.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return svg.replaceAll(/ (role|aria-[a-z]+)="[^"]*"/g, '').replace(/>/, `><title>${escaped}</title>`)
}
