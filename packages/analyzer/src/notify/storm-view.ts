import type { StormState } from '@tidemark/shared/detection/alerts/storm'
import { parseJson } from '@tidemark/shared/parsing/issues'
import type { AlertStore } from '@tidemark/shared/store/ports/alerts'
import { z } from 'zod'
import { attempt, repeat } from '../repeat.ts'
import type { NotifierOptions } from './options.ts'

/** Together with the keeper's interval well within the delay of a new alert's notification. */
const VIEW_MS = 1000

const numbers = z.array(z.number())

/** The saved counts and feed positions: saved together, so that no entry counts twice. */
const savedSchema = z.object({
  state: z.object({
    withinMs: z.number(),
    slot: z.number(),
    opened: numbers,
    firing: numbers,
    newest: z.array(z.object({ key: z.string(), time: z.number() })),
    storm: z
      .object({
        openedAt: z.number(),
        from: z.number(),
        firing: z.number(),
        keys: z.array(z.string()),
        keyCount: z.number(),
      })
      .nullable(),
  }) satisfies z.ZodType<StormState>,
  /** For each partition, the last entry of its feed that the state includes. */
  positions: z.record(z.string(), z.string()),
  keysTotal: z.number(),
})
export type SavedWatch = Omit<z.output<typeof savedSchema>, 'state'> & { readonly state: StormState }

/** Parses a saved state; undefined if another version wrote it. */
export function parseSavedWatch(text: string): SavedWatch | undefined {
  return parseJson(savedSchema, text)
}

/** The storm as the keeper saved it last; the last known one while the store is unavailable. */
export class StormView implements AsyncDisposable {
  readonly #polling: AsyncDisposable
  #saved: string | null = null
  /** Anomalies that opened at this time or later are part of the storm. */
  #from = Number.POSITIVE_INFINITY

  constructor(options: NotifierOptions) {
    const read = () => attempt('reading the storm state', () => this.#read(options.alerts), options)
    this.#polling = repeat(read, options.clock, VIEW_MS)
  }

  /** Whether an alert that opened at `openedAt` belongs to the current storm. */
  covers(openedAt: number): boolean {
    return openedAt >= this.#from
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#polling[Symbol.asyncDispose]()
  }

  async #read(alerts: AlertStore): Promise<void> {
    const saved = await alerts.loadStorm()
    if (saved === this.#saved) return
    this.#saved = saved
    this.#from = parseSavedWatch(saved ?? '')?.state.storm?.from ?? Number.POSITIVE_INFINITY
  }
}
