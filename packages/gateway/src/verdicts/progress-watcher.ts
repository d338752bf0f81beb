import { pause } from '@tidemark/shared/runtime/lifecycle'
import { compareEntryIds, type Receipt } from '@tidemark/shared/sample/receipt'
import type { GatewayStore } from '@tidemark/shared/store/ports/gateway'
import { FairBudget, type Share } from '../limits/fair-budget.ts'
import type { CheckpointWaiter, WaitOutcome } from '../services.ts'
import { withTimeout } from '../store-timeout.ts'

/** A verdict usually takes a few milliseconds, so the first polls are close together. */
const POLL_MIN_MS = 1
const POLL_MAX_MS = 10
const POLL_GROWTH = 1.5

interface WatcherOptions {
  readonly store: Pick<GatewayStore, 'progress'>
  /** Requests that may wait at one time. */
  readonly waitersMax: number
  /** How long the store may take to report the progress. */
  readonly timeoutMs: number
  /** Called for each request beyond `waitersMax`. */
  readonly onRejected?: () => void
}

interface Waiter {
  readonly receipt: Receipt
  /** Its time is up: the next look at the progress is its last. */
  isDue: boolean
  readonly finish: (outcome: WaitOutcome) => void
}

/**
 * Waits for checkpoints with one polling loop for all requests, which reads the progress of all
 * awaited partitions in one call, and polls only while a request waits. A wait never ends as timed
 * out before it has looked: what the store does not report is not known.
 */
export class ProgressWatcher implements CheckpointWaiter, Disposable {
  readonly #options: WatcherOptions
  readonly #waiters = new Set<Waiter>()
  readonly #waiting: FairBudget
  #isPolling = false
  /** Ends the pause between two polls, so that a new waiter is polled for at once. */
  #endPause = new AbortController()
  #pollMs = POLL_MIN_MS
  #isClosed = false

  constructor(options: WatcherOptions) {
    this.#options = options
    this.#waiting = new FairBudget(options.waitersMax)
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#waiters.size
  }

  wait(receipt: Receipt, waitMs: number, share: Share, gone?: AbortSignal): Promise<WaitOutcome> {
    if (this.#isClosed || gone?.aborted === true) return Promise.resolve({ kind: 'ended' })
    if (!this.#waiting.hasRoomFor(share, 1)) {
      this.#options.onRejected?.()
      return Promise.resolve({ kind: 'rejected' })
    }
    return new Promise(resolve => {
      const end = (): void => waiter.finish({ kind: 'ended' })
      const waiter: Waiter = {
        receipt,
        isDue: waitMs === 0,
        finish: outcome => {
          if (this.#waiters.delete(waiter)) this.#waiting.giveBack(share, 1)
          clearTimeout(timer)
          gone?.removeEventListener('abort', end)
          resolve(outcome)
        },
      }
      const timer = setTimeout(() => {
        waiter.isDue = true
        this.#endPause.abort()
      }, waitMs)
      gone?.addEventListener('abort', end)
      this.#waiters.add(waiter)
      this.#waiting.take(share, 1)
      this.#pollMs = POLL_MIN_MS
      this.#endPause.abort()
      // The loop never rejects: it passes errors of the store to the waiters.
      if (!this.#isPolling) void this.#poll()
    })
  }

  /** Ends every wait: a gateway that shuts down cannot wait ten seconds. */
  [Symbol.dispose](): void {
    this.#isClosed = true
    for (const waiter of this.#waiters) waiter.finish({ kind: 'ended' })
  }

  async #poll(): Promise<void> {
    this.#isPolling = true
    while (this.#waiters.size > 0) {
      await this.#readProgress()
      if (this.#waiters.size === 0) break
      this.#endPause = new AbortController()
      await pause(this.#pollMs, this.#endPause.signal)
      this.#pollMs = Math.min(POLL_MAX_MS, this.#pollMs * POLL_GROWTH)
    }
    this.#isPolling = false
  }

  async #readProgress(): Promise<void> {
    const { store, timeoutMs } = this.#options
    // A waiter added during this read is served by the next: the progress may predate its request.
    const waiters = [...this.#waiters]
    const partitions = [...new Set(waiters.map(({ receipt }) => receipt.partition))]
    try {
      const progress = await withTimeout(store.progress(partitions), timeoutMs)
      const byPartition = new Map(partitions.map((partition, i) => [partition, progress[i]]))
      for (const { receipt, isDue, finish } of waiters) {
        const found = byPartition.get(receipt.partition)
        if (found === undefined) continue
        if (compareEntryIds(found.checkpoint, receipt.id) >= 0) finish({ kind: 'reached' })
        else if (isDue) finish({ kind: 'timed-out', backlog: found.backlog })
      }
    } catch (error) {
      for (const { finish } of waiters) finish({ kind: 'failed', error })
    }
  }
}
