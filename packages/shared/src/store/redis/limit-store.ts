import type { LimitStore } from '../ports/limits.ts'
import { withStoreErrors } from './errors.ts'
import type { StoreContext } from './scripts.ts'

export function createLimitStore({ client, keys }: StoreContext): LimitStore {
  return withStoreErrors<LimitStore>({
    async take({ name, perS, burst }, { cost, ahead }) {
      const reply = await client.takeTokens(keys.limit(name), perS, burst, cost, ahead)
      const [granted, tokens] = reply as [number, string]
      return { granted, tokens: Number(tokens) }
    },
  })
}
