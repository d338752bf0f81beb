import type { Clock } from '@tidemark/shared/runtime/clock'
import type { FailureLog } from '@tidemark/shared/runtime/logger'
import type { Entry } from '@tidemark/shared/sample/entry'
import type { AnalyzerStore } from '@tidemark/shared/store/ports/store'
import type { AnalyzerMetrics } from '../metrics.ts'

/** The longest wait for entries when all partitions are read: an interruption ends it, so it only bounds a lost one. */
const BLOCK_MS = 1000

/** The wait while some partition is left out because its queue is full: it must be back in soon. */
const BLOCK_BUSY_MS = 5

/** Samples of one partition to ask for in one read. Redis counts entries, so their recent size turns one into the other. */
const READ_SAMPLES = 8000
const READ_ENTRIES_MAX = 500

const FAILURE_PAUSE_MS = 100

/** The consumer of one partition's entries. */
export interface EntryConsumer {
  readonly partition: number
  /** Whether its queue has room. */
  readonly takesEntries: boolean
  offer(entries: readonly Entry[]): void
  /** Entries may have been delivered and lost on their way. */
  recover(): void
}

export interface ReadLoopOptions {
  readonly store: AnalyzerStore
  readonly metrics: AnalyzerMetrics
  readonly logFailure: FailureLog
  readonly clock: Clock
}

/**
 * Reads the entries of all partitions that take some and hands them to their workers. One read at a time; it waits in the
 * store until something comes.
 */
export class ReadLoop implements AsyncDisposable {
  readonly #options: ReadLoopOptions
  readonly #workers = new Map<number, EntryConsumer>()
  /** The read under way: which partitions it may deliver, and its end. */
  #reading: { partitions: ReadonlySet<number>; end: Promise<void> } | undefined
  /** Ends the wait for a worker that takes entries. */
  #resume: () => void = () => undefined
  #samplesPerEntry = 1
  readonly #stop = new AbortController()
  readonly #done: Promise<void>

  constructor(options: ReadLoopOptions) {
    this.#options = options
    this.#done = this.#run()
  }

  /** Reads for a worker that has become steady. */
  join(worker: EntryConsumer): void {
    this.#workers.set(worker.partition, worker)
    // A read that waits for others alone would keep a partition waiting that has just been taken over.
    if (this.#reading?.partitions.has(worker.partition) === false) this.#options.store.interruptRead()
    this.#resume()
  }

  /** Some worker takes entries again. */
  wake(): void {
    this.#resume()
  }

  /** Reads no more for a partition; resolves when no read is under way that may deliver entries of it. */
  async leave(partition: number): Promise<void> {
    this.#workers.delete(partition)
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
      const ready = [...this.#workers.values()].filter(worker => worker.takesEntries)
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
    const count = Math.min(READ_ENTRIES_MAX, Math.max(1, Math.ceil(READ_SAMPLES / this.#samplesPerEntry)))
    const blockMs = ready.length === this.#workers.size ? BLOCK_MS : BLOCK_BUSY_MS
    try {
      const found = await store.read(
        ready.map(({ partition }) => partition),
        { count, blockMs },
      )
      for (const { partition, entries, error } of found) {
        const worker = this.#workers.get(partition)
        if (error === undefined) worker?.offer(entries)
        else worker?.recover()
      }
      this.#learnEntrySize(found.flatMap(({ entries }) => entries.map(entry => entry.count ?? 1)))
    } catch (error) {
      metrics.storeErrors.inc()
      logFailure(error, 'reading failed')
      for (const worker of ready) worker.recover()
      await clock.pause(FAILURE_PAUSE_MS, this.#stop.signal)
    }
  }

  /** Follows the mean size of entries: at once when they grow, slowly when they shrink, so that no read is huge. */
  #learnEntrySize(counts: readonly number[]): void {
    if (counts.length === 0) return
    const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length
    this.#samplesPerEntry = Math.max(1, mean, 0.9 * this.#samplesPerEntry + 0.1 * mean)
  }
}
