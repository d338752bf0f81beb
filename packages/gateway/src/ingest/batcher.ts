import { addTrace, packSubBatches, packTraces } from '@tidemark/shared/sample/entry'
import type { TraceContext } from '@tidemark/shared/sample/trace-context'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { GatewayStore, RequestMark } from '@tidemark/shared/store/ports/gateway'
import { FairBudget, type Share } from '../limits/fair-budget.ts'
import type { FlushFailure } from '../metrics.ts'
import type { SampleQueue, SubBatch, SubBatchOutcome } from '../services.ts'
import { NO_RESPONSE } from '../store-timeout.ts'

/** A sub-batch joins an entry only within this limit; one alone, never split, may be larger. */
const ENTRY_SAMPLES_MAX = 1000

/** Concurrent flushes; beyond it, arriving samples are gathered (group commit). */
const FLUSHES_MAX = 4

/**
 * How long a flush lets no other begin: one of all samples that arrive meanwhile costs less than
 * several. In a cluster, one slow node must not keep samples from the others for longer.
 */
const FLUSH_ALONE_MS = 2

/**
 * While fewer samples wait, a flush waits one more turn of the event loop for what has just
 * arrived: clients that got their responses together send their next requests together too.
 */
const WORTH_SAMPLES = 1000

interface BatcherOptions {
  readonly store: Pick<GatewayStore, 'append'>
  readonly queueSamplesMax: number
  readonly timeoutMs: number
  /** Called after each flush with its samples and its latency. */
  readonly onFlush?: (samples: number, seconds: number) => void
  /** Called for each entry that was not stored, or whose outcome is unknown. */
  readonly onFailure?: (reason: FlushFailure, error: unknown) => void
}

interface PendingRequest {
  /** What its client has in the queue. */
  readonly share: Share
  readonly outcomes: SubBatchOutcome[]
  /** Sub-batches without an outcome. */
  missing: number
  readonly resolve: (outcomes: readonly SubBatchOutcome[]) => void
}

/** Sub-batches that will be one entry. */
interface Entry {
  readonly partition: number
  readonly texts: string[]
  /** Of each sub-batch. */
  readonly owners: Owner[]
  readonly once: RequestMark | undefined
  /** Undefined until a sub-batch has a trace; usually none has. */
  traces: TraceContext[] | undefined
  count: number
  isSettled: boolean
}

/** One sub-batch of a request. */
interface Owner {
  readonly request: PendingRequest
  readonly at: number
  /** Samples of the sub-batch. */
  readonly count: number
}

/** The entries of one partition that wait for a flush, oldest first. */
interface PartitionQueue {
  readonly entries: Entry[]
  isFlushing: boolean
  /** The flush in progress has taken longer than the timeout. */
  isOverdue: boolean
}

/**
 * Gathers the samples of concurrent requests into one entry per partition, and the entries into one
 * flush when the event loop has turned twice, or when the flush in progress has ended and it has
 * turned twice since: an entry costs as much as ten of its samples.
 *
 * Order: a partition has at most one flush in progress, with its entries in order of arrival. The
 * next one begins after the store's response, so a failed entry can neither overtake nor be
 * overtaken. The price is one round trip, during which arriving samples are gathered.
 *
 * A client that sends more than others cannot fill the queue for them: see FairBudget. Samples keep
 * their order of arrival in each partition, so nothing of a client overtakes its own.
 *
 * A request waits at most twice the timeout: for the flush before its own and for its own. The
 * requests of an overdue flush get an unknown outcome. Samples queued behind it, and those that
 * arrive, are rejected until the store has responded, because it may still be writing.
 */
export class Batcher implements SampleQueue {
  readonly #options: BatcherOptions
  readonly #queues = new Map<number, PartitionQueue>()
  readonly #waiting = new Set<PartitionQueue>()
  /** Samples that wait for the store, a fair share for each client. */
  readonly #queued: FairBudget
  #flushes = 0
  /** Of the newest flush, while it lets no other begin. */
  #alone: NodeJS.Timeout | undefined
  #overdueFlushes = 0
  #isScheduled = false
  #isClosed = false
  #onDrained: (() => void) | undefined

