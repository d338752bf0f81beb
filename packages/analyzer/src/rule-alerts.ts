import { type AlertCount, addCounts, type MarkedCount, sumRecent } from '@tidemark/shared/detection/alerts/alert-counts'
import type { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { AlertStore } from '@tidemark/shared/store/ports/alerts'
import type { AnalyzerMetrics } from './metrics.ts'

interface MeasureOptions {
  readonly alerts: Pick<AlertStore, 'ruleAlertCounts'>
  /** The partitions that this analyzer owns. */
  readonly partitions: readonly number[]
  /** Only rules in force have a series, so their number is bounded. */
  readonly rules: Pick<RuleSet, 'policies'>
  readonly metrics: Pick<AnalyzerMetrics, 'ruleAlerts'>
  readonly now: number
}

/** Measures how many alerts each rule opened lately, and what operators marked them as. */
export async function measureRuleAlerts({ alerts, partitions, rules, metrics, now }: MeasureOptions): Promise<void> {
  const counted = await alerts.ruleAlertCounts(partitions)
  metrics.ruleAlerts.reset()
  for (const { rule } of rules.policies) {
    const { opened, useful, noise } = sumOf(
      counted.map(counts => counts.get(rule ?? '') ?? []),
      now,
    )
    if (opened === 0) continue
    const marks = { useful, noise, none: opened - useful - noise }
    for (const [mark, count] of Object.entries(marks)) metrics.ruleAlerts.set({ rule: rule ?? '', mark }, count)
  }
}

function sumOf(lists: readonly (readonly AlertCount[])[], now: number): MarkedCount {
  const none: MarkedCount = { opened: 0, useful: 0, noise: 0 }
  return lists.map(counts => sumRecent(counts, now)).reduce(addCounts, none)
}
