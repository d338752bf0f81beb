import type { Entry } from '@tidemark/shared/sample/entry'
import type { AnalyzerStore } from '@tidemark/shared/store/ports/analyzer'
import type { Context } from '../context.ts'

/** The longest blocking read of all partitions: bounds the delay by a lost interruption. */
const BLOCK_MS = 1000

/** The longest blocking read while a partition with a full queue is left out. */
const BLOCK_BUSY_MS = 5

/** Samples per partition and read, converted to entries by their recent size. */
const READ_SAMPLES = 8000
const READ_ENTRIES_MAX = 500

const FAILURE_PAUSE_MS = 100

export interface EntryConsumer {
  readonly partition: number
  /** Whether it accepts entries: its queue has room. */
  readonly takesEntries: boolean
  offer(entries: readonly Entry[]): void
  /** Called after a failed read: entries may have been delivered and lost on the way. */
  recover(): void
}

export interface ReadLoopOptions extends Omit<Context, 'log'> {
  readonly store: AnalyzerStore
}

/** Reads the entries of all partitions whose consumers accept some: one blocking read at a time. */
export class ReadLoop implements AsyncDisposable {
  readonly #options: ReadLoopOptions
  readonly #consumers = new Map<number, EntryConsumer>()
  /** The running read: the partitions that it reads, and its end. */
  #reading: { partitions: ReadonlySet<number>; end: Promise<void> } | undefined
  /** Ends the wait for a consumer that accepts entries. */
  #resume: () => void = () => undefined
  #samplesPerEntry = 1
  readonly #stop = new AbortController()
  readonly #done: Promise<void>

  constructor(options: ReadLoopOptions) {
    this.#options = options
    this.#done = this.#run()
  }

  join(consumer: EntryConsumer): void {
    this.#consumers.set(consumer.partition, consumer)
    // A running read blocks on the other partitions only and would delay this one.
    if (this.#reading?.partitions.has(consumer.partition) === false) this.#options.store.interruptRead()
    this.#resume()
  }

  /** Called when a consumer accepts entries again. */
  wake(): void {
    this.#resume()
  }

  /** Stops reading a partition; resolves when no running read can deliver entries of it. */
  async leave(partition: number): Promise<void> {
    this.#consumers.delete(partition)
    const reading = this.#reading
    if (reading?.partitions.has(partition) !== true) return
    this.#options.store.interruptRead()
    await reading.end
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#options.store.interruptRead()
    this.#resume()
    await this.#done
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const ready = [...this.#consumers.values()].filter(consumer => consumer.takesEntries)
      if (ready.length === 0) {
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#resume = resolve
        await promise
        continue
      }
      const end = this.#read(ready)
      this.#reading = { partitions: new Set(ready.map(({ partition }) => partition)), end }
      await end
      this.#reading = undefined
    }
  }

  async #read(ready: readonly EntryConsumer[]): Promise<void> {
    const { store, metrics, logFailure, clock } = this.#options
    const partitions = ready.map(({ partition }) => partition)
    const count = Math.min(READ_ENTRIES_MAX, Math.max(1, Math.ceil(READ_SAMPLES / this.#samplesPerEntry)))
    const blockMs = ready.length === this.#consumers.size ? BLOCK_MS : BLOCK_BUSY_MS
    try {
      const found = await store.read(partitions, { count, blockMs })
      for (const { partition, entries, error } of found) {
        const consumer = this.#consumers.get(partition)
        if (error === undefined) consumer?.offer(entries)
        else consumer?.recover()
      }
      this.#learnEntrySize(found.flatMap(({ entries }) => entries.map(entry => entry.count ?? 1)))
    } catch (error) {
      metrics.storeErrors.inc()
      logFailure(error, 'reading entries failed; recovering')
      for (const consumer of ready) consumer.recover()
      await clock.pause(FAILURE_PAUSE_MS, this.#stop.signal)
    }
  }

  /** Tracks the mean entry size: upwards at once, downwards slowly, so that no read is huge. */
  #learnEntrySize(counts: readonly number[]): void {
    if (counts.length === 0) return
    const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length
    this.#samplesPerEntry = Math.max(1, mean, 0.9 * this.#samplesPerEntry + 0.1 * mean)
  }
}
