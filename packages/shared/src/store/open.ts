import type { Logger } from 'pino'
import { backoffMs } from '../runtime/clock.ts'
import { pause } from '../runtime/lifecycle.ts'
import { createFailureLog } from '../runtime/logger.ts'
import { StoreError } from './ports/errors.ts'
import type { DurabilityLevel, Store } from './ports/store.ts'
import { REDIS_STORE_DEFAULTS, type RedisStoreOptions } from './redis/options.ts'
import { openRedisStore } from './redis/store.ts'

const RETRY = { minMs: 50, maxMs: 2000 }

export interface OpenOptions {
  readonly redis: Partial<Omit<RedisStoreOptions, 'onFailure' | 'durability'>> & { readonly url: string }
  /**
   * What Redis must keep of appended samples: `provided` for what it happens to. Undefined for a
   * service that appends none.
   */
  readonly durability?: DurabilityLevel | 'provided' | undefined
  readonly log: Logger
  readonly signal: AbortSignal
}

/**
 * Opens the Redis store, retrying while Redis does not respond; undefined when `signal` aborts it.
 * Rejects with a LayoutMismatch or a DurabilityMismatch, which a retry cannot fix.
 */
export async function openStore({ redis, durability: required, log, signal }: OpenOptions): Promise<Store | undefined> {
  const logFailure = createFailureLog(log)
  const onFailure = (error: Error): void => logFailure(error, 'a failure of the Redis store')
  const level = required === 'provided' ? undefined : required
  const durability = required && { level, onWarning: (sentence: string) => log.warn(sentence) }
  for (let attempt = 1; !signal.aborted; attempt++) {
    try {
      return await openRedisStore({ ...REDIS_STORE_DEFAULTS, ...redis, durability, onFailure })
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind === 'fatal') throw error
      if (attempt === 1) log.warn({ err: error }, 'waiting for Redis')
    }
    await pause(backoffMs(attempt, RETRY, Math.random), signal)
  }
  return undefined
}
