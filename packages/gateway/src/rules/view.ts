import type { AlertPolicy } from '@tidemark/shared/detection/alerts/alert'
import type { KeptRule, RuleDocument } from '@tidemark/shared/detection/rules/document'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import type { RuleInput } from '@tidemark/shared/detection/rules/rule'
import type { Explanation } from '@tidemark/shared/detection/rules/rule-set'
import { problem } from '../http/documentation.ts'
import { RequestFault } from '../http/problem.ts'
import { idParameter } from '../http/query.ts'
import { type AlertCounts, markedView } from './alert-counts.ts'
import { type CountSums, countsOf } from './counts.ts'
import type { Hint } from './hint.ts'

export const RULE_ID = idParameter('The id of the rule.', 'edge-cpu')
export const RULE_UNKNOWN = { 404: problem('No rule with this id.', 'rule-unknown') }

/** Returns the rule with an id from a path; throws a RequestFault if there is none. */
export function findRule({ rules }: RuleDocument, id: string): KeptRule {
  const kept = rules.find(({ rule }) => rule.id === id)
  if (kept === undefined) throw new RequestFault({ kind: 'rule-unknown' })
  return kept
}

/** What is counted of rules. */
export interface RuleCounts {
  readonly sums: CountSums
  /** The alerts of the last 30 days by rule. */
  readonly alerts: AlertCounts['groups']
}

export const NOTHING_COUNTED: RuleCounts = { sums: new Map(), alerts: new Map() }

/** A rule in a response: as it was written, its last change, and what was counted since. */
export function ruleView({ rule, version, changed: { who, why, at } }: KeptRule, { sums, alerts }: RuleCounts) {
  const counts = countsOf(sums, rule.id, version)
  return { rule, version, changed: { who, why, at }, counts, ...feedbackOf(alerts, rule.id) }
}

function feedbackOf(alerts: RuleCounts['alerts'], rule: string) {
  const count = alerts.get(rule)
  return count === undefined || count.useful + count.noise === 0 ? {} : { feedback: markedView(count) }
}

/** All rules in a response. */
export function documentView({ version, rules, mutes, storm }: RuleDocument, counted: RuleCounts) {
  const views = rules.map(kept => ruleView(kept, counted))
  const unmatched = { counts: countsOf(counted.sums, '', 0), ...feedbackOf(counted.alerts, '') }
  return { version, rules: views, default: unmatched, mutes, storm }
}

/** Which rule is in force for a key and why, in the members that rules are written with. */
export function explanationView(explanation: Explanation, document: RuleDocument, hint: Hint | null) {
  const { others, policy, ...same } = explanation
  return {
    ...same,
    others: others.map(({ rule, pattern, isShadow }) => ({ rule, pattern, shadow: isShadow })),
    policy: policyView(policy, document),
    hint,
  }
}

/** A policy as the rule that would set all of it. */
export function policyView(policy: Policy, document: RuleDocument) {
  const written = document.rules.find(({ rule }) => rule.id === policy.rule)?.rule
  const { detector, window, direction, hygiene, order } = policy
  return {
    detector,
    // With a budget each key has its own.
    threshold: policy.budget === null ? policy.threshold : null,
    budget: written?.budget ?? null,
    window,
    samples_min: policy.samplesMin ?? null,
    direction,
    deviation_min: policy.deviationMin ?? 0,
    deviation_min_relative: policy.deviationMinRelative,
    influence: hygiene.isHeld ? 'held' : 'full',
    level_shift_after: hygiene.levelShiftAfter === 0 ? null : hygiene.levelShiftAfter,
    guard: policy.guard !== null,
    alert: alertPolicyView(policy.alert),
    silent: silentView(policy, written),
    late: order.refusesLate ? 'refuse' : 'mark',
    duplicates: order.dropsDuplicates ? 'drop' : 'keep',
    ...(written?.min === undefined ? {} : { min: written.min }),
    ...(written?.max === undefined ? {} : { max: written.max }),
    ...(policy.unit === null ? {} : { unit: policy.unit }),
    ...(written?.ignore === undefined ? {} : { ignore: [...new Set(written.ignore)] }),
    ...(policy.isCounter ? { counter: true as const } : {}),
  }
}

function alertPolicyView({ sustained, closeAfter, holdMs, resolveAfterMs, severity, ...same }: AlertPolicy) {
  return {
    ...same,
    sustained: Number.isFinite(sustained) ? sustained : 'off',
    close_after: closeAfter,
    hold: durationText(holdMs),
    resolve_after: durationText(resolveAfterMs),
    severity,
  }
}

function silentView({ silence }: Policy, written: RuleInput | undefined): string | null {
  if (silence === null) return null
  return silence.afterMs === null ? 'learned' : (written?.silent ?? durationText(silence.afterMs))
}

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'm'],
  [1000, 's'],
] as const

/** Formats a duration as rules write it, without rounding: `90s`, `10m`. */
export function durationText(ms: number): string {
  if (ms === 0) return '0s'
  const [unit, name] = UNITS.find(([unit]) => ms % unit === 0) ?? [1, 'ms']
  return `${ms / unit}${name}`
}
