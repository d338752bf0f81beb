import type { Analysis, State } from '@tidemark/shared/verdict/analysis'

/** The states that the newest analysis of a key can have: a refused sample leaves it as it was. */
export const KEY_STATES = ['warming', 'flat', 'ok', 'anomalous'] as const satisfies readonly State[]
export const STATES = [...KEY_STATES, 'refused'] as const satisfies readonly State[]

type Guard = (value: unknown) => boolean

const isString: Guard = value => typeof value === 'string'
const isBoolean: Guard = value => typeof value === 'boolean'
const isNumber: Guard = value => typeof value === 'number'
const isNumberOrNull: Guard = value => value === null || isNumber(value)
const optional =
  (guard: Guard): Guard =>
  value =>
    value === undefined || guard(value)
const isOptionalTrue: Guard = value => value === undefined || value === true

const MEMBERS: readonly (readonly [keyof Analysis, Guard])[] = Object.entries({
  key: isString,
  value: isNumber,
  timestamp: isNumber,
  mean: isNumberOrNull,
  deviation: isNumberOrNull,
  z: isNumberOrNull,
  threshold: isNumber,
  low: isNumberOrNull,
  high: isNumberOrNull,
  anomaly: isBoolean,
  state: value => (STATES as readonly unknown[]).includes(value),
  count: isNumber,
  window: isNumber,
  id: isString,
  analyzed_at: isNumber,
  rule: optional(isString),
  detector: optional(isString),
  score: optional(isNumberOrNull),
  late: isOptionalTrue,
  duplicate: isOptionalTrue,
} satisfies Record<keyof Analysis, Guard>) as [keyof Analysis, Guard][]

/**
 * Reads an analysis from the store; undefined if it is corrupt. A page holds a thousand of them, so
 * this is written by hand: a schema would take several times as long.
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
  const members = content as Readonly<Record<string, unknown>>
  return MEMBERS.every(([name, isValid]) => isValid(members[name]))
}
