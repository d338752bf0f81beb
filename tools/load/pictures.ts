import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Python } from './python.ts'
import type { Summary } from './summary.ts'

const DRAW = fileURLToPath(new URL('../../locust/draw.py', import.meta.url))

/** What locust/draw.py draws. */
export interface Picture {
  readonly file: string
  readonly title: string
  readonly xlabel: string
  readonly panels: readonly Panel[]
}

export interface Panel {
  readonly title: string
  readonly unit: string
  readonly series: readonly Series[]
  readonly rules?: readonly { readonly name: string; readonly y: number }[]
  readonly from_zero?: boolean
  /** x, y, width and height on a grid of 24 columns; without, panels stand one below the other. */
  readonly place?: readonly [x: number, y: number, width: number, height: number]
  /** Only the newest value, as a number. */
  readonly isStat?: boolean
}

interface Series {
  readonly name: string
  readonly style?: 'line' | 'step' | 'dots' | 'band'
  readonly colour?: string
  readonly points: readonly (readonly (number | null)[])[]
}

const MISSED_COLOUR = '#f08c00'

/** The run as the load generator saw it, second by second. */
export function clientPanels({ timeline, limits }: Summary): Panel[] {
  const line = (of: (second: Summary['timeline'][number]) => number | null) =>
    timeline.map(second => [second.at, of(second)])
  return [
    {
      title: 'Requests',
      unit: 'per second',
      series: [
        { name: 'wanted', style: 'step', points: line(({ target }) => target) },
        { name: 'answered', points: line(({ requests }) => requests) },
        { name: 'failed', points: line(({ failures }) => failures) },
      ],
    },
    {
      title: 'p95 of all routes, of each second',
      unit: 'ms',
      series: [{ name: 'p95', points: line(({ p95 }) => p95) }],
      rules: limits.p95_max_ms === undefined ? [] : [{ name: 'threshold of the run', y: limits.p95_max_ms }],
    },
    {
      title: 'Verdicts on the watched series',
      unit: 'per second',
      series: [
        { name: 'flagged', points: line(({ flagged }) => flagged) },
        { name: 'labelled as anomalous', points: line(({ labelled }) => labelled) },
      ],
    },
  ]
}

/** One watched series of each kind: values, band, what was flagged and what was labelled but not flagged. */
export function trackPanels({ tracks }: Summary): Panel[] {
  return tracks.map(({ key, kind, points }) => ({
    title: `${key}: ${kind}`,
    unit: 'value',
    from_zero: false,
    series: [
      { name: 'band', style: 'band', points: points.map(({ at, low, high }) => [at, low, high]) },
      { name: 'value', points: points.map(({ at, value }) => [at, value]) },
      {
        name: 'flagged',
        style: 'dots',
        points: points.filter(({ flagged }) => flagged).map(({ at, value }) => [at, value]),
      },
      {
        name: 'labelled, not flagged',
        style: 'dots',
        colour: MISSED_COLOUR,
        points: points.filter(one => one.labelled && !one.flagged).map(({ at, value }) => [at, value]),
      },
    ],
  }))
}

/** Draws them as PNGs, in one go: loading what draws takes longer than drawing. */
export async function draw(pictures: readonly Picture[], python: Python): Promise<void> {
  const child = spawn(python.program, [DRAW], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  })
  let words = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    words += text
  })
  child.stdin.on('error', () => {})
  child.stdin.end(JSON.stringify(pictures))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`the pictures could not be drawn:\n${words}`)
}
