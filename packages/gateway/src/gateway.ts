import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { Presence } from '@tidemark/shared/fleet/presence'
import { ConfigError } from '@tidemark/shared/runtime/config'
import { pause, STOP_DEADLINE_MS } from '@tidemark/shared/runtime/lifecycle'
import { createOpsApp, listenOps } from '@tidemark/shared/runtime/ops'
import type { Spans } from '@tidemark/shared/runtime/tracing/spans'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { createAuthentication, isLoopbackHost } from './access/authentication.ts'
import { openKeySources } from './access/key-sources.ts'
import { KeyTable } from './access/key-table.ts'
import { createOriginRules } from './access/origin.ts'
import { RouteAccess } from './access/route-access.ts'
import { createSessions, watchSessions } from './access/sessions.ts'
import { createApp } from './app.ts'
import { auditConcern } from './audit/audit.ts'
import { CLOSE_MIN_MS, certificateFiles, type GatewayConfig, isHttps, originOptions, sharedSettings } from './config.ts'
import { createFailures, type Failures } from './failures.ts'
import { Feed } from './feed/feed.ts'
import { type Certificate, readCertificate, watchCertificate } from './http/certificate.ts'
import { requestConcerns } from './http/concerns.ts'
import { readConsole } from './http/console.ts'
import { readDocs } from './http/docs.ts'
import { createPipeline } from './http/pipeline.ts'
import { createDrainRate } from './http/retry-after.ts'
import { listen } from './http/server.ts'
import { Batcher } from './ingest/batcher.ts'
import { createFastPath } from './ingest/fast-path.ts'
import { createIngest } from './ingest/ingest.ts'
import { FAULT_FORMATS } from './ingest/protocols/fault-formats.ts'
import { openSeriesIndex } from './ingest/protocols/remote-write/open-index.ts'
import { KeyAdmission } from './keys/admission.ts'
import { Clients } from './limits/clients.ts'
import type { BucketContext } from './limits/token-bucket.ts'
import { createMetrics, type GatewayMetrics } from './metrics.ts'
import { required, type Services } from './services.ts'
import { linkStore } from './store-link.ts'
import { withTimeout } from './store-timeout.ts'
import { ProgressWatcher } from './verdicts/progress-watcher.ts'

/** How long requests in progress may take when the gateway stops, unless its exit is nearer. */
const CLOSE_GRACE_MS = 12_000

/** The time for the batcher and the store after the last request. */
const FLUSH_MS = CLOSE_MIN_MS / 2

/** How long a request waits for the store to decide on its client's limit. */
const LIMIT_TIMEOUT_MS = 500
/** How the names of gateways begin among the running processes. */
const GATEWAY = 'gateway-'

const NO_MEMORY = new StoreError("the store's memory is at its limit", { kind: 'refused' })

interface GatewayOptions {
  readonly config: GatewayConfig
  /**
   * Opens the store, which the gateway then owns. Retries until the signal aborts, then resolves to
   * undefined. A rejection, such as a LayoutMismatch, is final.
   */
  readonly openStore: (signal: AbortSignal) => Promise<Store | undefined>
  readonly log: Logger
  readonly registry: Registry
  /** Undefined where no spans are collected. */
  readonly spans?: Spans | undefined
}

export type Gateway = Awaited<ReturnType<typeof startGateway>>

/**
 * Starts a gateway; resolves when it listens, even before its store is open. Disposing it makes it
 * not ready, completes the requests in progress, drains the batcher and closes the store.
 */
