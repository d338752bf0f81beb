import type { TotalStore } from '../ports/totals.ts'
import type { Data } from './data.ts'

/** Beyond it the series that paused longest is forgotten. Redis forgets by time instead. */
const TOTALS_MAX = 100_000

export function totalsOn({ totals }: Data): TotalStore {
  return {
    async advance(series, total) {
      const stored = totals.get(series)
      if (stored !== undefined && total.time < stored.newest.time) return undefined
      const before = stored?.newest.time === total.time ? stored.before : stored?.newest
      totals.delete(series)
      totals.set(series, { newest: total, before })
      if (totals.size > TOTALS_MAX) totals.delete(totals.keys().next().value as string)
      return before
    },
  }
}
