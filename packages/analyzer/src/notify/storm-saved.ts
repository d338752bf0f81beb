import type { StormState } from '@tidemark/shared/detection/alerts/storm'
import type { EntryId } from '@tidemark/shared/sample/receipt'
import { z } from 'zod'

const place = z.number()
const counts = z.array(z.number())

const shape = z.object({
  state: z.object({
    withinMs: z.number(),
    slot: z.number(),
    opened: counts,
    firing: counts,
    newest: z.array(z.object({ key: z.string(), time: place })),
    storm: z
      .object({ openedAt: place, from: place, firing: z.number(), keys: z.array(z.string()), keyCount: z.number() })
      .nullable(),
  }),
  /** For each partition, the last entry of its feed that the state includes. */
  positions: z.record(z.string(), z.string()),
  keysTotal: z.number(),
})

/** The saved counts and feed positions: saved together, so that no entry counts twice. */
export interface SavedWatch {
  readonly state: StormState
  readonly positions: Readonly<Record<string, EntryId>>
  readonly keysTotal: number
}

/** Parses a saved state; undefined if another version wrote it. */
export function parseSavedWatch(text: string): SavedWatch | undefined {
  try {
    return shape.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}
