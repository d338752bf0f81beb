import type { Clock } from '@tidemark/shared/runtime/clock'
import type { FailureLog } from '@tidemark/shared/runtime/logger'
import type { AlertStore } from '@tidemark/shared/store/ports/alerts'
import { parseSavedWatch } from './storm-saved.ts'

/** Together with the keeper's interval well within the delay of a new alert's notification. */
const VIEW_MS = 1000

export interface StormViewOptions {
  readonly alerts: Pick<AlertStore, 'loadStorm'>
  readonly storeErrors: { inc(): void }
  readonly logFailure: FailureLog
  readonly clock: Clock
}

/** The storm as the keeper saved it last; the last known one while the store is unavailable. */
export class StormView implements AsyncDisposable {
  readonly #options: StormViewOptions
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  #saved: string | null = null
  /** Anomalies that opened at this time or later are part of the storm. */
  #from = Number.POSITIVE_INFINITY

  constructor(options: StormViewOptions) {
    this.#options = options
    this.#done = this.#run()
  }

  /** Whether an alert that opened at `openedAt` belongs to the current storm. */
  covers(openedAt: number): boolean {
    return openedAt >= this.#from
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #run(): Promise<void> {
    const { alerts, storeErrors, logFailure, clock } = this.#options
    while (!this.#stop.signal.aborted) {
      try {
        const saved = await alerts.loadStorm()
        if (saved !== this.#saved) {
          this.#saved = saved
          this.#from = parseSavedWatch(saved ?? '')?.state.storm?.from ?? Number.POSITIVE_INFINITY
        }
      } catch (error) {
        storeErrors.inc()
        logFailure(error, 'reading the storm state failed')
      }
      await clock.pause(VIEW_MS, this.#stop.signal)
    }
  }
}
