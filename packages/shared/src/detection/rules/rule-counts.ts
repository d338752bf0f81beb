/** What is counted of the samples that a rule judges; `expected` in millionths of a sample. */
export const RULE_COUNTS = ['judged', 'flagged', 'expected', 'opened'] as const
export type RuleCount = (typeof RULE_COUNTS)[number]

/** Under which name something is counted: `rule:version:what`, the version being that of the rules when this one was last changed. */
export function ruleCountName(rule: string, version: number, what: RuleCount): string {
  return `${rule}:${version}:${what}`
}

/** Undefined for what is no such name: somebody else wrote it. */
export function parseRuleCountName(name: string): { rule: string; version: number; what: RuleCount } | undefined {
  const [, rule, version, what] = /^([^:]*):(\d{1,15}):([a-z]+)$/.exec(name) ?? []
  if (rule === undefined || !RULE_COUNTS.some(known => known === what)) return undefined
  return { rule, version: Number(version), what: what as RuleCount }
}
