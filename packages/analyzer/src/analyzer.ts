import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { Presence } from '@tidemark/shared/fleet/presence'
import { systemClock } from '@tidemark/shared/runtime/clock'
import { createFailureLog } from '@tidemark/shared/runtime/logger'
import { measureWhenRead } from '@tidemark/shared/runtime/metric-tables'
import type { Spans } from '@tidemark/shared/runtime/tracing/spans'
import type { Backlog } from '@tidemark/shared/store/ports/analyzer'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Logger } from 'pino'
import type { Metric, Registry } from 'prom-client'
import { type AnalyzerConfig, sharedSettings } from './config.ts'
import { RowMemory } from './judging/row-memory.ts'
import { RuleSource } from './judging/rule-source.ts'
import { type AnalyzerMetrics, createAnalyzerMetrics } from './metrics.ts'
import { createNotifyMetrics } from './notify/metrics.ts'
import { startNotifier } from './notify/notifier.ts'
import { createPost } from './notify/post.ts'
import { createReceivers } from './notify/receivers.ts'
import { Ownership } from './ownership/ownership.ts'
import { createIdsAheadWatch } from './partition/ids-ahead.ts'
import { createTracing } from './partition/observe-commit.ts'
import { RollbackWatch } from './partition/rollback-watch.ts'
import { RunLimit } from './partition/run-limit.ts'
import { createYield } from './partition/yielding.ts'
import { ReadLoop } from './reading/read-loop.ts'
import { repeat } from './repeat.ts'
import { measureRuleAlerts } from './rule-alerts.ts'
import { SinkHeaders } from './sink/headers.ts'
import { createSinkMetrics } from './sink/metrics.ts'
import { startSink } from './sink/sink.ts'

/** How often the ids of entries are compared with the store's clock. */
const WATCH_IDS_MS = 1000

/**
 * Memory of the runs in progress, besides the windows. The analyzer's memory limit in k8s allows
 * for it.
 */
const RUNS_BYTES_MAX = 64 * 1024 * 1024

export interface AnalyzerOptions {
  readonly config: AnalyzerConfig
  readonly store: Store
  readonly log: Logger
  readonly registry: Registry
  /** Undefined if no spans are collected. */
  readonly spans?: Spans | undefined
}

export interface Analyzer extends AsyncDisposable {
  /** What an operator should fix, in sentences. */
  readonly warnings: readonly string[]
}

