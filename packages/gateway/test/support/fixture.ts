import type { ApiKey } from '@tidemark/shared/access/api-key'
import { COUNT, createRow, pushSample, rowShape } from '@tidemark/shared/detection/key-row'
import { encodeRow, type StoredWindow, storedLengthMax } from '@tidemark/shared/detection/window-row'
import type { Spans } from '@tidemark/shared/runtime/tracing/spans'
import { unpackEntry } from '@tidemark/shared/sample/entry'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import type { AlertStore } from '@tidemark/shared/store/ports/alerts'
import type { ApiKeyStore } from '@tidemark/shared/store/ports/api-keys'
import type { AuditStore } from '@tidemark/shared/store/ports/audit'
import { type Commit, NO_RULE_EFFECTS } from '@tidemark/shared/store/ports/commit'
import type { FeedStore } from '@tidemark/shared/store/ports/feed'
import type { GatewayStore } from '@tidemark/shared/store/ports/gateway'
import type { KeyStore } from '@tidemark/shared/store/ports/keys'
import type { RuleStore } from '@tidemark/shared/store/ports/rules'
import type { Store } from '@tidemark/shared/store/ports/store'
import { type Analysis, type Finding, toAnalysis, VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { type Logger, pino } from 'pino'
import { Registry } from 'prom-client'
import { type AuthMode, createAuthentication } from '../../src/access/authentication.ts'
import { KeyTable } from '../../src/access/key-table.ts'
import { createOriginRules } from '../../src/access/origin.ts'
import { RouteAccess } from '../../src/access/route-access.ts'
import { createSessions } from '../../src/access/sessions.ts'
import { createApp } from '../../src/app.ts'
import { auditConcern } from '../../src/audit/audit.ts'
import { type GatewayConfig, gatewaySchema, isHttps, originOptions } from '../../src/config.ts'
import { createFailures } from '../../src/failures.ts'
import { createClients, createServices } from '../../src/gateway.ts'
import type { Assets } from '../../src/http/assets.ts'
import { requestConcerns } from '../../src/http/concerns.ts'
import { createPipeline } from '../../src/http/pipeline.ts'
import { createIngest } from '../../src/ingest/ingest.ts'
import { FAULT_FORMATS } from '../../src/ingest/protocols/fault-formats.ts'
import { SeriesIndex } from '../../src/ingest/protocols/remote-write/series.ts'
import { SeriesRules } from '../../src/ingest/protocols/remote-write/series-rules.ts'
import { createMetrics } from '../../src/metrics.ts'
import { required } from '../../src/services.ts'

/** The clock of an app under test: Unix milliseconds. */
export const NOW = 1_700_000_000_000

export interface TestAppOptions {
  readonly store?: Store
  /** Replaces methods of the store's gateway side. */
  readonly override?: Partial<GatewayStore>
  readonly overrideRules?: Partial<RuleStore>
  readonly overrideAlerts?: Partial<AlertStore>
  readonly overrideKeys?: Partial<KeyStore>
  readonly overrideFeed?: Partial<FeedStore>
  readonly overrideApiKeys?: Partial<ApiKeyStore>
  readonly overrideAudit?: Partial<AuditStore>
  /** As in the environment. */
  readonly settings?: Readonly<Record<string, string>>
  readonly isStoreOpen?: boolean
  /** API keys of the file. With them, requests need one. */
  readonly keys?: readonly ApiKey[]
  readonly auth?: AuthMode
  readonly log?: Logger
  readonly isStopping?: boolean
  readonly seriesRules?: SeriesRules
  readonly now?: () => number
  readonly spans?: Spans
  readonly docs?: Assets
  readonly console?: Assets
}

/** Creates an app on an in-memory store, without a process or port. */
export function createTestApp({
  store = createMemoryStore(),
  override = {},
  overrideRules = {},
  overrideAlerts = {},
  overrideKeys = {},
  overrideFeed = {},
  overrideApiKeys = {},
  overrideAudit = {},
  settings = {},
  isStoreOpen = true,
  keys = [],
  auth = 'auto',
  isStopping = false,
  seriesRules = new SeriesRules(),
  now = () => NOW,
  log = pino({ level: 'silent' }),
  spans,
  docs = new Map(),
  console = new Map(),
}: TestAppOptions = {}) {
  const config: GatewayConfig = gatewaySchema.parse(settings)
  const registry = new Registry()
  const metrics = createMetrics(registry)
  const opened: Store = {
    ...store,
    gateway: { ...store.gateway, ...override },
    rules: { ...store.rules, ...overrideRules },
    alerts: { ...store.alerts, ...overrideAlerts },
    keys: { ...store.keys, ...overrideKeys },
    feed: { ...store.feed, ...overrideFeed },
    apiKeys: { ...store.apiKeys, ...overrideApiKeys },
    audit: { ...store.audit, ...overrideAudit },
  }
  const failures = createFailures(log, metrics)
  const services = createServices({ store: opened, config, metrics, failures })
  const live = required(() => (isStoreOpen ? services : undefined))
  const access = new RouteAccess()
  const clients = createClients({ config, failures, store: () => services.store, gateways: () => 1 })
  const keyTable = new KeyTable()
  keyTable.replace('file', keys)
  const sessions = createSessions({ table: keyTable, ttlMs: config.SESSION_TTL_MS, isSecure: isHttps(config), now })
  if (isStoreOpen) void sessions.load(store.sessions)
  const authentication = createAuthentication({
    mode: auth,
    isLoopback: true,
    table: keyTable,
    identifySession: sessions.identify,
    now,
    onResult: metrics.authentication,
  })
  if (isStoreOpen) authentication.keysLoaded()
  const audit = auditConcern({ services: live, log, metrics, failures, access })
  const app = createApp({
    config,
    log,
    registry,
    metrics,
    access,
    authentication,
    sessions,
    keyTable,
    refreshKeys: async () => keyTable.replace('store', (await opened.apiKeys.load()).keys),
    pipeline: createPipeline(
      requestConcerns({
        metrics,
        failures,
        access,
        authentication,
        audit,
        clients,
        trustedProxies: config.TRUSTED_PROXIES,
        origins: createOriginRules(originOptions(config)),
        isHttps: isHttps(config),
        spans,
        isStopping: () => isStopping,
      }),
      FAULT_FORMATS,
    ),
    now,
    seriesIndex: new SeriesIndex({
      template: config.PROMETHEUS_KEY,
      counters: config.PROMETHEUS_COUNTERS,
      rules: seriesRules,
    }),
    ingest: createIngest({ config, metrics, now, services: live }),
    services: live,
    notReady: () => (isStoreOpen ? undefined : 'the store is not open yet'),
    docs,
    console,
  })
  return {
    app,
    services,
    registry,
    keyTable,
    sessions,
    post: (
      body: string | Uint8Array | ReadableStream<Uint8Array>,
      headers: Record<string, string> = { 'Content-Type': 'application/json' },
    ) => app.request('/ingest', { method: 'POST', body, headers, duplex: 'half' } as RequestInit),
  }
}

export interface StoredSample {
  readonly partition: number
  readonly id: string
  readonly key: string
  readonly value: number
  readonly timestamp: number
}

/**
 * Returns every sample in the store, in the order of each partition's stream, without acknowledging
 * any.
 */
export async function storedSamples(store: MemoryStore): Promise<StoredSample[]> {
  const samples: StoredSample[] = []
  for (let partition = 0; partition < store.partitions; partition++) {
    await store.analyzer.loadCheckpoint(partition)
    await store.analyzer.read([partition], { count: 1_000_000, blockMs: 0 })
    for (const entry of await store.analyzer.readPending(partition, '0-0', 1_000_000)) {
      const unpacked = unpackEntry(entry)
      if (unpacked.kind === 'unreadable') throw new Error(unpacked.reason)
      for (let i = 0; i < unpacked.samples.length; i += 3) {
        const [key, value, timestamp] = unpacked.samples.slice(i, i + 3)
        samples.push({ partition, id: entry.id, key: String(key), value: Number(value), timestamp: Number(timestamp) })
      }
    }
  }
  return samples
}

const EMPTY_COMMIT = {
  entries: [],
  witness: undefined,
  analysed: 0,
  dead: 0,
  keys: [],
  anomalies: [],
  deadLetters: [],
  verdicts: [],
  keepFrom: '0-0',
  rulesVersion: 0,
  ...NO_RULE_EFFECTS,
} as const

/** Stands in for the owner of a partition: commits effects of rules, without entries. */
export async function commitEffects(
  store: Store,
  partition: number,
  effects: Partial<Pick<Commit, 'aggregates' | 'alerts' | 'anomalies' | 'counts' | 'keys' | 'shadowed'>>,
): Promise<void> {
  const lease = { partition, token: `test:${partition}` }
  await store.analyzer.acquireLease(partition, lease.token, 60_000)
  const from = await store.analyzer.loadCheckpoint(partition)
  const outcome = await store.analyzer.commit(lease, {
    ...EMPTY_COMMIT,
    from,
    to: from,
    ...effects,
  })
  if (outcome.kind !== 'ok') throw new Error(`not committed: ${outcome.kind}`)
}

/**
 * Appends entries with these texts and commits them as dead letters, as an analyzer does. Returns
 * their receipts.
 */
export async function addDeadLetters(store: MemoryStore, texts: readonly string[], partition = 0): Promise<string[]> {
  const lease = { partition, token: `test:${partition}` }
  await store.analyzer.acquireLease(partition, lease.token, 60_000)
  const from = await store.analyzer.loadCheckpoint(partition)
  await store.gateway.append(texts.map(samples => ({ partition, samples, count: 1 })))
  const [found] = await store.analyzer.read([partition], { count: 1000, blockMs: 0 })
  const ids = (found?.entries ?? []).map(({ id }) => id)
  const outcome = await store.analyzer.commit(lease, {
    ...EMPTY_COMMIT,
    from,
    to: { id: ids.at(-1) ?? '', offset: from.offset + ids.length },
    entries: ids,
    dead: ids.length,
    deadLetters: ids.map((id, i) => ({ id, reason: `reason ${i}`, samples: texts[i] ?? '' })),
  })
  if (outcome.kind !== 'ok') throw new Error(`not committed: ${outcome.kind}`)
  return ids.map(id => `${partition}:${id}`)
}

/** Adds dead letters of starts of alerts for the receiver `hook`. Returns their ids. */
export async function addDeadNotifications(
  store: MemoryStore,
  alerts: readonly string[],
  partition: number,
): Promise<string[]> {
  const lease = { partition, token: `test:${partition}` }
  await store.analyzer.acquireLease(partition, lease.token, 60_000)
  const dead = alerts.map(alert => ({ alert, status: 'firing' as const, number: 1, reason: 'status 403', since: 5 }))
  const deliveries = { receiver: 'hook', receivers: ['hook'], upTo: undefined, alerts: [], dead }
  if (!(await store.alerts.recordDeliveries(lease, deliveries))) throw new Error('the lease is not ours')
  const letters = await store.alerts.deadNotifications(partition, { count: alerts.length })
  return letters.map(({ id }) => `${partition}:${id}`).reverse()
}

/**
 * Stands in for the analyzers: commits a finding for every unprocessed sample, with one window row
 * per key.
 */
export async function analyseAll(store: MemoryStore, toFinding = plainFinding, keepsVerdicts = true): Promise<void> {
  for (let partition = 0; partition < store.partitions; partition++) {
    const from = await store.analyzer.loadCheckpoint(partition)
    const samples = (await storedSamples(store)).filter(sample => sample.partition === partition)
    if (samples.length === 0) continue
    const lease = { partition, token: `test:${partition}` }
    await store.analyzer.acquireLease(partition, lease.token, 60_000)
    const entries = await store.analyzer.readPending(partition, from.id, 1_000_000)
    const findings = samples.map(toFinding)
    const rows = new Map<string, Analysis>()
    findings.forEach((finding, i) => {
      rows.set(finding.key, toAnalysis(finding, contextOf(partition, samples[i]?.id ?? '')))
    })
    const last = entries.at(-1)?.id ?? from.id
    await store.analyzer.commit(lease, {
      ...EMPTY_COMMIT,
      from,
      to: { id: last, offset: from.offset + samples.length },
      entries: entries.map(({ id }) => id),
      analysed: samples.length,
      anomalies: findings.flatMap((finding, i) => {
        const analysis = toAnalysis(finding, contextOf(partition, samples[i]?.id ?? ''))
        return analysis.anomaly ? [JSON.stringify(analysis)] : []
      }),
      keys: [...rows].map(([key, analysis]) => ({
        key,
        window: { kind: 'row', bytes: rowOf(analysis) },
        analysis: JSON.stringify(analysis),
      })),
      verdicts: keepsVerdicts
        ? entries.map(({ id }) => ({
            id,
            findings: floats(
              findings
                .filter((_, i) => samples[i]?.id === id)
                .flatMap(({ mean, deviation, count, window }) => [mean, deviation, count, window]),
            ),
            threshold: VERDICT_DEFAULTS.threshold,
            windowMin: VERDICT_DEFAULTS.windowMin,
            analyzedAt: NOW,
            rulesVersion: 0,
            judged: null,
            rests: null,
          }))
        : [],
    })
  }
}

function plainFinding({ key, value, timestamp }: StoredSample): Finding {
  return { key, value, timestamp, mean: 100, deviation: 10, meanRest: 0, count: 51, window: 50, judged: null }
}

function contextOf(partition: number, id: string) {
  return { partition, id, analyzedAt: NOW, ...VERDICT_DEFAULTS }
}

/** Replaces a key's window by one of these values, all measured at NOW. */
export async function putWindow(store: MemoryStore, key: string, values: readonly number[]): Promise<void> {
  const timestamps = values.map(() => NOW)
  const { row: bytes } = windowOf(values, timestamps)
  const partition = partitionOf(key, store.partitions)
  await commitEffects(store, partition, { keys: [{ key, window: { kind: 'row', bytes }, analysis: null }] })
}

function rowOf({ count, value, timestamp }: Analysis): Uint8Array {
  return windowOf([value], [timestamp], count).row
}

/** Returns a key's window as it is stored. */
export function windowOf(
  values: readonly number[],
  timestamps: readonly number[],
  count = values.length,
): StoredWindow {
  const row = createRow(rowShape(VERDICT_DEFAULTS.window, 'zscore', false))
  row.rows[COUNT] = count
  for (const [n, value] of values.entries()) pushSample(row, value, timestamps[n] ?? 0)
  const encoded = new Float64Array(storedLengthMax(row.shape))
  return { row: floats([...encoded.subarray(0, encodeRow(row, encoded, 0))]), tail: null }
}

function floats(values: readonly number[]): Uint8Array {
  return new Uint8Array(Float64Array.from(values).buffer)
}
