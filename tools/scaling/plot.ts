import { drawSvg, type Panel, type Series } from '../lib/plot.ts'
import type { Second } from './model.ts'

const WIDTH = 340
const HEIGHT = 90

/** Seconds that one point of a line stands for. */
const POINT_S = 10

export interface Run {
  readonly title: string
  readonly seconds: readonly Second[]
}

interface Line {
  readonly name: string
  readonly colour: string
  of(second: Second): number
}

/** A panel as `Panel` has it, with lines in place of series. */
interface Measure {
  readonly unit: string
  readonly format: string
  readonly style?: Series['style']
  readonly lines: readonly Line[]
}

const AGE: Measure = {
  unit: 'oldest sample, s',
  format: '~s',
  lines: [{ name: 'age', colour: '#54a24b', of: ({ ageS }) => ageS }],
}

const MEASURES: readonly Measure[] = [
  {
    unit: 'samples/s',
    format: '~s',
    lines: [
      { name: 'load', colour: '#4c78a8', of: ({ load }) => load },
      { name: 'rejected', colour: '#e45756', of: ({ rejected }) => rejected },
    ],
  },
  {
    unit: 'pods',
    format: 'd',
    style: 'step',
    lines: [
      { name: 'gateways', colour: '#4c78a8', of: ({ gateways }) => gateways },
      { name: 'analyzers', colour: '#f58518', of: ({ analyzers }) => analyzers },
    ],
  },
  {
    unit: 'CPU of request',
    format: '.0%',
    lines: [
      { name: 'gateways', colour: '#4c78a8', of: ({ gatewayCpu }) => gatewayCpu },
      { name: 'analyzers', colour: '#f58518', of: ({ analyzerCpu }) => analyzerCpu },
      { name: 'target', colour: '#9d9da1', of: () => 0.7 },
    ],
  },
  AGE,
]

const COMPARED: readonly Measure[] = [
  {
    unit: 'analyzers',
    format: 'd',
    style: 'step',
    lines: [{ name: '', colour: '', of: ({ analyzers }) => analyzers }],
  },
  AGE,
]
const RUN_COLOURS = ['#9d9da1', '#4c78a8', '#e45756', '#54a24b', '#f58518']

/** Draws a scenario: a column for each run, with panels for load, pods, CPU and age. */
export function drawScenario(title: string, runs: readonly Run[]): Promise<string> {
  const rows = MEASURES.map(measure =>
    runs.map(run => {
      const series = measure.lines.map(line => seriesOf(run, measure, line))
      return panelOf(measure, { title: measure === MEASURES[0] ? run.title : '', width: WIDTH, runs, series })
    }),
  )
  return drawSvg({ title, xTitle: 'minutes', rows })
}

/** Draws runs of one scenario: the number of analyzers, and the age of the oldest sample. */
export function drawComparison(title: string, runs: readonly Run[]): Promise<string> {
  const rows = COMPARED.map(measure => {
    const series = runs.flatMap((run, i) =>
      measure.lines.map(line =>
        seriesOf(run, measure, { ...line, name: run.title, colour: RUN_COLOURS[i] ?? 'black' }),
      ),
    )
    return [panelOf(measure, { title: '', width: 2 * WIDTH, runs, series })]
  })
  return drawSvg({ title, xTitle: 'minutes', rows })
}

interface Look extends Pick<Panel, 'title' | 'width' | 'series'> {
  readonly runs: readonly Run[]
}

function panelOf({ unit, format, lines }: Measure, { runs, ...look }: Look): Panel {
  // Equal axes in all columns, so that they can be compared.
  const top = Math.max(1, ...runs.flatMap(({ seconds }) => lines.flatMap(({ of }) => seconds.map(of))))
  return { unit, format, height: HEIGHT, domain: [0, top * 1.05], ...look }
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
