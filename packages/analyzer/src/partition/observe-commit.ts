import { MILLION } from '@tidemark/shared/detection/rules/rule-counts'
import { entryTimeMs } from '@tidemark/shared/sample/receipt'
import type { Logger } from 'pino'
import type { Effects } from '../judging/effects.ts'
import type { AnalyzerMetrics } from '../metrics.ts'
import { type TracedCommit, tracesOf } from './tracing.ts'

/** A commit that is applied. */
export interface AppliedCommit extends TracedCommit {
  readonly effects: Effects
}

export interface ObserveOptions {
  readonly metrics: AnalyzerMetrics
  readonly log: Logger
  /** Called with each commit whose entries carry traces. */
  readonly onTraced?: (commit: TracedCommit) => void
}

/** Puts an applied commit of a run into metrics, log and traces. */
export function observeCommit(commit: AppliedCommit, { metrics, log, onTraced }: ObserveOptions): void {
  const { partition, run, outcome, effects, tookMs } = commit
  const { from, to, sampleCount, deadSampleCount } = run
  metrics.samplesAnalysed.inc(sampleCount)
  observeEffects(metrics, effects)
  metrics.batchSamples.observe(sampleCount)
  metrics.batchSeconds.observe(tookMs / 1000)
  const lost = to.offset - from.offset - sampleCount - deadSampleCount
  if (lost > 0) {
    metrics.samplesLost.inc(lost)
    log.error({ partition, lost, from, to }, 'accepted samples were missing from the stream')
  }
  for (const { id, reason } of run.dead) {
    metrics.deadLetters.inc()
    log.error({ partition, id, reason, ...tracesOf(run, id) }, 'an entry became a dead letter')
  }
  if (run.traced.length > 0) onTraced?.(commit)
  if (outcome.kind !== 'ok') return
  for (const { id } of run.readable) metrics.delaySeconds.observe(Math.max(0, outcome.at - entryTimeMs(id)) / 1000)
}

/** Counts the effects of an applied commit. */
export function observeEffects(metrics: AnalyzerMetrics, { anomalies, opened, ended, tally, counts }: Effects): void {
  metrics.anomalies.inc(anomalies.length)
  metrics.legacyAnomalies.inc(anomalies.length)
  for (const { opening } of opened) metrics.alertsOpened.inc({ kind: opening.cause.kind, severity: opening.severity })
  for (const { end } of ended) metrics.alertsResolved.inc({ reason: end.resolve_reason })
  metrics.samplesLate.inc(tally.late)
  metrics.samplesDuplicate.inc(tally.duplicates)
  metrics.samplesRefused.inc({ reason: 'late' }, tally.refusedLate)
  metrics.samplesRefused.inc({ reason: 'duplicate' }, tally.refusedDuplicates)
  for (const [{ rule }, { judged, flagged, expected }] of counts) {
    const label = { rule: rule ?? '' }
    metrics.ruleJudged.inc(label, judged)
    metrics.ruleFlagged.inc(label, flagged)
    metrics.ruleExpected.inc(label, expected / MILLION)
  }
}
