import { type LimitStore, TOKEN_ROUNDING } from '../ports/limits.ts'
import type { Data } from './data.ts'

/** Beyond it the oldest bucket is full again. Redis drops buckets by time instead. */
const BUCKETS_MAX = 100_000

export function limitsOn({ buckets, now }: Data): LimitStore {
  return {
    async take({ name, perS, burst }, { cost, ahead }) {
      const at = now()
      const stored = buckets.get(name)
      const gained = stored === undefined ? burst : stored.tokens + (Math.max(0, at - stored.at) * perS) / 1000
      const tokens = Math.min(burst, gained)
      if (tokens < Math.min(cost, burst) - TOKEN_ROUNDING) return { granted: 0, tokens }
      const granted = cost + Math.max(0, Math.min(ahead, Math.floor(tokens - cost + TOKEN_ROUNDING)))
      const left = Math.min(burst, tokens - granted)
      buckets.delete(name)
      if (left < burst) buckets.set(name, { tokens: left, at })
      for (const oldest of buckets.keys()) {
        if (buckets.size <= BUCKETS_MAX) break
        buckets.delete(oldest)
      }
      return { granted, tokens: left }
    },
  }
}
