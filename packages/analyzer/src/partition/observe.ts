import { type Effects, MILLION } from '../judging/effects.ts'
import type { AnalyzerMetrics } from '../metrics.ts'

/** Counts what a commit did once it is applied. */
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
