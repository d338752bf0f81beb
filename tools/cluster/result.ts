import type { LoadRow } from '../load/cluster-section.ts'
import type { Summary } from '../load/summary.ts'
import type { AutoscalerRecord } from './autoscaling.ts'

/** One line of the table. */
export interface Row {
  readonly what: string
  readonly result: string
  readonly isGood: boolean
}

/** A run, as it is kept beside the page: every figure of the page comes from here. */
export interface ClusterResult {
  readonly date: string
  readonly command: string
  readonly kubernetes: string
  readonly runtimes: readonly string[]
  readonly nodes: number
  readonly wayIn: string
  readonly overlay: string
  readonly cpuRequests: Readonly<Record<string, string>>
  readonly cores: number
  readonly loadBefore: number
  readonly rows: readonly Row[]
  readonly loads: readonly LoadRow[]
  readonly autoscalers: readonly AutoscalerRecord[]
}

/** The seconds of a timeline that one point stands for. */
const POINT_S = 5

/** Returns a timeline with one point for several seconds. */
export function thin(timeline: Summary['timeline'], from: number): LoadRow['timeline'] {
  const points: [number, number, number][] = []
  for (let i = 0; i < timeline.length; i += POINT_S) {
    const seconds = timeline.slice(i, i + POINT_S)
    const mean = (of: (second: Summary['timeline'][number]) => number): number =>
      Math.round(seconds.reduce((sum, second) => sum + of(second), 0) / seconds.length)
    points.push([
      Math.round(from + (seconds[0]?.at ?? 0)),
      mean(({ target }) => target),
      mean(({ requests }) => requests),
    ])
  }
  return points
}
