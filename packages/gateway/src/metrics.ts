import { exportBuildInfo } from '@tidemark/shared/runtime/build-info'
import { createObservers, createTallies, type Tally } from '@tidemark/shared/runtime/hot-metrics'
import { createCounters, createGauges } from '@tidemark/shared/runtime/metric-tables'
import { collectProcessMetrics } from '@tidemark/shared/runtime/process-metrics'
import type { StoreErrorKind } from '@tidemark/shared/store/ports/errors'
import { FEED_KINDS, type FeedKind } from '@tidemark/shared/store/ports/feed'
import { DURABILITY_LEVELS, type DurabilityLevel } from '@tidemark/shared/store/ports/store'
import { type Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { AUTHENTICATION_RESULTS, type AuthenticationResult } from './access/authentication.ts'
import { KEY_SOURCES, type KeySource } from './access/key-table.ts'
import type { RatePolicy } from './limits/clients.ts'

/** Label values come from closed sets: clients must not be able to create time series. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** The rule that a sample broke, or the limit or failure that kept it from the store. */
const REJECTION_REASONS = [
  'shape',
  'key',
  'value',
  'timestamp',
  'forbidden',
  'keys_max',
  'full',
  'memory',
  'queue',
  'rate',
  'store',
  'keys',
  'internal',
] as const
export type RejectionReason = (typeof REJECTION_REASONS)[number]

/** The rules that a sample can break: a retry of it cannot succeed. */
const RULES = REJECTION_REASONS.slice(0, 6)

/** Protocols in which samples arrive; `json` is `POST /ingest` with all of its formats. */
export const PROTOCOLS = ['json', 'influx', 'otlp', 'remote_write'] as const
export type ProtocolName = (typeof PROTOCOLS)[number]

/** What is neither a sample nor a mistake. */
export const SKIP_REASONS = ['text', 'null', 'nested', 'unsupported', 'stale', 'not_finite', 'denied'] as const
export type SkipReason = (typeof SKIP_REASONS)[number]

/** Why an entry was not stored, or is not known to be stored. */
const FLUSH_FAILURES = [
  'refused',
  'unknown',
  'fatal',
  'backlog-full',
  'limit-reached',
  'no-memory',
  'timeout',
  'internal',
] as const
export type FlushFailure = (typeof FLUSH_FAILURES)[number]

/** Faults of requests with samples of which nothing was used: a retry of them cannot succeed. */
const REFUSALS = [
  'body-empty',
  'body-incomplete',
  'body-malformed',
  'body-too-large',
  'body-fragmented',
  'samples-too-many',
  'samples-invalid',
  'media-type-unsupported',
  'idempotency-key-invalid',
  'idempotency-key-reused',
  'keys-limit-reached',
  'key-forbidden',
  'scope-missing',
  'unauthenticated',
  'host-not-allowed',
  'origin-not-allowed',
  'parameters-invalid',
] as const
const REFUSAL_KINDS: ReadonlySet<string> = new Set(REFUSALS)

const STORE_FAILURES = ['refused', 'unknown', 'fatal'] as const satisfies readonly StoreErrorKind[]

/** Limits of one client, beyond which it gets 429. */
const RATE_LIMITS = ['requests', 'samples', 'failed-authentications'] as const satisfies readonly RatePolicy[]

/** Bounds on what requests may occupy, beyond which they get 503. */
const LIMITS = [
  'waiters',
  'feeds',
  'analysis_pages',
  'histories',
  'aggregates',
  'anomaly_pages',
  'alert_pages',
  'audit_pages',
  'rule_changes',
  'rule_previews',
  'key_scans',
  'key_pages',
] as const
export type Limit = (typeof LIMITS)[number]

const COUNTERS = {
  requests: ['gateway_http_requests_total', 'HTTP responses sent.', { route: [], method: [], status: [] }],
  dropped: [
    'gateway_connections_dropped_total',
    'Connections closed at once because the limit was reached (CONNECTIONS_MAX).',
  ],
  unread: [
    'gateway_connections_unread_total',
    'Connections closed because clients had too many bytes of responses unread (BODIES_BYTES_MAX).',
  ],
  handshakesFailed: [
    'gateway_tls_handshakes_failed_total',
    'TLS connections that ended before a request could be sent.',
  ],
  reloadsFailed: [
    'gateway_tls_reloads_failed_total',
    'Changes of TLS_CERT_FILE or TLS_KEY_FILE that could not be used: the previous certificate stays in use.',
  ],
  accepted: ['gateway_samples_accepted_total', 'Samples that the store has confirmed.'],
  ingested: ['metrics_ingest_total', 'Requests of which samples were stored, for existing dashboards.'],
  rejected: [
    'gateway_samples_rejected_total',
    'Samples that were not accepted, by the rule they broke or the reason they were not stored.',
    { reason: REJECTION_REASONS },
  ],
  requestsRefused: [
    'gateway_requests_refused_total',
    'Requests with samples that were refused as a whole with 4xx, by the problem: their clients discard the samples.',
    { reason: REFUSALS },
  ],
  protocolAccepted: [
    'gateway_protocol_samples_accepted_total',
    'Samples that the store has confirmed, by the protocol in which they arrived.',
    { protocol: PROTOCOLS },
  ],
  protocolRejected: [
    'gateway_protocol_samples_rejected_total',
    'Samples that were rejected because they broke a rule, by the protocol in which they arrived.',
    { protocol: PROTOCOLS, reason: RULES },
  ],
  protocolSkipped: [
    'gateway_protocol_fields_skipped_total',
    'Values of requests that are no samples, such as texts among numbers (text) or what PROMETHEUS_RULES_FILE drops (denied), by the protocol.',
    { protocol: PROTOCOLS, reason: SKIP_REASONS },
  ],
  repeated: [
    'gateway_samples_repeated_total',
    'Samples of retried requests (Idempotency-Key) that were already stored.',
  ],
  deadSettled: [
    'gateway_dead_entries_settled_total',
    'Dead letters that an operator redrove (put_back) or discarded.',
    { how: ['put_back', 'discarded'] },
  ],
  deadNotificationsSettled: [
    'gateway_dead_notifications_settled_total',
    'Dead letters of notifications that an operator redrove (put_back) or discarded.',
    { how: ['put_back', 'discarded'] },
  ],
  flushesFailed: [
    'gateway_flushes_failed_total',
    'Entries that were not stored, or whose outcome is unknown.',
    { reason: FLUSH_FAILURES },
  ],
  storeFailures: [
    'gateway_store_failures_total',
    'Store operations that failed: nothing was done (refused), it may be done (unknown), or a retry cannot help (fatal).',
    { reason: STORE_FAILURES },
  ],
  bugs: ['gateway_internal_errors_total', 'Errors of the gateway itself, after which it responds 500.'],
  authentications: [
    'gateway_authentications_total',
    'Requests of routes that need an API key, by what became of it (pending: the keys in the store are not loaded yet).',
    { result: AUTHENTICATION_RESULTS },
  ],
  keysUnreadable: [
    'gateway_api_key_loads_failed_total',
    'Times that API keys could not be read: of API_KEYS_FILE (file) or of the store.',
    { source: KEY_SOURCES },
  ],
  auditFailed: [
    'gateway_audit_failures_total',
    'Changes whose result could not be added to their record in the audit log; the log of the gateway has it.',
  ],
  feedReads: ['gateway_feed_reads_total', 'Reads of the store for live feeds, whatever their number.'],
  feedEvents: ['gateway_feed_events_total', 'Events sent to live feeds.', { kind: FEED_KINDS }],
  feedCoalesced: [
    'gateway_feed_events_coalesced_total',
    'Analyses left out of feeds that were read slowly, because newer ones of their keys were sent.',
  ],
  feedGaps: ['gateway_feed_gaps_total', 'Gaps that a live feed had because events were no longer kept.'],
  limitReached: [
    'gateway_limit_reached_total',
    'Requests rejected because as many waited as may wait (ANALYZE_WAITERS_MAX for waiters), or were open (FEEDS_MAX).',
    { limit: LIMITS },
  ],
  rateLimited: [
    'gateway_rate_limited_total',
    'Requests that got 429, because an API key or an address sent more than its limit allows.',
    { limit: RATE_LIMITS },
  ],
} as const

const GAUGES = {
  certificateExpiry: [
    'gateway_tls_certificate_expiry_timestamp_seconds',
    'When the TLS certificate in use expires, as Unix time; 0 without TLS.',
  ],
  seriesRulesBroken: [
    'gateway_prometheus_rules_file_unreadable',
    'Whether PROMETHEUS_RULES_FILE cannot be used at present (1): its last valid content applies.',
  ],
  durability: [
    'gateway_durability',
    'What stored samples survive: 1 for the level in force (DURABILITY), 0 for the others and while the store is not open.',
    { level: DURABILITY_LEVELS },
  ],
  settingsDiffering: ['gateway_settings_differing', 'Settings on which running processes disagree.'],
  authenticationEnabled: ['gateway_authentication_enabled', 'Whether requests need an API key (1), or not (0).'],
  keysLoaded: ['gateway_api_keys', 'API keys in force, by where they come from.', { source: KEY_SOURCES }],
  keyFileBroken: ['gateway_api_keys_file_unreadable', 'Whether API_KEYS_FILE cannot be read at present (1).'],
  keysMax: ['gateway_keys_max', 'Keys that the deployment may have (KEYS_MAX).'],
} as const

export interface RequestObservation {
  /** A route's template, or `unmatched`. */
  readonly route: string
  readonly method: string
  readonly status: number
  readonly seconds: number
}

export type GatewayMetrics = ReturnType<typeof createMetrics>

export function createMetrics(registry: Registry) {
  collectProcessMetrics(registry)
  exportBuildInfo(registry, 'gateway')
  const registers = [registry]
  const counters = createCounters(registry, COUNTERS)
  const gauges = createGauges(registry, GAUGES)
  const authenticationTally = createTallies(counters.authentications)
  const authentications = Object.fromEntries(
    AUTHENTICATION_RESULTS.map(result => [result, authenticationTally({ result })]),
  ) as Record<AuthenticationResult, Tally>
  const acceptedTally = createTallies(counters.protocolAccepted)
  const acceptedBy = Object.fromEntries(PROTOCOLS.map(protocol => [protocol, acceptedTally({ protocol })])) as Record<
    ProtocolName,
    Tally
  >
  const accepted = createTallies(counters.accepted)({})
  const ingested = createTallies(counters.ingested)({})
  const flushSamples = new Histogram({
    name: 'gateway_flush_samples',
    help: 'Samples written by one flush.',
    buckets: [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000],
    registers,
  })
  const flushSeconds = new Histogram({
    name: 'gateway_flush_seconds',
    help: 'Latency of a flush to the store.',
    buckets: SECONDS,
    registers,
  })
  return {
    ...requestMetrics(counters.requests, registers),
    /** Counts the responses sent so far, and those with a status of 500 or more. */
    async responses() {
      const { values } = await counters.requests.get()
      const sum = (found: typeof values): number => found.reduce((total, { value }) => total + value, 0)
      return { sent: sum(values), failed: sum(values.filter(({ labels }) => Number(labels.status) >= 500)) }
    },
    /** Counts a request with samples by its kind of fault, unless the request can succeed later. */
    requestFailed(kind: string) {
      if (REFUSAL_KINDS.has(kind)) counters.requestsRefused.inc({ reason: kind })
    },
    durabilityKnown(level: DurabilityLevel) {
      for (const other of DURABILITY_LEVELS) gauges.durability.set({ level: other }, other === level ? 1 : 0)
    },
    settingsCompared: (differing: number) => gauges.settingsDiffering.set(differing),
    authentication(result: AuthenticationResult) {
      authentications[result].count++
    },
    authenticationEnabled: (isEnabled: boolean) => gauges.authenticationEnabled.set(isEnabled ? 1 : 0),
    keysLoaded: (source: KeySource, keys: number) => gauges.keysLoaded.set({ source }, keys),
    keysUnreadable: (source: KeySource) => counters.keysUnreadable.inc({ source }),
    keyFileBroken: (isBroken: boolean) => gauges.keyFileBroken.set(isBroken ? 1 : 0),
    seriesRulesBroken: (isBroken: boolean) => gauges.seriesRulesBroken.set(isBroken ? 1 : 0),
    connectionDropped: () => counters.dropped.inc(),
    unreadCut: () => counters.unread.inc(),
    handshakeFailed: () => counters.handshakesFailed.inc(),
    reloadFailed: () => counters.reloadsFailed.inc(),
    /** Undefined without TLS. */
    certificateUsed: (certificate: { readonly expiresAt: number } | undefined) =>
      gauges.certificateExpiry.set(certificate?.expiresAt ?? 0),
    accepted(samples: number) {
      accepted.count += samples
    },
    /** Counts a request of which samples were stored. */
    ingested(protocol: ProtocolName, samples: number) {
      ingested.count++
      accepted.count += samples
      acceptedBy[protocol].count += samples
    },
    /** Counts samples that broke a rule. */
    rejectedBy(protocol: ProtocolName, reason: RejectionReason, samples: number) {
      counters.rejected.inc({ reason }, samples)
      counters.protocolRejected.inc({ protocol, reason }, samples)
    },
    skippedBy: (protocol: ProtocolName, reason: SkipReason, values: number) =>
      counters.protocolSkipped.inc({ protocol, reason }, values),
    repeated: (samples: number) => counters.repeated.inc(samples),
    rejected: (reason: RejectionReason, samples: number) => counters.rejected.inc({ reason }, samples),
    deadSettled: (how: 'put_back' | 'discarded') => counters.deadSettled.inc({ how }),
    deadNotificationSettled: (how: 'put_back' | 'discarded') => counters.deadNotificationsSettled.inc({ how }),
    flushed(samples: number, seconds: number) {
      flushSamples.observe(samples)
      flushSeconds.observe(seconds)
    },
    storeFailed: (reason: StoreErrorKind) => counters.storeFailures.inc({ reason }),
    bugFound: () => counters.bugs.inc(),
    auditFailed: () => counters.auditFailed.inc(),
    limitReached: (limit: Limit) => counters.limitReached.inc({ limit }),
    rateLimited: (limit: RatePolicy) => counters.rateLimited.inc({ limit }),
    watchLimit: limitUse(registers),
    feedRead: () => counters.feedReads.inc(),
    /** Counts what one feed was sent. */
    feedSent(counts: Readonly<Record<FeedKind, number>>, coalesced: number, hasGap: boolean) {
      for (const kind of FEED_KINDS) if (counts[kind] > 0) counters.feedEvents.inc({ kind }, counts[kind])
      if (coalesced > 0) counters.feedCoalesced.inc(coalesced)
      if (hasGap) counters.feedGaps.inc()
    },
    /** Exports how many feeds are open, and the bytes that their clients have not read. */
    watchFeeds(feed: { readonly open: number; readonly unsent: number }) {
      new Gauge({
        name: 'gateway_feed_clients',
        help: 'Live feeds that are open.',
        registers,
        collect() {
          this.set(feed.open)
        },
      })
      new Gauge({
        name: 'gateway_feed_unsent_bytes',
        help: 'Bytes that the clients of live feeds have not read (FEEDS_BYTES_MAX).',
        registers,
        collect() {
          this.set(feed.unsent)
        },
      })
    },
    flushFailed: (reason: FlushFailure) => counters.flushesFailed.inc({ reason }),
    /** Exports the number of registered keys, which `keys` returns, and their limit. */
    watchKeys(keysMax: number, keys: () => number) {
      gauges.keysMax.set(keysMax)
      new Gauge({
        name: 'gateway_keys',
        help: 'Keys of the deployment, as this gateway counted them last. It counts while it gets samples.',
        registers,
        collect() {
          this.set(keys())
        },
      })
    },
    /** Exports the number of samples that wait in the queue, which `samples` returns. */
    watchQueue(samples: () => number) {
      new Gauge({
        name: 'gateway_queue_samples',
        help: 'Samples that wait for the store to confirm them.',
        registers,
        collect() {
          this.set(samples())
        },
      })
    },
  }
}

/** Returns a function that exports how much of a limit is in use, which `used` returns. */
function limitUse(registers: Registry[]) {
  const watched = new Map<Limit, () => number>()
  new Gauge({
    name: 'gateway_limit_used',
    help: 'Requests that wait for a verdict (waiters), or for others of their kind.',
    labelNames: ['limit'],
    registers,
    collect() {
      for (const [limit, used] of watched) this.set({ limit }, used())
    },
  })
  return (limit: Limit, used: () => number): void => {
    watched.set(limit, used)
  }
}

/** The former name of gateway_http_request_seconds, for existing dashboards. */
const REQUEST_DURATION = 'http_request_duration_seconds'

/** Exports a histogram of requests by its former name too. It costs nothing but at a scrape. */
function registerFormerName(registry: Registry, requestSeconds: Histogram<'route'>): void {
  const help = 'The same as gateway_http_request_seconds, for existing dashboards; path is its route.'
  const former = new Histogram({ name: REQUEST_DURATION, help, labelNames: ['route', 'path'], registers: [] })
  async function get() {
    const { values, ...metric } = await requestSeconds.get()
    const renamed = values.map(({ labels, metricName = '', ...value }) => ({
      ...value,
      labels: { ...labels, path: labels.route },
      metricName: metricName.replace('gateway_http_request_seconds', REQUEST_DURATION),
    }))
    return { ...metric, name: REQUEST_DURATION, help, values: renamed }
  }
  // A registry renders what the latter returns.
  registry.registerMetric(Object.assign(former, { get, getForPromString: get }) as unknown as Histogram)
}

function requestMetrics(requests: Counter<'route' | 'method' | 'status'>, registers: Registry[]) {
  const requestSeconds = new Histogram({
    name: 'gateway_http_request_seconds',
    help: 'Latency from the request to its response.',
    labelNames: ['route'],
    buckets: SECONDS,
    registers,
  })
  for (const registry of registers) registerFormerName(registry, requestSeconds)
  const tallyOf = createTallies(requests)
  const observerOf = createObservers(requestSeconds)
  const tallies = new Map<string, Map<string, Map<number, Tally>>>()
  const observers = new Map<string, (seconds: number) => void>()

  function count(route: string, method: string, status: number): void {
    let byMethod = tallies.get(route)
    if (byMethod === undefined) {
      byMethod = new Map()
      tallies.set(route, byMethod)
    }
    let byStatus = byMethod.get(method)
    if (byStatus === undefined) {
      byStatus = new Map()
      byMethod.set(method, byStatus)
    }
    let tally = byStatus.get(status)
    if (tally === undefined) {
      tally = tallyOf({ route, method, status: String(status) })
      byStatus.set(status, tally)
    }
    tally.count++
  }

  return {
    request({ route, method, status, seconds }: RequestObservation) {
      count(route, METHODS.has(method) ? method : 'other', status)
      let observe = observers.get(route)
      if (observe === undefined) {
        observe = observerOf({ route })
        observers.set(route, observe)
      }
      observe(seconds)
    },
    /** Counts a response to input that never became a request of a route. */
    refused: (status: number) => count('unmatched', 'other', status),
  }
}
