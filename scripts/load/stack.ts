import { startRedisProcess } from '@tidemark/shared/testing/redis-process'
import { type Service, startAnalyzer, startGateway } from '../../test/support/services.ts'
import { findServer } from '../start/redis.ts'
import { StartFailure } from '../start/stack.ts'
import type { Target } from './prometheus.ts'

/** As durable as production's: AOF, fsync every second. */
const REDIS_ARGS = [
  '--save',
  '',
  '--appendonly',
  'yes',
  '--appendfsync',
  'everysec',
  '--maxmemory-policy',
  'noeviction',
]

/** One gateway, some analyzers and a Redis of their own, for a load. */
export interface LoadStack extends AsyncDisposable {
  readonly url: string
  readonly analyzers: number
  /** Where their metrics are. */
  readonly targets: readonly Target[]
}

export async function startStack(analyzers: number): Promise<LoadStack> {
  const program = findServer()
  if (program === undefined) {
    throw new StartFailure(
      'there is no redis-server or valkey-server on PATH. Install it with: apt-get install redis-server',
    )
  }
  await using starting = new AsyncDisposableStack()
  const redis = starting.use(await startRedisProcess(program, REDIS_ARGS))
  const env = { REDIS_URL: redis.url, METRICS_HOST: '127.0.0.1' }
  const services: Service[] = []
  for (let i = 0; i < analyzers; i++) services.push(starting.use(await startAnalyzer(env)))
  const gateway = starting.use(await startGateway(env))
  const resources = starting.move()
  return {
    url: `http://127.0.0.1:${gateway.port}`,
    analyzers,
    targets: [
      { job: 'gateway', address: `127.0.0.1:${gateway.metricsPort}` },
      ...services.map(({ metricsPort }) => ({ job: 'analyzer', address: `127.0.0.1:${metricsPort}` })),
    ],
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}
