import { fieldText, type RuleDraft } from './fields.ts'

/** One member of a rule as text. */
export interface Member {
  readonly path: string
  readonly value: string
}

/** Members that say which rule it is, not what it sets. */
const NAMES: ReadonlySet<string> = new Set(['id', 'pattern', 'shadow'])

/** Returns all members of a rule, those of `alert` and `mute` one by one. */
export function membersOf(rule: RuleDraft): Member[] {
  return Object.entries(rule).flatMap(([name, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).map(([inner, one]) => ({ path: `${name}.${inner}`, value: fieldText(one) }))
      : [{ path: name, value: fieldText(value) }],
  )
}

/** Returns what a rule sets for its keys. */
export function settingsOf(rule: RuleDraft): Member[] {
  return membersOf(rule).filter(({ path }) => !NAMES.has(path))
}

/** What became of a member; undefined: it was not there, or is not any more. */
export interface Difference {
  readonly path: string
  readonly before: string | undefined
  readonly after: string | undefined
}

/** Returns the members in which two versions differ, in the order of the new one. */
export function differencesOf(before: RuleDraft, after: RuleDraft): Difference[] {
  const old = new Map(membersOf(before).map(({ path, value }) => [path, value]))
  const changed = membersOf(after)
    .filter(({ path, value }) => old.get(path) !== value)
    .map(({ path, value }) => ({ path, before: old.get(path), after: value }))
  const kept = new Set(membersOf(after).map(({ path }) => path))
  const removed = [...old].filter(([path]) => !kept.has(path))
  return [...changed, ...removed.map(([path, value]) => ({ path, before: value, after: undefined }))]
}
