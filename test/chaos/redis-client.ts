import { keysUnder } from '@tidemark/shared/store/keys'
import type { rawClient } from '@tidemark/testkit/redis-probe'

/** REDIS_PREFIX of every run, and the Redis keys under it. */
export const PREFIX = 'chaos'
export const keys = keysUnder(PREFIX)

export type RedisClient = ReturnType<typeof rawClient>
