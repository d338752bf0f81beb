import type { Logger } from 'pino'
import { backoffMs } from '../runtime/clock.ts'
import { pause } from '../runtime/lifecycle.ts'
import { createFailureLog } from '../runtime/logger.ts'
import { StoreError } from './ports/errors.ts'
import type { DurabilityLevel, Store } from './ports/store.ts'
import { openRedisStore, REDIS_STORE_DEFAULTS, type RedisStoreOptions } from './redis/store.ts'

const RETRY = { minMs: 50, maxMs: 2000 }

export interface OpenStoreOptions {
  readonly redis: Partial<Omit<RedisStoreOptions, 'onTrouble' | 'durability'>> & { readonly url: string }
  /** What Redis must keep of samples; undefined for a service that appends none. */
  readonly durability?: DurabilityLevel | undefined
  readonly log: Logger
  readonly signal: AbortSignal
}

/**
 * Opens the Redis store, again and again while Redis does not answer; undefined when `signal` ends it. Rejects with a
 * LayoutMismatch when another deployment lives there, and with a DurabilityMismatch when Redis keeps less than was asked for.
 */
export async function openStore({
  redis,
  durability: level,
  log,
  signal,
}: OpenStoreOptions): Promise<Store | undefined> {
  const trouble = createFailureLog(log)
  const onTrouble = (error: Error): void => trouble(error, 'trouble with the connection to Redis')
  const durability = level && { level, onWarning: (sentence: string) => log.warn(sentence) }
  for (let attempt = 1; !signal.aborted; attempt++) {
    try {
      return await openRedisStore({ ...REDIS_STORE_DEFAULTS, ...redis, durability, onTrouble })
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind === 'fatal') throw error
      if (attempt === 1) log.warn({ err: error }, 'waiting for Redis')
    }
    await pause(backoffMs(attempt, RETRY, Math.random), signal)
  }
  return undefined
}
