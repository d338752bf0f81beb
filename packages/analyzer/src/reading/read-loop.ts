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

/**
 * Entries of each partition, and bytes of all, in one read of many, by the recent size of entries.
 */
const READ_ENTRIES = 16
const READ_BYTES = 16 * 1024 * 1024

/** One read of a partition that has more. Redis serves no other client meanwhile. */
const BACKLOG = { samples: 8000, bytes: 2 * 1024 * 1024 }
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

/** What is known of a partition that had more entries than a read might deliver. */
interface Backlog {
  readonly sizes: EntrySizes
  /** The last read delivered as many entries as it might. */
  hasMore: boolean
  /** The number of the last read. */
  readAt: number
}

/**
 * Reads the entries of all partitions whose consumers accept some: one read at a time. Reads of few
 * entries of many partitions, which wait for one, take turns with reads of many entries of one that
 * has a backlog.
 */
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
  readonly #backlogs = new Map<number, Backlog>()
  #isTurnOfBacklogs = false
  #reads = 0
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

  /** Returns whose entries to read next, and how many of each. */
  #nextRead(): Read {
    const all = [...this.#consumers.values()]
    const queued = all.reduce((sum, { queuedBytes }) => sum + queuedBytes, 0)
    const isFull = queued >= QUEUED_BYTES_MAX
    // One whose queue is empty is always read: a partition that is stuck must not stop the others.
    const ready = all.filter(one => one.takesEntries && (!isFull || one.queuedBytes === 0))
    const hasMore = ({ partition }: EntryConsumer): boolean =>
      !isFull && this.#backlogs.get(partition)?.hasMore === true
    const backlogs = ready.filter(hasMore)
    const others = ready.filter(one => !hasMore(one))
    this.#isTurnOfBacklogs = backlogs.length > 0 && (!this.#isTurnOfBacklogs || others.length === 0)
    if (this.#isTurnOfBacklogs) return this.#readOfBacklog(backlogs)
    // At rest it ends when other work is due, so that the process wakes up once for both.
    const isAll = others.length === all.length
    const blockMs = isAll ? untilNext(BLOCK_MS, this.#options.clock) : backlogs.length > 0 ? 0 : BLOCK_BUSY_MS
    return this.#readOfMany(others, isFull ? 1 : READ_ENTRIES, blockMs)
  }

  /** Reads many entries of the partition that was read least recently. */
  #readOfBacklog(wanted: readonly EntryConsumer[]): Read {
    const at = ({ partition }: EntryConsumer): number => this.#backlogs.get(partition)?.readAt ?? 0
    const consumer = wanted.reduce((first, one) => (at(one) < at(first) ? one : first))
    const entries = this.#backlogs.get(consumer.partition)?.sizes.countWithin(BACKLOG) ?? 1
    return { consumers: [consumer], count: Math.min(BACKLOG_ENTRIES_MAX, Math.max(1, entries)), blockMs: 0 }
  }

  /** Reads up to so many entries of each partition, or one of as many as one read may, in turns. */
  #readOfMany(wanted: readonly EntryConsumer[], countMax: number, blockMs: number): Read {
    const atOnce = Math.max(1, this.#sizes.countWithin({ samples: Number.POSITIVE_INFINITY, bytes: READ_BYTES }))
    if (wanted.length > atOnce) {
      const begin = this.#nextPartition % wanted.length
      this.#nextPartition = begin + atOnce
      const consumers = [...wanted.slice(begin), ...wanted.slice(0, begin)].slice(0, atOnce)
      return { consumers, count: 1, blockMs: Math.min(blockMs, BLOCK_BUSY_MS) }
    }
    return { consumers: wanted, count: Math.min(countMax, Math.floor(atOnce / wanted.length)), blockMs }
  }

  /** Takes note of whether a partition has more entries than were read, and of their sizes. */
  #noteBacklog(partition: number, entries: readonly Entry[], count: number): void {
    let backlog = this.#backlogs.get(partition)
    if (backlog === undefined) {
      if (entries.length < count) return
      backlog = { sizes: new EntrySizes(), hasMore: true, readAt: 0 }
      this.#backlogs.set(partition, backlog)
    }
    backlog.hasMore = entries.length >= count
    backlog.readAt = this.#reads
    if (entries.length > 0) backlog.sizes.learn(entries)
  }

  async #read({ consumers, count, blockMs }: Read): Promise<void> {
    const { store, metrics, logFailure, clock } = this.#options
    const partitions = consumers.map(({ partition }) => partition)
    this.#reads++
    try {
      const found = await store.read(partitions, { count, blockMs })
      const delivered = new Map(found.map(({ partition, entries }) => [partition, entries]))
      for (const { partition } of consumers) {
        // It may have left meanwhile.
        if (this.#consumers.has(partition)) this.#noteBacklog(partition, delivered.get(partition) ?? [], count)
      }
      for (const { partition, entries, error } of found) {
        const consumer = this.#consumers.get(partition)
        if (error === undefined) consumer?.offer(entries)
        else consumer?.recover()
      }
      // Those of a backlog are no measure for the others.
      if (!this.#isTurnOfBacklogs) this.#sizes.learn(found.flatMap(({ entries }) => entries))
    } catch (error) {
      if (error instanceof StoreError) metrics.storeErrors.inc()
      else metrics.faults.inc()
      logFailure(error, 'reading entries failed; recovering')
      this.#sizes.reset()
      this.#backlogs.clear()
      for (const consumer of consumers) consumer.recover()
      await clock.pause(FAILURE_PAUSE_MS, this.#stop.signal)
    }
  }
}
