import { ConfigError, readConfig } from '@tidemark/shared/runtime/config'
import { formerSettings } from '@tidemark/shared/runtime/former-settings'
import { aborted, run } from '@tidemark/shared/runtime/lifecycle'
import { createLogger } from '@tidemark/shared/runtime/logger'
import { createOpsApp, listenOps } from '@tidemark/shared/runtime/ops'
import { collectProcessMetrics } from '@tidemark/shared/runtime/process-metrics'
import { currentRedisAccess, readRedisAccess } from '@tidemark/shared/runtime/redis-access'
import { secretsIn } from '@tidemark/shared/runtime/secrets'
import { openSpans } from '@tidemark/shared/runtime/tracing/open-spans'
import { openStore } from '@tidemark/shared/store/open'
import { Registry } from 'prom-client'
import { type Analyzer, startAnalyzer } from './analyzer.ts'
import { analyzerSettings } from './config.ts'

try {
  const config = readConfig(analyzerSettings, process.env)
  const secrets = secretsIn({ ...process.env, REDIS_PASSWORD: readRedisAccess(config).password })
  const log = createLogger('analyzer', config.LOG_LEVEL, { secrets })
  for (const sentence of formerSettings(process.env)) log.warn(sentence)
  await run(async (stop, resources) => {
    const spans = resources.use(
      await openSpans({
        service: 'tidemark-analyzer',
        endpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT,
        ratio: config.OTEL_TRACES_SAMPLER_ARG,
        log,
      }),
    )
    const registry = new Registry()
    collectProcessMetrics(registry)
    let notReady: string | undefined = 'the store is not open yet'
    let analyzer: Analyzer | undefined
    const app = createOpsApp({ registry, notReady: () => notReady, warnings: () => analyzer?.warnings ?? [] })
    const ops = resources.use(
      await listenOps({ fetch: app.fetch, hostname: config.METRICS_HOST, port: config.METRICS_PORT }),
    )
    log.info({ metricsPort: ops.port }, 'listening')

    const store = await openStore({
      log,
      signal: stop,
      redis: {
        url: config.REDIS_URL,
        cluster: config.REDIS_CLUSTER,
        access: currentRedisAccess(config, err => log.error({ err }, 'a file of the access to Redis cannot be used')),
        prefix: config.REDIS_PREFIX,
        partitions: config.PARTITIONS,
        commandTimeoutMs: config.STORE_TIMEOUT_MS,
        anomaliesMax: config.ANOMALIES_KEPT,
        deadMax: config.DEAD_KEPT,
        alertsMax: config.ALERTS_KEPT,
        outboxMax: config.OUTBOX_MAX,
        shadowedMax: config.SHADOWED_KEPT,
        transactionKeys: config.TRANSACTION_KEYS,
      },
    })
    if (store === undefined) return
    resources.use(store)
    analyzer = resources.use(startAnalyzer({ config, store, log, registry, spans }))
    notReady = undefined
    log.info({ partitions: store.partitions }, 'analysing')
    await aborted(stop)
    notReady = 'stopping'
  }, log)
} catch (error) {
  if (!(error instanceof ConfigError)) throw error
  process.stderr.write(`tidemark analyzer: ${error.message}\n`)
  process.exitCode = 1
}
