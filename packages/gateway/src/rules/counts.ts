import {
  MILLION,
  parseRuleCountName,
  RULE_COUNTS,
  type RuleCount,
  ruleCountName,
} from '@tidemark/shared/detection/rules/rule-counts'
import type { Store } from '@tidemark/shared/store/ports/store'

/** Counts by name, summed over all partitions. */
export type CountSums = ReadonlyMap<string, number>

/** Reads the counts of all rules. */
export async function sumRuleCounts({ partitions, gateway }: Store): Promise<CountSums> {
  const sums = new Map<string, number>()
  const counted = await Promise.all(Array.from({ length: partitions }, (_, partition) => gateway.ruleCounts(partition)))
  for (const [name, count] of counted.flatMap(counts => [...counts])) {
    if (parseRuleCountName(name) !== undefined) sums.set(name, (sums.get(name) ?? 0) + count)
  }
  return sums
}

/** Returns the counts of a rule at a version (see `countsSchema`); null if there are none. */
export function countsOf(sums: CountSums, rule: string, version: number) {
  const sumOf = (what: RuleCount): number | undefined => sums.get(ruleCountName(rule, version, what))
  if (RULE_COUNTS.every(what => sumOf(what) === undefined)) return null
  const expected = sumOf('expected')
  return {
    judged: sumOf('judged') ?? 0,
    flagged: sumOf('flagged') ?? 0,
    expected: expected === undefined ? null : expected / MILLION,
    opened: sumOf('opened') ?? 0,
  }
}
