import type { Entry } from '@tidemark/shared/sample/entry'
import type { AnalyzerStore } from '@tidemark/shared/store/ports/analyzer'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { Context } from '../context.ts'
import { untilNext } from '../repeat.ts'
import { EntrySizes } from './entry-sizes.ts'

/** The longest blocking read of all partitions: bounds the delay by a lost interruption. */
const BLOCK_MS = 1000

/** The longest blocking read while a partition is left out. */
const BLOCK_BUSY_MS = 5

/** Bytes in one read, by the recent size of entries: Redis serves no other client meanwhile. */
const READ_BYTES = 2 * 1024 * 1024

/** Entries of each partition in one read of all. */
const READ_ENTRIES = 16

/** Samples and entries in one read of a partition that has more than those. */
const BACKLOG_SAMPLES = 8000
const BACKLOG_ENTRIES_MAX = 500

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

interface Read {
  readonly consumers: readonly EntryConsumer[]
  /** Entries of each of them. */
  readonly count: number
  readonly blockMs: number
}

/**
 * Reads the entries of all partitions whose consumers accept some: one read at a time. Reads of few
 * entries of all partitions, which wait for one, take turns with reads of many entries of those
 * that have a backlog.
 */
export class ReadLoop implements AsyncDisposable {
  readonly #options: ReadLoopOptions
  readonly #consumers = new Map<number, EntryConsumer>()
  /** The running read: the partitions that it reads, and its end. */
  #reading: { partitions: ReadonlySet<number>; end: Promise<void> } | undefined
  /** Ends the wait for a consumer that accepts entries. */
  #resume: () => void = () => undefined
  readonly #sizes = new EntrySizes()
  /** When each partition was read last: those that waited longest come first. */
  readonly #readAt = new Map<number, number>()
  #reads = 0
  /** The last read of these partitions delivered as many entries as it might. */
  readonly #backlogs = new Set<number>()
  #isTurnOfBacklogs = false
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
    this.#backlogs.delete(partition)
    this.#readAt.delete(partition)
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
      const read = this.#nextRead()
      const { consumers } = read
      if (consumers.length === 0) {
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#resume = resolve
        await promise
        continue
      }
      const end = this.#read(read)
      this.#reading = { partitions: new Set(consumers.map(({ partition }) => partition)), end }
      await end
      this.#reading = undefined
    }
  }

  #nextRead(): Read {
    const all = [...this.#consumers.values()]
    const queued = all.reduce((sum, { queuedBytes }) => sum + queuedBytes, 0)
    const isFull = queued >= QUEUED_BYTES_MAX
    // One whose queue is empty is always read: a partition that is stuck must not stop the others.
    const ready = all.filter(one => one.takesEntries && (!isFull || one.queuedBytes === 0))
    const backlogs = isFull ? [] : ready.filter(({ partition }) => this.#backlogs.has(partition))
    this.#isTurnOfBacklogs = !this.#isTurnOfBacklogs && backlogs.length > 0
    if (this.#isTurnOfBacklogs) {
      const many = this.#sizes.countWithin({ samples: BACKLOG_SAMPLES, bytes: READ_BYTES })
      return this.#readOf(backlogs, Math.min(BACKLOG_ENTRIES_MAX, Math.max(1, many)), 0)
    }
    const isAll = ready.length === this.#consumers.size && backlogs.length === 0
    const few = this.#sizes.countWithin({ samples: Number.POSITIVE_INFINITY, bytes: READ_BYTES / ready.length })
    const count = isFull ? 1 : Math.min(READ_ENTRIES, Math.max(1, few))
    // At rest it ends when other work is due, so that the process wakes up once for both.
    return this.#readOf(ready, count, isAll ? untilNext(BLOCK_MS, this.#options.clock) : BLOCK_BUSY_MS)
  }

  /** Reads as many of the partitions as one read may, in turns. */
  #readOf(wanted: readonly EntryConsumer[], count: number, blockMs: number): Read {
    const entries = this.#sizes.countWithin({ samples: Number.POSITIVE_INFINITY, bytes: READ_BYTES })
    const atOnce = Math.max(1, Math.floor(entries / count))
    if (wanted.length <= atOnce) return { consumers: wanted, count, blockMs }
    const at = ({ partition }: EntryConsumer): number => this.#readAt.get(partition) ?? 0
    const consumers = wanted.toSorted((a, b) => at(a) - at(b)).slice(0, atOnce)
    return { consumers, count, blockMs: Math.min(blockMs, BLOCK_BUSY_MS) }
  }

  async #read({ consumers, count, blockMs }: Read): Promise<void> {
    const { store, metrics, logFailure, clock } = this.#options
    const partitions = consumers.map(({ partition }) => partition)
    this.#reads++
    for (const partition of partitions) this.#readAt.set(partition, this.#reads)
    try {
      const found = await store.read(partitions, { count, blockMs })
      for (const partition of partitions) this.#backlogs.delete(partition)
      for (const { partition, entries, error } of found) {
        const consumer = this.#consumers.get(partition)
        if (entries.length >= count && consumer !== undefined) this.#backlogs.add(partition)
        if (error === undefined) consumer?.offer(entries)
        else consumer?.recover()
      }
      // A partition that had no more entries says nothing about those of the others.
      if (found.length > 0 || this.#backlogs.size === 0) this.#sizes.learn(found.flatMap(({ entries }) => entries))
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
