import { Judge } from '@tidemark/shared/detection/judge'
import type { RuleSet } from '@tidemark/shared/detection/rules/rule-set'

const judgesOfRules = new WeakMap<RuleSet, Judge[]>()

/** The judges of some rules, by the numbers of their policies. They keep nothing between samples, so all partitions share them. */
export function judgesOf(rules: RuleSet): readonly Judge[] {
  let judges = judgesOfRules.get(rules)
  if (judges === undefined) {
    judges = rules.policies.map(policy => new Judge(policy))
    judgesOfRules.set(rules, judges)
  }
  return judges
}
