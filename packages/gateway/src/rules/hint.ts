import type { RuleDocument } from '@tidemark/shared/detection/rules/document'
import { literalPattern } from '@tidemark/shared/detection/rules/glob'
import { RuleError, type RuleInput, readNewRule } from '@tidemark/shared/detection/rules/rule'
import type { Explanation } from '@tidemark/shared/detection/rules/rule-set'
import type { WindowContent } from '@tidemark/shared/detection/window-row'

/** With fewer samples, and fewer that rise, it may be chance. */
const SAMPLES_MIN = 20
const RISES_MIN = 10

/** A counter that restarts more often than once in so many rises is a sawtooth. */
const RISES_PER_RESTART = 10

/** Members that are meant for values, and those that concern the present rule alone. */
const NOT_FOR_RATES: ReadonlySet<string> = new Set(['deviation_min', 'min', 'max', 'influence', 'mute', 'shadow'])

const ID_MAX = 64

export interface Hint {
  readonly kind: 'counter'
  readonly reason: string
  /** Ready for `PUT /rules/{id}`. */
  readonly rule: RuleInput
}

/**
 * Suggests the rule for a counter if a key rises steadily in its window; null if it does not. Only
 * a suggestion: a tank that fills rises as steadily, and what it holds is no rate.
 */
export function counterHint(
  { key, rule, policy }: Pick<Explanation, 'key' | 'rule' | 'policy'>,
  { rules }: Pick<RuleDocument, 'rules'>,
  window: (Pick<WindowContent, 'values' | 'timestamps'> & { readonly isOfCounter?: boolean }) | undefined,
): Hint | null {
  const isKnown = policy.isCounter || window?.isOfCounter === true
  const reason = isKnown || window === undefined ? undefined : describeRise(window)
  if (reason === undefined) return null
  const inForce = rules.find(kept => kept.rule.id === rule)?.rule
  const pattern = literalPattern(key)
  const taken = new Set(rules.map(kept => kept.rule.id))
  const id = inForce?.pattern === pattern ? inForce.id : freeId(key, taken)
  const kept = Object.entries(inForce ?? {}).filter(([name]) => !NOT_FOR_RATES.has(name))
  const suggested = { ...Object.fromEntries(kept), id, pattern, counter: true }
  return isValid(suggested) ? { kind: 'counter', reason, rule: suggested } : null
}

/** Whether the rule can be put: the longest keys, with special characters, have no pattern. */
function isValid(rule: RuleInput): boolean {
  try {
    readNewRule(rule)
    return true
  } catch (error) {
    if (error instanceof RuleError) return false
    throw error
  }
}

/** Describes a window that rises and never falls; undefined for others. A restart is no fall. */
function describeRise({ values, timestamps }: Pick<WindowContent, 'values' | 'timestamps'>): string | undefined {
  // Late samples are in the order of arrival.
  const order = values.map((_, n) => n).toSorted((a, b) => (timestamps[a] as number) - (timestamps[b] as number))
  let rises = 0
  let restarts = 0
  for (let n = 1; n < order.length; n++) {
    const before = values[order[n - 1] as number] as number
    const value = values[order[n] as number] as number
    if (value > before) rises++
    else if (value < before && value >= 0 && value < before / 2) restarts++
    else if (value < before) return undefined
  }
  if (values.length < SAMPLES_MIN || rises < RISES_MIN || restarts * RISES_PER_RESTART > rises) return undefined
  const restarted = restarts === 0 ? '' : `; it started again ${restarts === 1 ? 'once' : `${restarts} times`}`
  return `${rises} of ${values.length - 1} steps in its window rise, and none falls${restarted}`
}

/** Returns an id for a rule of one key that no other rule has. */
function freeId(key: string, taken: ReadonlySet<string>): string {
  const name = `counter-${key.replaceAll(/[^A-Za-z0-9._-]+/g, '-')}`
  for (let n = 1; ; n++) {
    const end = n === 1 ? '' : `-${n}`
    const id = `${name.slice(0, ID_MAX - end.length)}${end}`
    if (!taken.has(id)) return id
  }
}
