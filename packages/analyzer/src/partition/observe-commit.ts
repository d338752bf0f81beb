import { MILLION } from '@tidemark/shared/detection/rules/rule-counts'
import type { Spans } from '@tidemark/shared/runtime/tracing/spans'
import { unpackTraces } from '@tidemark/shared/sample/entry'
import { LOAD_KEYS } from '@tidemark/shared/sample/load-keys'
import { type EntryId, entryTimeMs, formatReceipt } from '@tidemark/shared/sample/receipt'
import { traceFields } from '@tidemark/shared/sample/trace-context'
import type { CommitOutcome } from '@tidemark/shared/store/ports/commit'
import type { Context } from '../context.ts'
import type { Effects } from '../judging/effects.ts'
import type { Run } from '../judging/run.ts'

export interface AppliedCommit {
  readonly partition: number
  readonly run: Run
  readonly outcome: CommitOutcome
  /** Time to process the run, its commit included. */
  readonly tookMs: number
}

export interface ObserveOptions extends Pick<Context, 'metrics' | 'log'> {
  /** Called with each commit whose entries carry traces. */
  readonly onTraced?: (commit: AppliedCommit) => void
  /** Called after each commit that opened or ended alerts. */
  readonly onAlerts?: () => void
}

/** Puts an applied commit of a run into metrics, log and traces. */
export function observeCommit(commit: AppliedCommit, effects: Effects, options: ObserveOptions): void {
  const { partition, run, outcome, tookMs } = commit
  const { metrics, log, onTraced } = options
  const { from, to, analysed, dead } = run
  metrics.samplesAnalysed.inc(analysed)
  observeEffects(effects, options)
  metrics.batchSamples.observe(analysed)
  metrics.batchSeconds.observe(tookMs / 1000)
  const lost = to.offset - from.offset - analysed - dead
  if (lost > 0) {
    metrics.samplesLost.inc(lost)
    log.error({ partition, lost, from, to }, 'accepted samples were missing from the stream')
  }
  for (const { id, reason } of run.deadLetters) {
    metrics.deadLetters.inc()
    log.error({ partition, id, reason, ...tracesOf(run, id) }, 'an entry became a dead letter')
  }
  if (run.traced.length > 0) onTraced?.(commit)
  if (outcome.kind !== 'ok') return
  for (const { id } of run.readable) metrics.delaySeconds.observe(Math.max(0, outcome.at - entryTimeMs(id)) / 1000)
}

/** The begin of each analysis of the key that load reports share. */
const LOAD_ANALYSIS = `{"key":${JSON.stringify(LOAD_KEYS.rps)},`

function isOfLoadReport(analysis: string): boolean {
  return analysis.startsWith(LOAD_ANALYSIS)
}

export function observeEffects(effects: Effects, { metrics, onAlerts }: ObserveOptions): void {
  const { anomalies, opened, ended, tally, refused, ignored, counts } = effects
  if (opened.length + ended.length > 0) onAlerts?.()
  metrics.anomalies.inc(anomalies.length)
  metrics.loadAnomalies.inc(anomalies.filter(isOfLoadReport).length)
  for (const { opening } of opened) metrics.alertsOpened.inc({ kind: opening.cause.kind, severity: opening.severity })
  for (const { end } of ended) metrics.alertsResolved.inc({ reason: end.resolve_reason })
  metrics.samplesLate.inc(tally.late)
  metrics.samplesDuplicate.inc(tally.duplicate)
  metrics.samplesRefused.inc({ reason: 'late' }, refused.late)
  metrics.samplesRefused.inc({ reason: 'duplicate' }, refused.duplicate)
  for (const [rule, count] of ignored) metrics.samplesIgnored.inc({ rule }, count)
  for (const [{ rule }, { judged, flagged, expected }] of counts) {
    const label = { rule: rule ?? '' }
    metrics.ruleJudged.inc(label, judged)
    metrics.ruleFlagged.inc(label, flagged)
    metrics.ruleExpected.inc(label, expected / MILLION)
  }
}

/** Returns the fields that name an entry's traces in a log line. */
export function tracesOf({ traced }: Run, id: EntryId): Readonly<Record<string, unknown>> {
  const entry = traced.find(one => one.id === id)
  return entry === undefined ? {} : traceFields(unpackTraces(entry.traces))
}

export interface TracingOptions extends Pick<Context, 'metrics' | 'log'> {
  readonly spans: Spans | undefined
  /** Unix milliseconds. */
  readonly now: () => number
}

/**
 * Returns a function that publishes the traces of a commit's entries: a log line per entry, an
 * exemplar of the latency, and a span in each recorded trace, which then spans both services.
 */
export function createTracing({ metrics, log, spans, now }: TracingOptions): (commit: AppliedCommit) => void {
  return ({ partition, run, outcome, tookMs }) => {
    const endMs = now()
    for (const { id, count: samples, traces: text } of run.traced) {
      const traces = unpackTraces(text)
      if (traces.length === 0) continue
      const receipt = formatReceipt({ partition, id })
      const fault = run.deadLetters.find(dead => dead.id === id)?.reason
      const delayMs = outcome.kind === 'ok' ? Math.max(0, outcome.at - entryTimeMs(id)) : undefined
      const recorded = traces.filter(({ isSampled }) => isSampled)
      if (fault === undefined) {
        const [first] = recorded
        if (first !== undefined && delayMs !== undefined) metrics.delaySeconds.exemplify(delayMs / 1000, first)
        log.debug({ receipt, samples, delayMs, ...traceFields(traces) }, 'an entry was analysed')
      }
      const attributes = {
        'messaging.system': 'redis',
        'messaging.operation.type': 'process',
        'messaging.message.id': receipt,
        'messaging.destination.partition.id': String(partition),
        'tidemark.samples': samples,
        ...(delayMs === undefined ? {} : { 'tidemark.delay_ms': delayMs }),
      }
      for (const parent of recorded) {
        const span = spans?.begin({ name: 'analyse', kind: 'consumer', parent, attributes, startMs: endMs - tookMs })
        span?.end(undefined, fault)
      }
    }
  }
}
