import type { EntryId } from '../../sample/receipt.ts'
import { type EntryVerdicts, VERDICT_FIELDS } from '../../verdict/kept-verdicts.ts'

/** Reads names and values, as Redis returns entries and hashes; the last value of a name counts. */
export function toFields<T extends string | Buffer>(flat: readonly T[]): Map<string, T> {
  const fields = new Map<string, T>()
  for (let i = 0; i + 1 < flat.length; i += 2) fields.set(String(flat[i]), flat[i + 1] as T)
  return fields
}

/** Splits a flat list of pairs. */
export function toPairs(flat: readonly string[]): [string, string][] {
  const pairs: [string, string][] = []
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i] ?? '', flat[i + 1] ?? ''])
  return pairs
}

/** Reads counts by name, as HGETALL returns them. */
export function toCounts(found: Readonly<Record<string, string>>): ReadonlyMap<string, number> {
  return new Map(Object.entries(found).map(([name, count]) => [name, Number(count)]))
}

/** Reads the verdicts on an entry's samples; null when they are not what a commit writes. */
export function toVerdicts(id: EntryId, flat: readonly Buffer[], samples: string): EntryVerdicts | null {
  const fields = toFields(flat)
  const number = (name: string): number => Number(fields.get(name) ?? Number.NaN)
  const findings = fields.get(VERDICT_FIELDS.findings)
  const judgements = fields.get(VERDICT_FIELDS.judgements)
  const policies = fields.get(VERDICT_FIELDS.policies)
  const rests = fields.get(VERDICT_FIELDS.rests) ?? null
  const numbers = {
    threshold: number(VERDICT_FIELDS.threshold),
    windowMin: number(VERDICT_FIELDS.windowMin),
    analyzedAt: number(VERDICT_FIELDS.analyzedAt),
    rulesVersion: number(VERDICT_FIELDS.rulesVersion),
  }
  if (findings === undefined || !Object.values(numbers).every(Number.isFinite)) return null
  const judged = judgements === undefined || policies === undefined ? null : { judgements, policies: String(policies) }
  return { id, samples, findings, judged, rests, ...numbers }
}
