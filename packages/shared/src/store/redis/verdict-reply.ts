import type { EntryId } from '../../sample/receipt.ts'
import { type EntryVerdicts, VERDICT_FIELDS } from '../../verdict/kept-verdicts.ts'
import { toFields } from './replies.ts'

/** Reads the verdicts on an entry's samples; null when they are not what a commit writes. */
export function toVerdicts(id: EntryId, flat: readonly Buffer[], samples: string): EntryVerdicts | null {
  const fields = toFields(flat)
  const number = (name: string): number => Number(fields.get(name) ?? Number.NaN)
  const findings = fields.get(VERDICT_FIELDS.findings)
  const judgements = fields.get(VERDICT_FIELDS.judgements)
  const policies = fields.get(VERDICT_FIELDS.policies)
  const numbers = {
    threshold: number(VERDICT_FIELDS.threshold),
    windowMin: number(VERDICT_FIELDS.windowMin),
    analyzedAt: number(VERDICT_FIELDS.analyzedAt),
    rulesVersion: number(VERDICT_FIELDS.rulesVersion),
  }
  if (findings === undefined || !Object.values(numbers).every(Number.isFinite)) return null
  const judged = judgements === undefined || policies === undefined ? null : { judgements, policies: String(policies) }
  return { id, samples, findings, judged, ...numbers }
}
