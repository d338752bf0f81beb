import { Failure } from '../lib/options.ts'
import type { RedisChoice } from './redis.ts'

export const HOST = '127.0.0.1'

/** A stack that could not start. */
export class StartFailure extends Failure {}

export type Environment = Readonly<Record<string, string | undefined>>

export interface StackOptions {
  readonly port: number
  readonly redisUrl: string | undefined
  readonly analyzers: number
  readonly env: Environment
  /** Told of each warning that a service logs. */
  readonly onWarning: (text: string) => void
}

/** A gateway, analyzers and their store. Disposing it stops them in that order. */
export interface Stack extends AsyncDisposable {
  readonly url: string
  /** Which Redis, for people. */
  readonly redis: string
  /** Rejects when a part of it dies by itself; never resolves. */
  readonly crashed: Promise<never>
  /** Ends everything at once, for those who cannot wait. */
  kill(): void
}

/** What the services get to see: the user's own settings, but for those that this script decides. */
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
    // A Redis for the occasion keeps nothing on purpose.
    ...(redis.kind === 'started' ? { DURABILITY: 'memory' } : {}),
  }
}
