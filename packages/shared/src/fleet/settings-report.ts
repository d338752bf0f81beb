import { createHash } from 'node:crypto'
import { z } from 'zod'
import { parseJson } from '../parsing/issues.ts'
import type { ProcessReport } from '../store/ports/processes.ts'

/** Settings that must be equal, by name. Those that can hold a secret are given as a digest. */
export type SharedSettings = Readonly<Record<string, string>>

/** A setting on which running processes disagree. */
export interface Disagreement {
  readonly setting: string
  /** By value: the names of the processes that have it. */
  readonly values: ReadonlyMap<string, readonly string[]>
}

const reportSchema = z.looseObject({ settings: z.record(z.string(), z.string()) })

/** Processes of one value that a sentence names. */
const NAMED_MAX = 3

export function encodeSettings(settings: SharedSettings): string {
  return JSON.stringify({ settings })
}

/** Returns the settings with more than one value. A process without a setting has no say. */
export function disagreementsIn(reports: readonly ProcessReport[]): Disagreement[] {
  const bySetting = new Map<string, Map<string, string[]>>()
  for (const { name, content } of reports) {
    for (const [setting, value] of Object.entries(parseJson(reportSchema, content)?.settings ?? {})) {
      const values = bySetting.get(setting) ?? new Map<string, string[]>()
      bySetting.set(setting, values.set(value, [...(values.get(value) ?? []), name]))
    }
  }
  return [...bySetting].flatMap(([setting, values]) => (values.size > 1 ? [{ setting, values }] : []))
}

/** Returns the sentence about a disagreement: `WINDOW differs: 50 on a, b; 60 on c`. */
export function describeDisagreement({ setting, values }: Disagreement): string {
  const parts = [...values].map(([value, names]) => {
    const more = names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more` : ''
    return `${value === '' ? 'unset' : value} on ${names.slice(0, NAMED_MAX).join(', ')}${more}`
  })
  return `${setting} differs: ${parts.join('; ')}`
}

/** Returns what stands for a value that can hold a secret; '' if it is unset. */
export function digestSetting(value: unknown): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return ''
  const digest = createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 12)
  const count = Array.isArray(value) ? `${value.length} value${value.length === 1 ? '' : 's'} ` : ''
  return `${count}(digest ${digest})`
}
