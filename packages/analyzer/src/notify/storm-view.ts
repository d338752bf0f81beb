import { isCoveredBy, type StormState } from '@tidemark/shared/detection/alerts/storm'
import { parseJson } from '@tidemark/shared/parsing/issues'
import { z } from 'zod'
import { attempt } from '../repeat.ts'
import type { NotifierOptions } from './options.ts'

const number = z.number()
const numbers = z.array(number)

/** The saved counts and feed positions: saved together, so that no entry counts twice. */
const savedSchema = z.object({
  state: z.object({
    withinMs: number,
    slot: number,
    opened: numbers,
    firing: numbers,
    newest: z.array(z.object({ key: z.string(), time: number })),
    storm: z
      .object({
        openedAt: number,
        from: number,
        until: number.optional(),
        firing: number,
        keys: z.array(z.string()),
        keyCount: number,
      })
      .nullable(),
  }) satisfies z.ZodType<StormState>,
  /** For each partition, the last entry of its feed that the state includes. */
  positions: z.record(z.string(), z.string()),
  keysTotal: number,
})
export type SavedWatch = Omit<z.output<typeof savedSchema>, 'state'> & { readonly state: StormState }

/** Parses a saved state; undefined if another version wrote it. */
export function parseSavedWatch(text: string): SavedWatch | undefined {
  return parseJson(savedSchema, text)
}

/** How old the view may be. With the keeper's pause: well within a new alert's ALERT_WAIT_MS. */
const VIEWED_MS = 500

/** The storm as the keeper saved it last; the last known one while the store is unavailable. */
export class StormView {
  readonly #options: NotifierOptions
  #viewedAt = Number.NEGATIVE_INFINITY
  #saved: string | null = null
  #storm: StormState['storm'] = null

  constructor(options: NotifierOptions) {
    this.#options = options
  }

  /** Whether an anomaly that opened at this time is part of the storm. */
  covers(openedAt: number): boolean {
    return this.#storm !== null && isCoveredBy(this.#storm, openedAt)
  }

  /** Reads the storm, unless that was done within VIEWED_MS. To be called before `covers`. */
  async refresh(): Promise<void> {
    const now = this.#options.clock.monotonicMs()
    if (now - this.#viewedAt < VIEWED_MS) return
    this.#viewedAt = now
    await attempt('reading the storm state', () => this.#update(), this.#options)
  }

  async #update(): Promise<void> {
    const saved = await this.#options.alerts.loadStorm()
    if (saved === this.#saved) return
    this.#saved = saved
    this.#storm = parseSavedWatch(saved ?? '')?.state.storm ?? null
  }
}