/** Runs an analyzer until it is disposed of, which hands off its partitions, not the store. */
export function startAnalyzer({ config, store, log, registry, spans }: AnalyzerOptions): Analyzer {
  const metrics = createAnalyzerMetrics(registry)
  const clock = systemClock
  const context = { metrics, log, logFailure: createFailureLog(log), clock }
  const { partitions } = store
  metrics.partitions.set(partitions)
  const resources = new AsyncDisposableStack()
  const reading = resources.use(new ReadLoop({ ...context, store: store.analyzer }))
  const settings = {
    window: config.WINDOW,
    threshold: config.THRESHOLD,
    windowMin: config.WINDOW_MIN,
    batchSamplesMax: config.BATCH_SAMPLES_MAX,
    keysMax: Math.ceil((config.WINDOWS_MAX ?? Number.POSITIVE_INFINITY) / partitions),
    verdictsKept: config.VERDICTS_KEPT,
    alertWaitMs: config.ALERT_WAIT_MS,
    keyIdleTtlMs: config.KEY_IDLE_TTL,
    aggregates: config.AGGREGATES === 'on',
    sinkIntervalMs: config.SINK_URL === undefined ? undefined : config.SINK_INTERVAL_MS,
  }
  const memory = new RowMemory({ bytesMax: config.WINDOWS_BYTES_MAX })
  const rules = resources.use(
    new RuleSource({ ...context, store: store.rules, settings, pollMs: config.RULES_POLL_MS }),
  )
  const presence = resources.use(
    new Presence({
      ...context,
      store: store.processes,
      name: config.ANALYZER_ID ?? `${hostname()}-${randomUUID().slice(0, 8)}`,
      nameSetting: 'ANALYZER_ID',
      settings: sharedSettings(config),
      onCompared: differing => metrics.settingsDiffering.set(differing),
    }),
  )
  const ownership = resources.use(
    new Ownership({
      ...context,
      member: () => presence.name(),
      partitions,
      store: store.analyzer,
      keys: store.keys,
      leaseTtlMs: config.LEASE_TTL_MS,
      heartbeatMs: config.HEARTBEAT_MS,
      settings,
      reading,
      rules,
      memory,
      runs: new RunLimit({ bytesMax: RUNS_BYTES_MAX }),
      yieldToOthers: createYield(),
      rollbacks: new RollbackWatch(),
      onTraced: createTracing({ metrics, log, spans, now: clock.wallMs }),
      onAlerts: () => notifier.wake(),
    }),
  )
  // Disposed of before the leases are released, so that deliveries are recorded.
  const notifier = resources.use(
    startNotifier({
      ...context,
      metrics: { ...createNotifyMetrics(registry), storeErrors: metrics.storeErrors },
      alerts: store.alerts,
      partitions,
      receivers: createReceivers(config, clock),
      rules,
      leases: () => ownership.leases,
      storeNow: partition => ownership.storeNow(partition),
      waitMs: config.ALERT_WAIT_MS,
      groupWaitMs: config.ALERT_GROUP_WAIT_MS,
      resendMs: config.ALERT_RESEND_MS,
      retryMaxMs: config.NOTIFICATION_RETRY_MAX_MS,
    }),
  )
  const sinkMetrics = { ...createSinkMetrics(registry), storeErrors: metrics.storeErrors, faults: metrics.faults }
  if (config.SINK_URL !== undefined) {
    const headers = new SinkHeaders(config.SINK_HEADERS_FILE)
    resources.use(
      startSink({
        ...context,
        metrics: sinkMetrics,
        points: store.points,
        leases: () => ownership.leases,
        url: config.SINK_URL,
        post: createPost({ clock, secrets: headers.secrets }),
        headers,
        labels: { template: config.SINK_KEY, added: Object.entries(config.SINK_LABELS ?? {}) },
        intervalMs: config.SINK_INTERVAL_MS,
        retryMaxMs: config.SINK_RETRY_MAX_MS,
      }),
    )
  }
  const watchIds = createIdsAheadWatch(context)
  resources.use(repeat(async () => watchIds(ownership.workers), clock, WATCH_IDS_MS))
  measureWhenRead(measuredOf(metrics), clock, () =>
    measure(ownership, store, metrics, memory).catch((error: unknown) => {
      log.debug({ err: error }, 'measuring the backlog failed')
    }),
  )
  measureWhenRead([metrics.ruleAlerts], clock, () =>
    measureRuleAlerts({
      alerts: store.alerts,
      partitions: ownership.workers.map(({ partition }) => partition),
      rules: rules.current,
      metrics,
      now: clock.wallMs(),
    }).catch((error: unknown) => {
      log.debug({ err: error }, 'measuring the alerts of rules failed')
    }),
  )
  return {
    get warnings() {
      return presence.warnings
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** Sums up samples by state. Unless streams lost some, accepted is the sum of the others. */
export function accountOf(backlogs: readonly Backlog[]) {
  const account = { accepted: 0, analysed: 0, dead: 0, lost: 0, waiting: 0 }
  for (const { accepted, analysed, dead, samples, found } of backlogs) {
    account.accepted += accepted
    account.analysed += analysed
    account.dead += dead
    account.lost += accepted - samples - analysed - dead
    account.waiting += found
  }
  return account
}

/** The metrics that `measure` sets. */
function measuredOf(metrics: AnalyzerMetrics): Metric<string>[] {
  const { windowsBytes, windowsKept, deadLettersKept, keys, timers } = metrics
  const { partitionBacklog, backlogSamples, accountSamples, oldestSampleAgeSeconds } = metrics
  return [
    ...[windowsBytes, windowsKept, deadLettersKept, keys, timers],
    ...[partitionBacklog, backlogSamples, accountSamples, oldestSampleAgeSeconds],
  ]
}

async function measure(ownership: Ownership, store: Store, metrics: AnalyzerMetrics, memory: RowMemory): Promise<void> {
  const { workers } = ownership
  metrics.windowsBytes.set(memory.bytes)
  metrics.windowsKept.set(workers.reduce((sum, { keyCount }) => sum + keyCount, 0))
  const partitions = workers.map(({ partition }) => partition)
  const [backlogs, kept] = await Promise.all([
    store.analyzer.backlogs(partitions),
    store.analyzer.keptCounts(partitions),
  ])
  metrics.deadLettersKept.set(kept.reduce((sum, { deadLetters }) => sum + deadLetters, 0))
  metrics.keys.reset()
  for (const [i, partition] of partitions.entries()) metrics.keys.set({ partition }, kept[i]?.keys ?? 0)
  metrics.timers.set(kept.reduce((sum, { timers }) => sum + timers, 0))
  metrics.partitionBacklog.reset()
  for (const [i, partition] of partitions.entries()) {
    metrics.partitionBacklog.set({ partition }, backlogs[i]?.samples ?? 0)
  }
  metrics.backlogSamples.set(backlogs.reduce((sum, { samples }) => sum + samples, 0))
  for (const [state, samples] of Object.entries(accountOf(backlogs))) metrics.accountSamples.set({ state }, samples)
  metrics.oldestSampleAgeSeconds.set(Math.max(0, ...backlogs.map(({ oldestAgeMs }) => oldestAgeMs)) / 1000)
}
