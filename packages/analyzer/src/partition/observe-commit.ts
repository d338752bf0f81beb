import { MILLION } from '@tidemark/shared/detection/rules/rule-counts'
import { entryTimeMs } from '@tidemark/shared/sample/receipt'
import type { Context } from '../context.ts'
import type { Effects } from '../judging/effects.ts'
import { type TracedCommit, tracesOf } from './tracing.ts'

export interface ObserveOptions extends Pick<Context, 'metrics' | 'log'> {
  /** Called with each commit whose entries carry traces. */
  readonly onTraced?: (commit: TracedCommit) => void
}

/** Puts an applied commit of a run into metrics, log and traces. */
export function observeCommit(commit: TracedCommit, effects: Effects, options: ObserveOptions): void {
  const { partition, run, outcome, tookMs } = commit
  const { metrics, log, onTraced } = options
  const { from, to, analysed, dead } = run
  metrics.samplesAnalysed.inc(analysed)
  observeEffects(metrics, effects)
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

/** Counts the effects of an applied commit. */
export function observeEffects(metrics: Context['metrics'], effects: Effects): void {
  const { anomalies, opened, ended, tally, refused, counts } = effects
  metrics.anomalies.inc(anomalies.length)
  metrics.legacyAnomalies.inc(anomalies.length)
  for (const { opening } of opened) metrics.alertsOpened.inc({ kind: opening.cause.kind, severity: opening.severity })
  for (const { end } of ended) metrics.alertsResolved.inc({ reason: end.resolve_reason })
  metrics.samplesLate.inc(tally.late)
  metrics.samplesDuplicate.inc(tally.duplicate)
  metrics.samplesRefused.inc({ reason: 'late' }, refused.late)
  metrics.samplesRefused.inc({ reason: 'duplicate' }, refused.duplicate)
  for (const [{ rule }, { judged, flagged, expected }] of counts) {
    const label = { rule: rule ?? '' }
    metrics.ruleJudged.inc(label, judged)
    metrics.ruleFlagged.inc(label, flagged)
    metrics.ruleExpected.inc(label, expected / MILLION)
  }
}
