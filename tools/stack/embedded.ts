import { startAnalyzer } from '@tidemark/analyzer/analyzer'
import { analyzerSettings } from '@tidemark/analyzer/config'
import { configSchema } from '@tidemark/gateway/config'
import { startGateway } from '@tidemark/gateway/gateway'
import { readConfig } from '@tidemark/shared/runtime/config'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import type { RedisChoice } from './redis.ts'
import { HOST, type Stack, type StackOptions, serviceEnvironment, warningIn } from './stack.ts'

/** Starts gateway and analyzers in this process with an in-memory store, without Redis. */
export async function startEmbedded(options: StackOptions, redis: RedisChoice): Promise<Stack> {
  await using starting = new AsyncDisposableStack()
  const env = { ...serviceEnvironment(options.env, redis), PORT: String(options.port) }
  const log = pino({ level: 'warn' }, { write: line => options.onWarning(warningIn(line) ?? line) })
  const config = readConfig(configSchema, env)
  const store = createMemoryStore({
    backlogMax: config.BACKLOG_SAMPLES_MAX,
    requestsMax: config.IDEMPOTENCY_KEYS_MAX,
    auditMax: config.AUDIT_KEPT_MAX,
    ...(config.PARTITIONS === undefined ? {} : { partitions: config.PARTITIONS }),
  })
  starting.use(store)
  const analyzerConfig = readConfig(analyzerSettings, env)
  for (let i = 0; i < options.analyzers; i++) {
    const connected = starting.use(store.connect())
    starting.use(startAnalyzer({ config: analyzerConfig, store: connected, log, registry: new Registry() }))
  }
  const openStore = async () => store.connect()
  const gateway = starting.use(await startGateway({ config, openStore, log, registry: new Registry() }))
  const resources = starting.move()
  return {
    url: `http://${HOST}:${gateway.port}`,
    redis: redis.title,
    crashed: gateway.failed,
    kill() {},
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}
