/** Fractions are counted in millionths: the sum of integers does not depend on their order. */
export const MILLION = 1e6

/** What is counted for the samples that a rule scores; `expected` in millionths of a sample. */
export const RULE_COUNTS = ['judged', 'flagged', 'expected', 'opened'] as const
export type RuleCount = (typeof RULE_COUNTS)[number]

/** Returns a counter's name, `rule:version:what`, with the version of the rule's last change. */
export function ruleCountName(rule: string, version: number, what: RuleCount): string {
  return `${rule}:${version}:${what}`
}

export function parseRuleCountName(name: string): { rule: string; version: number; what: RuleCount } | undefined {
  const [, rule, version, what] = /^([^:]*):(\d{1,15}):([a-z]+)$/.exec(name) ?? []
  if (rule === undefined || !RULE_COUNTS.some(known => known === what)) return undefined
  return { rule, version: Number(version), what: what as RuleCount }
}
