import { writeFile } from 'node:fs/promises'
import { drawSvg, type Figure, type Panel, toPng } from '../lib/plot.ts'
import type { Summary } from './summary.ts'

const SIZE = { width: 1000, height: 170 }
const MISSED_COLOUR = '#f08c00'

/** The run as seen by the load generator, second by second. */
export function clientPanels({ timeline, limits }: Summary): Panel[] {
  const line = (of: (second: Summary['timeline'][number]) => number | null) =>
    timeline.map(second => [second.at, of(second)])
  return [
    {
      ...SIZE,
      title: 'Requests',
      unit: 'per second',
      series: [
        { name: 'target', style: 'step', points: line(({ target }) => target) },
        { name: 'completed', points: line(({ requests }) => requests) },
        { name: 'failed', points: line(({ failures }) => failures) },
      ],
    },
    {
      ...SIZE,
      title: 'p95 of all routes, per second',
      unit: 'ms',
      series: [{ name: 'p95', points: line(({ p95 }) => p95) }],
      rules: limits.p95_max_ms === undefined ? [] : [{ name: 'threshold of the run', y: limits.p95_max_ms }],
    },
    {
      ...SIZE,
      title: 'Verdicts on the watched series',
      unit: 'per second',
      series: [
        { name: 'flagged', points: line(({ flagged }) => flagged) },
        { name: 'labelled as anomalous', points: line(({ labelled }) => labelled) },
      ],
    },
  ]
}

/** One watched series of each kind: values, normal range, and flagged and missed samples. */
export function trackPanels({ tracks }: Summary): Panel[] {
  type Point = Summary['tracks'][number]['points'][number]
  return tracks.map(({ key, kind, points }) => {
    const valuesOf = (isShown: (point: Point) => boolean) =>
      points.filter(isShown).map(({ at, value }) => [at, value] as const)
    const missed = valuesOf(({ labelled, flagged }) => labelled && !flagged)
    return {
      ...SIZE,
      title: `${key}: ${kind}`,
      unit: 'value',
      isFromZero: false,
      series: [
        { name: 'normal range', style: 'band', points: points.map(({ at, low, high }) => [at, low, high]) },
        { name: 'value', points: valuesOf(() => true) },
        { name: 'flagged', style: 'dots', points: valuesOf(({ flagged }) => flagged) },
        { name: 'labelled, not flagged', style: 'dots', colour: MISSED_COLOUR, points: missed },
      ],
    }
  })
}

/** Writes a figure as PNG. */
export async function draw(file: string, figure: Figure): Promise<void> {
  await writeFile(file, toPng(await drawSvg(figure)))
}
