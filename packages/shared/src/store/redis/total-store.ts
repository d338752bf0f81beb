import { TOTAL_TTL_MS, type TotalStore } from '../ports/totals.ts'
import { withStoreErrors } from './errors.ts'
import type { StoreContext } from './scripts.ts'

export function createTotalStore({ client, keys }: StoreContext): TotalStore {
  return withStoreErrors<TotalStore>({
    async advance(series, { time, count, sum }) {
      const reply = await client.advanceTotal(keys.total(series), TOTAL_TTL_MS, time, `${count} ${sum}`)
      if (reply === '') return undefined
      const [before = 0, ...values] = String(reply).split(' ').map(Number)
      return { time: before, count: values[0] ?? 0, sum: values[1] ?? 0 }
    },
  })
}
