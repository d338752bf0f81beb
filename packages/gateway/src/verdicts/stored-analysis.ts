import type { Analysis, State } from '@tidemark/shared/verdict/analysis'

/** The states that the newest analysis of a key can have: a refused sample leaves it as it was. */
export const KEY_STATES = ['warming', 'flat', 'ok', 'anomalous'] as const satisfies readonly State[]
export const STATES = [...KEY_STATES, 'refused'] as const satisfies readonly State[]

const TEXTS = ['key', 'id'] as const satisfies readonly (keyof Analysis)[]
const NUMBERS = ['value', 'timestamp', 'threshold', 'count', 'window', 'analyzed_at'] as const
const NUMBERS_OR_NULL = ['mean', 'deviation', 'z', 'low', 'high'] as const

/**
 * Reads an analysis from the store; undefined if it is corrupt. A page holds a thousand of them, so
 * this is written by hand: a schema would take several times as long. Unknown members are allowed:
 * an analyzer of the next release may have written them.
 */
export function readAnalysis(json: string): Analysis | undefined {
  let content: unknown
  try {
    content = JSON.parse(json)
  } catch {
    return undefined
  }
  return isAnalysis(content) ? content : undefined
}

function isAnalysis(content: unknown): content is Analysis {
  if (typeof content !== 'object' || content === null) return false
  const found = content as { readonly [name in keyof Analysis]?: unknown }
  const isNumberOrNull = (value: unknown): boolean => value === null || typeof value === 'number'
  return (
    TEXTS.every(name => typeof found[name] === 'string') &&
    NUMBERS.every(name => typeof found[name] === 'number') &&
    NUMBERS_OR_NULL.every(name => isNumberOrNull(found[name])) &&
    typeof found.anomaly === 'boolean' &&
    STATES.some(state => state === found.state) &&
    ['string', 'undefined'].includes(typeof found.rule) &&
    ['string', 'undefined'].includes(typeof found.detector) &&
    (found.score === undefined || isNumberOrNull(found.score)) &&
    (found.late ?? true) === true &&
    (found.duplicate ?? true) === true
  )
}
