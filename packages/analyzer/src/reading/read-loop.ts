import type { Entry } from '@tidemark/shared/sample/entry'
import type { AnalyzerStore } from '@tidemark/shared/store/ports/analyzer'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { Context } from '../context.ts'
import { EntrySizes } from './entry-sizes.ts'

/** The longest blocking read of all partitions: bounds the delay by a lost interruption. */
const BLOCK_MS = 1000

/** The longest blocking read while a partition is left out. */
const BLOCK_BUSY_MS = 5

/** Samples and entries of each partition in one read, by the recent size of entries. */
const READ_SAMPLES = 8000
const READ_ENTRIES_MAX = 500

/** Bytes of all partitions in one read, by the recent size of entries. */
const READ_BYTES = 16 * 1024 * 1024

/** Bytes in the queues of all partitions, beyond which only those with an empty one are read. */
const QUEUED_BYTES_MAX = 64 * 1024 * 1024

/** One page of a partition's pending entries. */
const PAGE = { samples: 8000, bytes: 2 * 1024 * 1024 }
const PAGE_ENTRIES_MAX = 100

const FAILURE_PAUSE_MS = 100

export interface EntryConsumer {
  readonly partition: number
  /** Whether it accepts entries: its queue has room. */
  readonly takesEntries: boolean
  /** About the bytes of the entries in its queue. */
  readonly queuedBytes: number
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
  readonly #sizes = new EntrySizes()
  /** The partition that the next read begins with, if one read cannot take all. */
  #nextPartition = 0
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

  /** The number of pending entries to read at once. */
  get pageSize(): number {
    return Math.min(PAGE_ENTRIES_MAX, Math.max(1, this.#sizes.countWithin(PAGE)))
  }

  /** Records the sizes of entries that were read elsewhere. */
  learn(entries: readonly Entry[]): void {
    this.#sizes.learn(entries)
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
      const { consumers, count } = this.#nextRead()
      if (consumers.length === 0) {
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#resume = resolve
        await promise
        continue
      }
      const end = this.#read(consumers, count)
      this.#reading = { partitions: new Set(consumers.map(({ partition }) => partition)), end }
      await end
      this.#reading = undefined
    }
  }

  /** Returns whose entries to read next, and how many of each. */
  #nextRead(): { readonly consumers: readonly EntryConsumer[]; readonly count: number } {
    const all = [...this.#consumers.values()]
    const queued = all.reduce((sum, { queuedBytes }) => sum + queuedBytes, 0)
    const isFull = queued >= QUEUED_BYTES_MAX
    // One whose queue is empty is always read: a partition that is stuck must not stop the others.
    const ready = all.filter(one => one.takesEntries && (!isFull || one.queuedBytes === 0))
    const atOnce = Math.max(1, this.#sizes.countWithin({ samples: Number.POSITIVE_INFINITY, bytes: READ_BYTES }))
    if (ready.length > atOnce) {
      const begin = this.#nextPartition % ready.length
      this.#nextPartition = begin + atOnce
      return { consumers: [...ready.slice(begin), ...ready.slice(0, begin)].slice(0, atOnce), count: 1 }
    }
    const count = this.#sizes.countWithin({ samples: READ_SAMPLES, bytes: READ_BYTES / ready.length })
    return { consumers: ready, count: isFull ? 1 : Math.min(READ_ENTRIES_MAX, Math.max(1, count)) }
  }

  async #read(consumers: readonly EntryConsumer[], count: number): Promise<void> {
    const { store, metrics, logFailure, clock } = this.#options
    const partitions = consumers.map(({ partition }) => partition)
    const blockMs = consumers.length === this.#consumers.size ? BLOCK_MS : BLOCK_BUSY_MS
    try {
      const found = await store.read(partitions, { count, blockMs })
      for (const { partition, entries, error } of found) {
        const consumer = this.#consumers.get(partition)
        if (error === undefined) consumer?.offer(entries)
        else consumer?.recover()
      }
      this.#sizes.learn(found.flatMap(({ entries }) => entries))
    } catch (error) {
      if (error instanceof StoreError) metrics.storeErrors.inc()
      else metrics.faults.inc()
      logFailure(error, 'reading entries failed; recovering')
      this.#sizes.reset()
      for (const consumer of consumers) consumer.recover()
      await clock.pause(FAILURE_PAUSE_MS, this.#stop.signal)
    }
  }
}
