import { ConfigError, readConfig } from '@tidemark/shared/runtime/config'
import { formerSettings } from '@tidemark/shared/runtime/former-settings'
import { aborted, run } from '@tidemark/shared/runtime/lifecycle'
import { createLogger } from '@tidemark/shared/runtime/logger'
import { currentRedisAccess, readRedisAccess } from '@tidemark/shared/runtime/redis-access'
import { secretsIn } from '@tidemark/shared/runtime/secrets'
import { openSpans } from '@tidemark/shared/runtime/tracing/open-spans'
import { openStore } from '@tidemark/shared/store/open'
import { Registry } from 'prom-client'
import { configSchema } from './config.ts'
import { startGateway } from './gateway.ts'
import { keyedRequestsPerS } from './ingest/idempotency.ts'

/** Fewer requests a second with an Idempotency-Key are worth a warning. */
const KEYED_PER_S_MIN = 10

try {
  const config = readConfig(configSchema, process.env)
  const secrets = secretsIn({ ...process.env, REDIS_PASSWORD: readRedisAccess(config).password })
  const log = createLogger('gateway', config.LOG_LEVEL, { secrets })
  for (const sentence of formerSettings(process.env)) log.warn(sentence)
  const keyed = keyedRequestsPerS(config.IDEMPOTENCY_KEYS_MAX, config.IDEMPOTENCY_TTL_MS)
  if (keyed < KEYED_PER_S_MIN) {
    log.warn(
      { requestsPerSecond: Math.round(keyed * 100) / 100 },
      'IDEMPOTENCY_KEYS_MAX is low for IDEMPOTENCY_TTL_MS: at a higher rate requests with an Idempotency-Key get 503',
    )
  }
  const redis = {
    url: config.REDIS_URL,
    cluster: config.REDIS_CLUSTER,
    access: currentRedisAccess(config, err => log.error({ err }, 'a file of the access to Redis cannot be used')),
    prefix: config.REDIS_PREFIX,
    partitions: config.PARTITIONS,
    backlogMax: config.BACKLOG_SAMPLES_MAX,
    requestsMax: config.IDEMPOTENCY_KEYS_MAX,
    auditMax: config.AUDIT_KEPT_MAX,
    commandTimeoutMs: config.STORE_TIMEOUT_MS,
  }
  await run(async (stop, resources) => {
    const spans = resources.use(
      await openSpans({
        service: 'tidemark-gateway',
        endpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT,
        ratio: config.OTEL_TRACES_SAMPLER_ARG,
        log,
      }),
    )
    const gateway = resources.use(
      await startGateway({
        config,
        log,
        registry: new Registry(),
        spans,
        openStore: signal => openStore({ redis, durability: config.DURABILITY ?? 'provided', log, signal }),
      }),
    )
    await Promise.race([aborted(stop), gateway.failed])
  }, log)
} catch (error) {
  if (!(error instanceof ConfigError)) throw error
  process.stderr.write(`tidemark gateway: ${error.message}\n`)
  process.exitCode = 1
}
