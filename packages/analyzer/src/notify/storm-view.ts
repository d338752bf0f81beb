import type { Clock } from '@tidemark/shared/runtime/clock'
import type { AlertStore } from '@tidemark/shared/store/ports/alerts'
import { type AttemptOptions, attempt, type Repetition, repeat } from '../repeat.ts'
import { parseSavedWatch } from './storm-saved.ts'

/** Together with the keeper's interval well within the delay of a new alert's notification. */
const VIEW_MS = 1000

export interface StormViewOptions extends AttemptOptions {
  readonly alerts: Pick<AlertStore, 'loadStorm'>
  readonly clock: Clock
}

/** The storm as the keeper saved it last; the last known one while the store is unavailable. */
export class StormView implements AsyncDisposable {
  readonly #polling: Repetition
  #saved: string | null = null
  /** Anomalies that opened at this time or later are part of the storm. */
  #from = Number.POSITIVE_INFINITY

  constructor(options: StormViewOptions) {
    const { alerts, clock } = options
    const read = () => attempt('reading the storm state', () => this.#read(alerts), options)
    this.#polling = repeat(read, clock, VIEW_MS)
  }

  /** Whether an alert that opened at `openedAt` belongs to the current storm. */
  covers(openedAt: number): boolean {
    return openedAt >= this.#from
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#polling[Symbol.asyncDispose]()
  }

  async #read(alerts: StormViewOptions['alerts']): Promise<void> {
    const saved = await alerts.loadStorm()
    if (saved === this.#saved) return
    this.#saved = saved
    this.#from = parseSavedWatch(saved ?? '')?.state.storm?.from ?? Number.POSITIVE_INFINITY
  }
}
