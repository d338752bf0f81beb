import type { Second } from './model.ts'

/** Returns the key figures of a run. */
export function summarize(seconds: readonly Second[]) {
  const max = (of: (second: Second) => number): number => Math.max(...seconds.map(of))
  const lagging = seconds.filter(({ ageS }) => ageS > 1)
  const sizes = seconds.map(({ analyzers }) => analyzers)
  return {
    gatewaysMax: max(({ gateways }) => gateways),
    analyzersMax: Math.max(...sizes),
    rejected: Math.round(seconds.reduce((sum, { rejected }) => sum + rejected, 0)),
    backlogMax: Math.round(max(({ backlog }) => backlog)),
    ageMaxS: max(({ ageS }) => ageS),
    /** From the first to the last second in which the oldest sample was older than a second. */
    laggingS: (lagging.at(-1)?.atS ?? -1) - (lagging[0]?.atS ?? 0) + 1,
    reversals: reversalsOf(sizes),
    analyzerMinutes: Math.round(sizes.reduce((sum, size) => sum + size, 0) / 60),
  }
}

/** Counts how often the number of pods went up after down, or down after up. */
function reversalsOf(sizes: readonly number[]): number {
  const directions = sizes.map((size, i) => Math.sign(size - (sizes[i - 1] ?? size))).filter(sign => sign !== 0)
  return directions.slice(1).filter((direction, i) => direction !== directions[i]).length
}
