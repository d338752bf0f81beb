import { TidemarkError } from './error.ts'
import { type Retry, wait } from './retry.ts'
import type { IngestResult, Item } from './types.ts'

const BATCH_SAMPLES = 500
const DELAY_MS = 100
const WAITING_MAX = 10_000

export interface SenderOptions {
  /** Items of one request. */
  readonly batchMax?: number
  /** How long an item waits for others to share its request. */
  readonly delayMs?: number
  /** Items in memory. Beyond it `add` waits. */
  readonly waitingMax?: number
  /** Called for each stored batch. `rejected` of the result has indexes of `items`. */
  readonly onSent?: (items: readonly Item[], result: IngestResult) => void
  /** Called for a batch that was not stored after all retries, so that no loss is silent. */
  readonly onFailed: (items: readonly Item[], error: unknown) => void
  /** Of each request. */
  readonly request?: { readonly headers?: Readonly<Record<string, string>>; readonly retry?: Retry }
}

type Send = (items: readonly Item[], signal: AbortSignal) => Promise<IngestResult>

/**
 * Gathers items and sends them in batches. One request follows the other, so that the samples of
 * each key stay in order, and batches grow while the gateway is slow.
 */
export class Sender implements AsyncDisposable {
  readonly #send: Send
  readonly #options: SenderOptions
  readonly #batchMax: number
  readonly #waitingMax: number
  readonly #abort = new AbortController()
  #waiting: Item[] = []
  #sending: Promise<void> | undefined
  /** Ends the wait for further items. */
  #flush = new AbortController()
  #room: PromiseWithResolvers<void> | undefined
  #isClosed = false

  constructor(send: Send, options: SenderOptions) {
    this.#send = send
    this.#options = options
    this.#batchMax = options.batchMax ?? BATCH_SAMPLES
    this.#waitingMax = options.waitingMax ?? WAITING_MAX
  }

  /** Items that are not sent yet. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Adds items. Resolves when there is room for the next ones: this bounds memory. */
  async add(items: Item | readonly Item[]): Promise<void> {
    if (this.#isClosed) throw new Error('the sender is closed')
    // Not `push(...items)`: a call has a limited number of arguments.
    for (const item of isList(items) ? items : [items]) this.#waiting.push(item)
    if (this.#waiting.length === 0) return
    this.#sending ??= this.#run()
    if (this.#waiting.length >= this.#batchMax) this.#flush.abort()
    while (this.#waiting.length >= this.#waitingMax) {
      this.#room ??= Promise.withResolvers()
      await this.#room.promise
    }
  }

  /** Sends what waits, and resolves when it is stored or has failed. */
  async flush(): Promise<void> {
    while (this.#sending !== undefined) {
      this.#flush.abort()
      await this.#sending
    }
  }

  /** Sends what waits and takes no more items. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.flush()
  }

  /** Gives up at once: what is not stored goes to `onFailed`. */
  abort(): void {
    this.#isClosed = true
    this.#abort.abort()
    this.#flush.abort()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#gather()
      const items = this.#waiting.splice(0, this.#batchMax)
      this.#room?.resolve()
      this.#room = undefined
      await this.#deliver(items)
    }
    this.#sending = undefined
  }

  /** Sends a batch, in parts if it is larger than the gateway takes. */
  async #deliver(items: readonly Item[]): Promise<void> {
    const { onSent, onFailed } = this.#options
    const isSplit = await this.#send(items, this.#abort.signal).then(
      result => void onSent?.(items, result),
      error => {
        const isSplit = error instanceof TidemarkError && error.status === 413 && items.length > 1
        if (!isSplit) onFailed(items, error)
        return isSplit
      },
    )
    if (isSplit !== true) return
    const middle = Math.ceil(items.length / 2)
    await this.#deliver(items.slice(0, middle))
    await this.#deliver(items.slice(middle))
  }

  async #gather(): Promise<void> {
    if (this.#waiting.length >= this.#batchMax || this.#isClosed) return
    this.#flush = new AbortController()
    await wait(this.#options.delayMs ?? DELAY_MS, this.#flush.signal).catch(() => {})
  }
}

function isList(items: Item | readonly Item[]): items is readonly Item[] {
  return Array.isArray(items)
}