export async function startGateway({ config, openStore, log, registry, spans }: GatewayOptions) {
  await using starting = new AsyncDisposableStack()
  const metrics = createMetrics(registry)
  const failures = createFailures(log, metrics)
  let services: ReturnType<typeof createServices> | undefined
  let presence: Presence | undefined
  let isStopping = false
  let gateways = 1

  const keyTable = new KeyTable()
  const sessions = createSessions({
    table: keyTable,
    ttlMs: config.SESSION_TTL_MS,
    isSecure: isHttps(config),
    now: Date.now,
  })
  const authentication = createAuthentication({
    mode: config.AUTH,
    isLoopback: isLoopbackHost(config.HOST),
    table: keyTable,
    identifySession: sessions.identify,
    now: Date.now,
    onResult: metrics.authentication,
  })
  if (config.AUTH === 'off') log.warn(OPEN_WARNING)
  const refused = Promise.withResolvers<never>()
  const keySources = starting.use(
    await openKeySources({
      authentication,
      file: config.API_KEYS_FILE,
      timeoutMs: config.STORE_TIMEOUT_MS,
      now: Date.now,
      log,
      failures,
      metrics,
      onFirstLoad() {
        if (authentication.isMissingKeys) refused.reject(new ConfigError(noKeys(config)))
      },
    }),
  )

  const link = starting.use(
    linkStore({
      openStore,
      log,
      timeoutMs: config.STORE_TIMEOUT_MS,
      async onOpen(store) {
        await using opening = new AsyncDisposableStack()
        services = createServices({ store, config, metrics, failures })
        metrics.durabilityKnown(store.durability)
        presence = new Presence({
          store: store.processes,
          name: `${GATEWAY}${hostname()}-${randomUUID().slice(0, 8)}`,
          settings: sharedSettings({ ...config, DURABILITY: store.durability }),
          log,
          logFailure: failures,
          onCompared(differing, processes) {
            metrics.settingsCompared(differing)
            gateways = Math.max(1, processes.filter(({ name }) => name.startsWith(GATEWAY)).length)
          },
        })
        opening.use(presence)
        opening.use(
          watchSessions(sessions, {
            store: store.sessions,
            timeoutMs: config.STORE_TIMEOUT_MS,
            onFailure: error => failures(error, 'which sessions have ended was not read; what is known stays in force'),
          }),
        )
        opening.use(await keySources.attach(store.apiKeys))
        return opening.move()
      },
    }),
  )
  const failed = Promise.race([link.failed, refused.promise])
  // A caller may never await it, which must not be an unhandled rejection.
  failed.catch(() => {})
  const warnings = (): readonly string[] => [
    ...(config.AUTH === 'off' ? [OPEN_WARNING] : []),
    ...(presence?.warnings ?? []),
  ]
  const notReady = (): string | undefined => {
    if (isStopping) return 'stopping'
    return link.fault ?? (authentication.isPending ? 'the API keys are not loaded yet' : undefined)
  }

  const access = new RouteAccess()
  const clients = starting.use(
    createClients({ config, failures, store: () => services?.store, gateways: () => gateways }),
  )
  const context = { config, metrics, now: Date.now, services: required(() => services) }
  const audit = auditConcern({ ...context, log, failures, access })
  const concerns = requestConcerns({
    ...{ metrics, failures, access, authentication, audit, clients, spans },
    trustedProxies: config.TRUSTED_PROXIES,
    origins: createOriginRules(originOptions(config)),
    isHttps: isHttps(config),
    isStopping: () => isStopping,
  })
  const seriesIndex = starting.use(await openSeriesIndex({ config, log, metrics }))
  const pipeline = createPipeline(concerns, FAULT_FORMATS)
  const page = readConsole()
  const ingest = createIngest(context)
  const app = createApp({
    ...context,
    log,
    registry,
    ingest,
    seriesIndex: seriesIndex.index,
    pipeline,
    access,
    authentication,
    sessions,
    keyTable,
    refreshKeys: keySources.refresh,
    notReady,
    warnings,
    docs: readDocs(page),
    console: page,
  })
  const { fetch } = createOpsApp({ registry, notReady, warnings })
  const ops = starting.use(await listenOps({ fetch, port: config.METRICS_PORT, hostname: config.HOST }))
  const files = certificateFiles(config)
  const certificate = files && (await readCertificate(files))
  const server = await listen({ app, fastPath: createFastPath({ ingest, pipeline }), config, certificate, metrics })
  metrics.certificateUsed(certificate)
  if (files !== undefined && certificate !== undefined) {
    const onChange = (changed: Certificate): void => {
      server.replaceCertificate(changed)
      metrics.certificateUsed(changed)
    }
    starting.use(watchCertificate(certificate, { ...files, log, onChange, onFailure: metrics.reloadFailed }))
  }
  starting.defer(async () => {
    isStopping = true
    await pause(config.DRAIN_DELAY_MS)
    services?.watcher[Symbol.dispose]()
    services?.feed[Symbol.dispose]()
    await server.close(Math.min(CLOSE_GRACE_MS, STOP_DEADLINE_MS - config.DRAIN_DELAY_MS - FLUSH_MS))
    await services?.batcher.drain()
  })

  log.info({ port: server.port, metricsPort: ops.port }, 'listening')
  const resources = starting.move()
  return {
    port: server.port,
    metricsPort: ops.port,
    /** Rejects when the store can never be opened, or there is no API key; never resolves. */
    failed,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

const OPEN_WARNING =
  'AUTH=off: everyone who can reach this gateway may write, read and change everything without an API key'

/** Why a gateway that others can reach does not serve without API keys, and what to do. */
function noKeys({ HOST }: GatewayConfig): string {
  return (
    `HOST is ${HOST ?? 'unset (all addresses)'} and there is no API key: create one with ` +
    '"npm run keys -- create --name admin --scopes admin,operate,read,ingest --file api-keys.json" and set ' +
    'API_KEYS_FILE, or set HOST=127.0.0.1, or AUTH=off to serve everyone without authentication'
  )
}

interface ServicesOptions {
  readonly store: Store
  readonly config: GatewayConfig
  readonly metrics: GatewayMetrics
  readonly failures: Failures
}

interface ClientsOptions extends Pick<ServicesOptions, 'config' | 'failures'> {
  /** Undefined while it is not open. */
  readonly store: () => Pick<Store, 'limits'> | undefined
  /** Gateways that run. */
  readonly gateways: () => number
}

/** Creates the limits of clients. Without a store they apply to this gateway alone. */
export function createClients({ config, failures, store, gateways }: ClientsOptions): Clients {
  const timeoutMs = Math.min(LIMIT_TIMEOUT_MS, config.STORE_TIMEOUT_MS)
  return new Clients({
    defaults: {
      requestsPerS: config.REQUESTS_PER_S_MAX,
      samplesPerS: config.SAMPLES_PER_S_MAX,
      burstS: config.RATE_BURST_S,
      failuresPerMin: config.AUTH_FAILURES_PER_MIN_MAX,
    },
    context: {
      get take(): BucketContext['take'] {
        const limits = store()?.limits
        return limits && ((bucket, wanted) => withTimeout(limits.take(bucket, wanted), timeoutMs))
      },
      get gateways() {
        return gateways()
      },
      now: () => performance.now(),
      onFailure: error => failures(error, 'rate limits are applied by each gateway for itself'),
    },
  })
}

/** Creates what the routes work with, on an open store. */
export function createServices({ store, config, metrics, failures }: ServicesOptions) {
  const batcher = new Batcher({
    store: store.gateway,
    queueSamplesMax: config.QUEUE_SAMPLES_MAX,
    timeoutMs: config.STORE_TIMEOUT_MS,
    onFlush: metrics.flushed,
    onFailure(reason, error) {
      metrics.flushFailed(reason)
      const cause = reason === 'no-memory' ? NO_MEMORY : error
      if (cause !== undefined) failures(cause, 'samples were not stored')
    },
  })
  metrics.watchQueue(() => batcher.samples)
  const watcher = new ProgressWatcher({
    store: store.gateway,
    waitersMax: config.ANALYZE_WAITERS_MAX,
    timeoutMs: config.STORE_TIMEOUT_MS,
    onRejected: () => metrics.limitReached('waiters'),
  })
  metrics.watchLimit('waiters', () => watcher.waiting)
  const keys = new KeyAdmission({
    store: store.keys,
    partitions: store.partitions,
    keysMax: config.KEYS_MAX,
    keysPerOwnerMax: config.KEYS_PER_API_KEY_MAX,
    samplesMax: config.QUEUE_SAMPLES_MAX,
    now: () => performance.now(),
    onRejected: metrics.rejected,
    onFailure: error => failures(error, 'the keys could not be counted'),
  })
  const feed = new Feed({
    store,
    failures,
    metrics,
    timeoutMs: config.STORE_TIMEOUT_MS,
    feedsMax: config.FEEDS_MAX,
    feedsPerClientMax: config.FEEDS_PER_CLIENT_MAX,
    bytesMax: config.FEEDS_BYTES_MAX,
    heartbeatMs: config.FEED_HEARTBEAT_MS,
    random: Math.random,
  })
  metrics.watchFeeds(feed)
  metrics.watchKeys(config.KEYS_MAX, () => keys.total)
  return {
    store,
    batcher,
    watcher,
    keys,
    feed,
    drainRate: createDrainRate({ store: store.gateway, now: () => performance.now(), random: Math.random }),
  } satisfies Services
}
