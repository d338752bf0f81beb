import type { RedisChoice } from './redis.ts'

export const HOST = '127.0.0.1'

/** Log levels that are not shown. */
const QUIET_LEVELS: readonly unknown[] = ['trace', 'debug', 'info']

export interface StackOptions {
  readonly port: number
  readonly redisUrl: string | undefined
  readonly analyzers: number
  readonly env: NodeJS.ProcessEnv
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
export function serviceEnvironment(env: NodeJS.ProcessEnv, redis: RedisChoice): NodeJS.ProcessEnv {
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

/**
 * Returns the message and error of a log line that is a warning, else undefined. A line that is
 * not from the logger is a warning: Node writes its own errors as plain text.
 */
export function warningIn(line: string): string | undefined {
  try {
    const { level, msg, err } = JSON.parse(line) as Record<string, unknown>
    if (typeof msg !== 'string') return line
    if (QUIET_LEVELS.includes(level)) return undefined
    return typeof err === 'object' && err !== null && 'message' in err ? `${msg}: ${err.message}` : msg
  } catch {
    return line
  }
}
