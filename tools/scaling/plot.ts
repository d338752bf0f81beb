import { drawSvg, type Series } from '../lib/plot.ts'
import type { Second } from './model.ts'

const WIDTH = 340
const HEIGHT = 90

/** Seconds that one point of a line stands for. */
const POINT_S = 10

export interface Run {
  readonly title: string
  readonly seconds: readonly Second[]
}

interface Measure {
  readonly unit: string
  readonly format: string
  readonly style?: Series['style']
  readonly lines: readonly Line[]
}

interface Line {
  readonly name: string
  readonly colour: string
  readonly of: (second: Second) => number
}

const [BLUE, ORANGE, RED, GREEN, GREY] = ['#4c78a8', '#f58518', '#e45756', '#54a24b', '#9d9da1'] as const

const line = (name: string, colour: string, of: Line['of']): Line => ({ name, colour, of })

const AGE = { unit: 'oldest sample, s', format: '~s', lines: [line('age', GREEN, ({ ageS }) => ageS)] }

const MEASURES: readonly Measure[] = [
  {
    unit: 'samples/s',
    format: '~s',
    lines: [line('load', BLUE, ({ load }) => load), line('rejected', RED, ({ rejected }) => rejected)],
  },
  {
    unit: 'pods',
    format: 'd',
    style: 'step',
    lines: [
      line('gateways', BLUE, ({ gateways }) => gateways),
      line('analyzers', ORANGE, ({ analyzers }) => analyzers),
    ],
  },
  {
    unit: 'CPU of request',
    format: '.0%',
    lines: [
      line('gateways', BLUE, ({ gatewayCpu }) => gatewayCpu),
      line('analyzers', ORANGE, ({ analyzerCpu }) => analyzerCpu),
      line('target', GREY, () => 0.7),
    ],
  },
  AGE,
]

const COMPARED: readonly Measure[] = [
  { unit: 'analyzers', format: 'd', style: 'step', lines: [line('', '', ({ analyzers }) => analyzers)] },
  AGE,
]
const RUN_COLOURS = [GREY, BLUE, RED, GREEN, ORANGE]

/** Draws a scenario: a column for each run, with panels for load, pods, CPU and age. */
export function drawScenario(title: string, runs: readonly Run[]): Promise<string> {
  const rows = MEASURES.map((measure, row) =>
    runs.map(run => {
      const series = measure.lines.map(one => seriesOf(run, measure, one))
      return { ...panelOf(measure, runs), title: row === 0 ? run.title : '', width: WIDTH, series }
    }),
  )
  return drawSvg({ title, xTitle: 'minutes', rows })
}

/** Draws runs of one scenario: the number of analyzers, and the age of the oldest sample. */
export function drawComparison(title: string, runs: readonly Run[]): Promise<string> {
  const rows = COMPARED.map(measure => {
    const series = runs.flatMap((run, i) =>
      measure.lines.map(({ of }) => seriesOf(run, measure, line(run.title, RUN_COLOURS[i] ?? 'black', of))),
    )
    return [{ ...panelOf(measure, runs), title: '', width: 2 * WIDTH, series }]
  })
  return drawSvg({ title, xTitle: 'minutes', rows })
}

function panelOf({ unit, format, lines }: Measure, runs: readonly Run[]) {
  // Equal axes in all columns, so that they can be compared.
  const top = Math.max(1, ...runs.flatMap(({ seconds }) => lines.flatMap(({ of }) => seconds.map(of))))
  return { unit, format, height: HEIGHT, domain: [0, top * 1.05] as const }
}

/** Keeps the maximum of each ten seconds, and only the ends of a flat stretch. */
function seriesOf({ seconds }: Run, { style = 'line' }: Measure, { name, colour, of }: Line): Series {
  const points: [number, number][] = []
  for (let start = 0; start < seconds.length; start += POINT_S) {
    points.push([start / 60, Math.max(...seconds.slice(start, start + POINT_S).map(of))])
  }
  const kept = points.filter(([, value], i) => points[i - 1]?.[1] !== value || points[i + 1]?.[1] !== value)
  return { name, style, colour, points: kept }
}
