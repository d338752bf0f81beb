import type { Second } from './model.ts'

/** What is worth knowing of a run. */
export interface Summary {
  readonly gatewaysMax: number
  readonly analyzersMax: number
  readonly refused: number
  readonly backlogMax: number
  readonly ageMaxS: number
  /** From the first second in which something waited longer than a second to the last. */
  readonly behindS: number
  /** How often the number of analyzers changed its direction: up after down, or down after up. */
  readonly turns: number
  readonly analyzerMinutes: number
}

export function summarize(seconds: readonly Second[]): Summary {
  const behind = seconds.filter(({ ageS }) => ageS > 1)
  const sizes = seconds.map(({ analyzers }) => analyzers)
  return {
    gatewaysMax: Math.max(...seconds.map(({ gateways }) => gateways)),
    analyzersMax: Math.max(...sizes),
    refused: Math.round(seconds.reduce((sum, { refused }) => sum + refused, 0)),
    backlogMax: Math.round(Math.max(...seconds.map(({ backlog }) => backlog))),
    ageMaxS: Math.max(...seconds.map(({ ageS }) => ageS)),
    behindS: (behind.at(-1)?.atS ?? -1) - (behind[0]?.atS ?? 0) + 1,
    turns: turnsOf(sizes),
    analyzerMinutes: Math.round(sizes.reduce((sum, size) => sum + size, 0) / 60),
  }
}

function turnsOf(sizes: readonly number[]): number {
  const directions = sizes.slice(1).flatMap((size, i) => {
    const change = size - (sizes[i] ?? size)
    return change === 0 ? [] : [Math.sign(change)]
  })
  return directions.slice(1).filter((direction, i) => direction !== directions[i]).length
}