  constructor(options: BatcherOptions) {
    this.#options = options
    this.#queued = new FairBudget(options.queueSamplesMax)
  }

  /** Samples that wait for the store to confirm them. */
  get samples(): number {
    return this.#queued.used
  }

  submit(subBatches: readonly SubBatch[], share: Share): Promise<readonly SubBatchOutcome[]> {
    const { promise, resolve } = Promise.withResolvers<readonly SubBatchOutcome[]>()
    const outcomes = subBatches.map(() => REJECTED)
    const request: PendingRequest = { share, outcomes, missing: subBatches.length, resolve }
    if (subBatches.length === 0 || !this.#hasRoomFor(subBatches, share)) {
      resolve(request.outcomes)
      return promise
    }
    subBatches.forEach((subBatch, at) => {
      this.#enqueue(subBatch, { request, at, count: subBatch.count })
    })
    this.#schedule()
    return promise
  }

  /** Rejects all further samples; resolves when every accepted sub-batch has its outcome. */
  drain(): Promise<void> {
    this.#isClosed = true
    return new Promise(resolve => {
      this.#onDrained = resolve
      this.#reportDrained()
    })
  }

  #hasRoomFor(subBatches: readonly SubBatch[], share: Share): boolean {
    if (this.#isClosed || this.#overdueFlushes >= FLUSHES_MAX) return false
    let count = 0
    for (const subBatch of subBatches) count += subBatch.count
    // A request that is larger than the whole queue is taken when the queue is empty.
    return this.#queued.used === 0 || this.#queued.hasRoomFor(share, count)
  }

