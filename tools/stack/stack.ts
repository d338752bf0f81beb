import type { RedisChoice } from './redis.ts'

export const HOST = '127.0.0.1'

export type Environment = Readonly<Record<string, string | undefined>>

export interface StackOptions {
  readonly port: number
  readonly redisUrl: string | undefined
  readonly analyzers: number
  readonly env: Environment
  /** Called with each warning that a service logs. */
  readonly onWarning: (text: string) => void
}

/** A gateway, analyzers and their store. Disposing it stops them in this order. */
export interface Stack extends AsyncDisposable {
  readonly url: string
  /** A description of the Redis that is used. */
  readonly redis: string
  /** Rejects when a process of it ends unexpectedly; never resolves. */
  readonly crashed: Promise<never>
  /** Kills everything at once. */
  kill(): void
}

/** Returns the services' environment: the user's settings, except those that the stack decides. */
export function serviceEnvironment({ env }: Pick<StackOptions, 'env'>, redis: RedisChoice): Environment {
  const { ANALYZER_ID: _, REDIS_CLUSTER, ...rest } = env
  return {
    ...rest,
    ...(redis.kind === 'given' && REDIS_CLUSTER !== undefined ? { REDIS_CLUSTER } : {}),
    REDIS_URL: redis.kind === 'memory' ? 'unix:///none' : redis.url,
    HOST,
    METRICS_HOST: HOST,
    METRICS_PORT: '0',
    LOG_LEVEL: 'info',
    // A temporary Redis stores nothing on disk.
    ...(redis.kind === 'started' ? { DURABILITY: 'memory' } : {}),
  }
}
