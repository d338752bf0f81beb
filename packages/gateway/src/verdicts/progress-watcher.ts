import { pause } from '@tidemark/shared/runtime/lifecycle'
import { compareEntryIds, type Receipt } from '@tidemark/shared/sample/receipt'
import type { GatewayStore } from '@tidemark/shared/store/ports/gateway'
import type { CheckpointWaiter, WaitOutcome } from '../services.ts'

/** A verdict usually takes a few milliseconds, so the first polls are close together. */
const POLL_MIN_MS = 1
const POLL_MAX_MS = 10
const POLL_GROWTH = 1.5

interface Waiter {
  readonly receipt: Receipt
  backlog: number
  readonly timer: NodeJS.Timeout
  readonly resolve: (outcome: WaitOutcome) => void
}

/**
 * Waits for checkpoints with one polling loop for all requests, which reads the progress of all
 * awaited partitions in one call, and polls only while a request waits.
 */
export class ProgressWatcher implements CheckpointWaiter, Disposable {
  readonly #store: Pick<GatewayStore, 'progress'>
  readonly #waitersMax: number
  readonly #waiters = new Set<Waiter>()
  #isPolling = false
  /** Ends the pause between two polls, so that a new waiter is polled for at once. */
  #endPause = new AbortController()
  #pollMs = POLL_MIN_MS
  #isClosed = false

  constructor({ store, waitersMax }: { store: Pick<GatewayStore, 'progress'>; waitersMax: number }) {
    this.#store = store
    this.#waitersMax = waitersMax
  }

  wait(receipt: Receipt, waitMs: number): Promise<WaitOutcome> {
    if (this.#isClosed || this.#waiters.size >= this.#waitersMax) return Promise.resolve({ kind: 'rejected' })
    return new Promise(resolve => {
      const waiter: Waiter = {
        receipt,
        backlog: 0,
        resolve,
        timer: setTimeout(() => this.#timeOut(waiter), waitMs),
      }
      this.#waiters.add(waiter)
      this.#pollMs = POLL_MIN_MS
      this.#endPause.abort()
      // The loop never rejects: it passes errors of the store to the waiters.
      if (!this.#isPolling) void this.#poll()
    })
  }

  /** Ends every wait as timed out: a gateway that shuts down cannot wait ten seconds. */
  [Symbol.dispose](): void {
    this.#isClosed = true
    for (const waiter of this.#waiters) this.#timeOut(waiter)
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
    // A waiter added during this read is served by the next: the progress may predate its request.
    const waiters = [...this.#waiters]
    const partitions = [...new Set(waiters.map(({ receipt }) => receipt.partition))]
    try {
      const progress = await this.#store.progress(partitions)
      const byPartition = new Map(partitions.map((partition, i) => [partition, progress[i]]))
      for (const waiter of waiters) {
        const found = byPartition.get(waiter.receipt.partition)
        if (found === undefined) continue
        waiter.backlog = found.backlog
        if (compareEntryIds(found.checkpoint, waiter.receipt.id) >= 0) this.#finish(waiter, { kind: 'reached' })
      }
    } catch (error) {
      for (const waiter of waiters) this.#finish(waiter, { kind: 'failed', error })
    }
  }

  #timeOut(waiter: Waiter): void {
    this.#finish(waiter, { kind: 'timed-out', backlog: waiter.backlog })
  }

  #finish(waiter: Waiter, outcome: WaitOutcome): void {
    if (!this.#waiters.delete(waiter)) return
    clearTimeout(waiter.timer)
    waiter.resolve(outcome)
  }
}