  #enqueue({ partition, samples, count, once, trace }: SubBatch, owner: Owner): void {
    const queue = this.#queueOf(partition)
    if (queue.isOverdue) {
      settle(owner, REJECTED)
      return
    }
    let entry = queue.entries.at(-1)
    if (entry === undefined || !hasRoom(entry, count, once)) {
      entry = { partition, texts: [], owners: [], once, traces: undefined, count: 0, isSettled: false }
      queue.entries.push(entry)
      this.#waiting.add(queue)
    }
    entry.texts.push(samples)
    entry.owners.push(owner)
    if (trace !== undefined) {
      entry.traces ??= []
      addTrace(entry.traces, trace)
    }
    entry.count += count
    this.#queued.take(owner.request.share, count)
  }

  #queueOf(partition: number): PartitionQueue {
    let queue = this.#queues.get(partition)
    if (queue === undefined) {
      queue = { entries: [], isFlushing: false, isOverdue: false }
      this.#queues.set(partition, queue)
    }
    return queue
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.size === 0) return
    this.#isScheduled = true
    const flush = (): void => {
      this.#isScheduled = false
      // It never rejects: #append() does not, and the rest is arithmetic.
      void this.#flush()
    }
    setImmediate(() => {
      if (this.#waitingSamples() >= WORTH_SAMPLES) flush()
      else setImmediate(flush)
    })
  }

  #waitingSamples(): number {
    let samples = 0
    for (const { entries } of this.#waiting) for (const { count } of entries) samples += count
    return samples
  }

  async #flush(): Promise<void> {
    if (this.#flushes >= FLUSHES_MAX || this.#alone !== undefined) return
    const queues = [...this.#waiting].filter(queue => !queue.isFlushing)
    if (queues.length === 0) return
    const entries: Entry[] = []
    for (const queue of queues) {
      queue.isFlushing = true
      entries.push(...queue.entries.splice(0))
      this.#waiting.delete(queue)
    }
    this.#flushes++
    const begin = performance.now()
    let isOverdue = false
    const timer = setTimeout(() => {
      isOverdue = true
      this.#overdueFlushes++
      this.#timeOut(entries, queues)
    }, this.#options.timeoutMs)
    const alone = setTimeout(() => {
      this.#alone = undefined
      this.#schedule()
    }, FLUSH_ALONE_MS)
    this.#alone = alone

    const outcomes = await this.#append(entries)
    clearTimeout(timer)
    clearTimeout(alone)
    if (this.#alone === alone) this.#alone = undefined
    if (isOverdue) this.#overdueFlushes--
    this.#flushes--
    for (const queue of queues) {
      queue.isFlushing = false
      queue.isOverdue = false
    }
    let samples = 0
    entries.forEach((entry, i) => {
      samples += entry.count
      this.#leaveQueue(entry)
      this.#settleEntry(entry, outcomes[i] ?? UNKNOWN_OUTCOME)
    })
    this.#options.onFlush?.(samples, (performance.now() - begin) / 1000)
    this.#schedule()
    this.#reportDrained()
  }

  async #append(entries: readonly Entry[]): Promise<readonly SubBatchOutcome[]> {
    try {
      return await this.#options.store.append(
        entries.map(({ partition, texts, count, once, traces }) => ({
          partition,
          samples: packSubBatches(texts),
          count,
          once,
          traces: traces && packTraces(traces),
        })),
      )
    } catch (error) {
      // append() rejects only on a bug. Nothing is known of the samples then.
      const outcome: SubBatchOutcome =
        error instanceof StoreError ? { kind: 'failed', error } : { kind: 'crashed', error }
      return entries.map(() => outcome)
    }
  }

  /** Ends the waits for and behind an overdue flush. Samples still in memory keep counting. */
  #timeOut(entries: readonly Entry[], queues: readonly PartitionQueue[]): void {
    for (const entry of entries) {
      this.#options.onFailure?.('timeout', UNKNOWN_OUTCOME.error)
      this.#settleOwners(entry, UNKNOWN_OUTCOME)
    }
    for (const queue of queues) {
      queue.isOverdue = true
      this.#rejectWaiting(queue)
    }
    if (this.#overdueFlushes < FLUSHES_MAX) return
    // No flush can begin until an overdue one ends, so all other queues would wait too.
    for (const queue of this.#waiting) this.#rejectWaiting(queue)
  }

  #rejectWaiting(queue: PartitionQueue): void {
    for (const entry of queue.entries.splice(0)) {
      this.#leaveQueue(entry)
      this.#settleOwners(entry, REJECTED)
    }
    this.#waiting.delete(queue)
  }

  #leaveQueue({ owners }: Entry): void {
    for (const { request, count } of owners) this.#queued.giveBack(request.share, count)
  }

  #settleEntry(entry: Entry, outcome: SubBatchOutcome): void {
    if (entry.isSettled) return
    const { onFailure } = this.#options
    switch (outcome.kind) {
      case 'stored':
      case 'known':
      case 'rejected':
        break
      case 'failed':
        onFailure?.(outcome.error.kind, outcome.error)
        break
      case 'crashed':
        onFailure?.('internal', outcome.error)
        break
      default:
        onFailure?.(outcome.kind, undefined)
    }
    this.#settleOwners(entry, outcome)
  }

  #settleOwners(entry: Entry, outcome: SubBatchOutcome): void {
    entry.isSettled = true
    for (const owner of entry.owners) settle(owner, outcome)
  }

  #reportDrained(): void {
    if (this.#queued.used === 0 && this.#flushes === 0) this.#onDrained?.()
  }
}

const REJECTED: SubBatchOutcome = { kind: 'rejected' }

const UNKNOWN_OUTCOME = { kind: 'failed', error: NO_RESPONSE } as const satisfies SubBatchOutcome

/** Whether a sub-batch may join a waiting entry. */
function hasRoom(entry: Entry, count: number, once: RequestMark | undefined): boolean {
  return once === undefined && entry.once === undefined && entry.count + count <= ENTRY_SAMPLES_MAX
}

function settle({ request, at }: Owner, outcome: SubBatchOutcome): void {
  request.outcomes[at] = outcome
  request.missing--
  if (request.missing === 0) request.resolve(request.outcomes)
}
