import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { Second } from './model.ts'

const WIDTH = 340
const HEIGHT = 90

/** Seconds that one point of a line stands for. */
const POINT_S = 10

export interface Column {
  readonly title: string
  readonly seconds: readonly Second[]
}

interface Point {
  readonly minute: number
  readonly line: string
  readonly value: number
}

interface Panel {
  readonly axis: string
  readonly format: string
  readonly isStepped: boolean
  readonly lines: readonly { readonly name: string; readonly of: (second: Second) => number }[]
}

const PANELS: readonly Panel[] = [
  {
    axis: 'samples/s',
    format: '~s',
    isStepped: false,
    lines: [
      { name: 'load', of: ({ load }) => load },
      { name: 'refused', of: ({ refused }) => refused },
    ],
  },
  {
    axis: 'pods',
    format: 'd',
    isStepped: true,
    lines: [
      { name: 'gateways', of: ({ gateways }) => gateways },
      { name: 'analyzers', of: ({ analyzers }) => analyzers },
    ],
  },
  {
    axis: 'CPU of request',
    format: '.0%',
    isStepped: false,
    lines: [
      { name: 'gateways', of: ({ gatewayCpu }) => gatewayCpu },
      { name: 'analyzers', of: ({ analyzerCpu }) => analyzerCpu },
      { name: 'target', of: () => 0.7 },
    ],
  },
  {
    axis: 'oldest sample, s',
    format: '~s',
    isStepped: false,
    lines: [{ name: 'age', of: ({ ageS }) => ageS }],
  },
]

const COLOURS: Readonly<Record<string, string>> = {
  load: '#4c78a8',
  refused: '#e45756',
  gateways: '#4c78a8',
  analyzers: '#f58518',
  target: '#9d9da1',
  age: '#54a24b',
}

const VARIANT_COLOURS = ['#9d9da1', '#4c78a8', '#e45756', '#54a24b', '#f58518']

/** A picture of a scenario: a column for each run, below each other load, pods, CPU and age, all over the same time. */
export function drawScenario(title: string, columns: readonly Column[]): Promise<string> {
  return render({
    title,
    hconcat: columns.map(column => ({
      title: column.title,
      vconcat: PANELS.map((panel, index) => ({
        width: WIDTH,
        height: HEIGHT,
        data: { values: panel.lines.flatMap(({ name, of }) => pointsOf(column.seconds, name, of)) },
        ...lineChart({
          ...panel,
          // The same in all columns, so that they can be compared.
          top: Math.max(...columns.flatMap(({ seconds }) => panel.lines.flatMap(({ of }) => seconds.map(of)))),
          isLast: index === PANELS.length - 1,
          colours: COLOURS,
        }),
      })),
    })),
  })
}

/** A picture that compares runs of one scenario: the analyzers that there were, and how far they were behind. */
export function drawComparison(title: string, columns: readonly Column[]): Promise<string> {
  const colours = Object.fromEntries(columns.map(({ title }, i) => [title, VARIANT_COLOURS[i] ?? 'black']))
  const panels = [
    { axis: 'analyzers', format: 'd', isStepped: true, of: ({ analyzers }: Second) => analyzers },
    { axis: 'oldest sample, s', format: '~s', isStepped: false, of: ({ ageS }: Second) => ageS },
  ]
  return render({
    title,
    vconcat: panels.map(({ of, ...panel }, index) => ({
      width: 2 * WIDTH,
      height: HEIGHT,
      data: { values: columns.flatMap(({ title, seconds }) => pointsOf(seconds, title, of)) },
      ...lineChart({
        ...panel,
        top: Math.max(...columns.flatMap(({ seconds }) => seconds.map(of))),
        isLast: index === panels.length - 1,
        colours,
      }),
    })),
  })
}

/** The largest value of each ten seconds, so that no peak is lost; within a flat stretch no points. */
function pointsOf(seconds: readonly Second[], line: string, of: (second: Second) => number): Point[] {
  const points: Point[] = []
  for (let start = 0; start < seconds.length; start += POINT_S) {
    const values = seconds.slice(start, start + POINT_S).map(of)
    points.push({ minute: start / 60, line, value: Math.max(...values) })
  }
  return points.filter(({ value }, i) => points[i - 1]?.value !== value || points[i + 1]?.value !== value)
}

interface Look {
  readonly axis: string
  readonly format: string
  readonly isStepped: boolean
  /** The largest value. */
  readonly top: number
  /** The lowest of its column, which tells the time. */
  readonly isLast: boolean
  readonly colours: Readonly<Record<string, string>>
}

function lineChart({ axis, format, isStepped, top, isLast, colours }: Look) {
  return {
    mark: { type: 'line', strokeWidth: 1.5, interpolate: isStepped ? 'step-after' : 'linear' },
    encoding: {
      x: { field: 'minute', type: 'quantitative', axis: { title: isLast ? 'minutes' : null, grid: false } },
      y: {
        field: 'value',
        type: 'quantitative',
        scale: { domain: [0, Math.max(1, top)], nice: true },
        axis: { title: axis, format, tickMinStep: format === 'd' ? 1 : 0, tickCount: 4 },
      },
      color: {
        field: 'line',
        type: 'nominal',
        scale: { domain: Object.keys(colours), range: Object.values(colours) },
        legend: { title: null, orient: 'right', labelLimit: 300 },
      },
    },
  }
}

async function render(spec: { readonly title: string; readonly [part: string]: unknown }): Promise<string> {
  const axis = { labelFontSize: 10, titleFontSize: 10, titleFontWeight: 'normal' }
  const config = { background: 'white', font: 'sans-serif', axis, view: { stroke: null } }
  const { spec: compiled } = compile({ ...spec, config } as TopLevelSpec)
  const view = new View(parse(compiled), { renderer: 'none' })
  try {
    return withTitle(await view.toSVG(), spec.title)
  } finally {
    view.finalize()
  }
}

/** The picture with a title for those who cannot see it, in place of a description of each line and label. */
function withTitle(svg: string, title: string): string {
  const escaped = title.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return svg.replaceAll(/ (role|aria-[a-z]+)="[^"]*"/g, '').replace(/>/, `><title>${escaped}</title>`)
}
