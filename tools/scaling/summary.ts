import type { Second } from './model.ts'

/** The key figures of a run. */
export interface Summary {
  readonly gatewaysMax: number
  readonly analyzersMax: number
  readonly rejected: number
  readonly backlogMax: number
  readonly ageMaxS: number
  /** From the first to the last second in which the oldest sample was older than a second. */
  readonly laggingS: number
  /** How often the number of analyzers reversed its direction: up after down, or down after up. */
  readonly reversals: number
  readonly analyzerMinutes: number
}

export function summarize(seconds: readonly Second[]): Summary {
  const lagging = seconds.filter(({ ageS }) => ageS > 1)
  const sizes = seconds.map(({ analyzers }) => analyzers)
  return {
    gatewaysMax: Math.max(...seconds.map(({ gateways }) => gateways)),
    analyzersMax: Math.max(...sizes),
    rejected: Math.round(seconds.reduce((sum, { rejected }) => sum + rejected, 0)),
    backlogMax: Math.round(Math.max(...seconds.map(({ backlog }) => backlog))),
    ageMaxS: Math.max(...seconds.map(({ ageS }) => ageS)),
    laggingS: (lagging.at(-1)?.atS ?? -1) - (lagging[0]?.atS ?? 0) + 1,
    reversals: reversalsOf(sizes),
    analyzerMinutes: Math.round(sizes.reduce((sum, size) => sum + size, 0) / 60),
  }
}

function reversalsOf(sizes: readonly number[]): number {
  const directions = sizes.slice(1).flatMap((size, i) => {
    const change = size - (sizes[i] ?? size)
    return change === 0 ? [] : [Math.sign(change)]
  })
  return directions.slice(1).filter((direction, i) => direction !== directions[i]).length
}
