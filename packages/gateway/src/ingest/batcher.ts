import { addTrace, packShares, packTraces } from '@tidemark/shared/sample/entry'
import type { PackedSamples } from '@tidemark/shared/sample/packer'
import type { TraceContext } from '@tidemark/shared/sample/trace-context'
import { type AppendOutcome, type GatewayStore, type Once, StoreError } from '@tidemark/shared/store/ports/store'

/** An entry takes no more shares from here on. One share is never divided, so an entry can be as large as a request. */
const ENTRY_SAMPLES_MAX = 1000

/** Calls to the store at one time. While all are under way the next one gathers what comes in (group commit). */
const FLUSHES_MAX = 4

/** What one request has for one partition. */
export interface Share extends PackedSamples {
  /** Of a request that may come again. Its share is an entry of its own, which can be told from all others. */
  readonly once?: Once | undefined
  /** The trace that the request belongs to. */
  readonly trace?: TraceContext | undefined
}

export type ShareOutcome =
  | AppendOutcome
  /** It was never sent: too much waits already, the store is silent, or the gateway stops. */
  | { readonly kind: 'turned-away' }

export type FlushFailure = 'refused' | 'unknown' | 'fatal' | 'full' | 'limit-reached' | 'no-memory' | 'timeout'

export interface BatcherOptions {
  readonly store: Pick<GatewayStore, 'append'>
  readonly queueSamplesMax: number
  readonly timeoutMs: number
  /** Told of each call to the store that was answered: entries' samples and how long it took. */
  readonly onFlush?: (samples: number, seconds: number) => void
  /** Told of each entry that was not stored, or not known to be. */
  readonly onFailure?: (reason: FlushFailure, error: StoreError | undefined) => void
}

/** A request that waits for its shares' outcomes. */
interface Waiting {
  readonly outcomes: ShareOutcome[]
  missing: number
  readonly resolve: (outcomes: readonly ShareOutcome[]) => void
}

/** Shares that will be one entry. */
interface Entry {
  readonly partition: number
  readonly shares: string[]
  /** Of each share, whose it is and which one of that request. */
  readonly owners: { readonly request: Waiting; readonly at: number }[]
  readonly once: Once | undefined
  /** Undefined until a share has a trace, which is the usual case. */
  traces: TraceContext[] | undefined
  count: number
  isSettled: boolean
}

/** A partition's entries, oldest first. */
interface Lane {
  readonly entries: Entry[]
  /** An entry of this partition is with the store. */
  isBusy: boolean
  /** ...and has been for longer than the time-out. */
  isOverdue: boolean
}

/**
 * Gathers what concurrent requests bring into one entry per partition, and the entries into one call to the store, at the
 * end of the event loop's turn: an entry costs as much as ten of its samples. Only entries that wait are kept, so neither
 * cost nor memory depends on how many keys there are.
 *
 * Order: a partition's entries are with the store in one call at a time, in the order in which their shares came. The next
 * call for it begins when that one is answered, so an entry that failed cannot overtake or be overtaken. The price is one
 * round trip; what comes meanwhile is gathered.
 *
 * Waiting is bounded by twice the time-out: once for the call before and once for its own. When a call is overdue, its
 * requests are told that the outcome is unknown, what waits behind it is turned away, and so is what comes, until the
 * store has answered: it may still be writing.
 */
export class Batcher {
  readonly #store: Pick<GatewayStore, 'append'>
  readonly #options: BatcherOptions
  readonly #lanes = new Map<number, Lane>()
  /** Lanes that have entries, in order of their oldest. */
  readonly #waiting = new Set<Lane>()
  #samples = 0
  #flushes = 0
  #overdueFlushes = 0
  #isScheduled = false
  #isClosed = false
  #onDrained: (() => void) | undefined

  constructor(options: BatcherOptions) {
    this.#store = options.store
    this.#options = options
  }

  /** Samples that wait for the store's answer. */
  get samples(): number {
    return this.#samples
  }

  /** Resolves when every share has its outcome, in the order given. Does not reject. */
  submit(shares: readonly Share[]): Promise<readonly ShareOutcome[]> {
    const { promise, resolve } = Promise.withResolvers<readonly ShareOutcome[]>()
    const request: Waiting = { outcomes: shares.map(() => TURNED_AWAY), missing: shares.length, resolve }
    if (shares.length === 0 || !this.#hasRoomFor(shares)) {
      resolve(request.outcomes)
      return promise
    }
    shares.forEach((share, at) => {
      this.#enqueue(share, { request, at })
    })
    this.#schedule()
    return promise
  }

  /** Turns away what comes from now on; resolves when everything that was taken has its outcome. */
  drain(): Promise<void> {
    this.#isClosed = true
    return new Promise(resolve => {
      this.#onDrained = resolve
      this.#reportDrained()
    })
  }

  #hasRoomFor(shares: readonly Share[]): boolean {
    if (this.#isClosed || this.#overdueFlushes >= FLUSHES_MAX) return false
    let count = 0
    for (const share of shares) count += share.count
    // A request that is larger than the whole queue must get its turn too, some time.
    return this.#samples === 0 || this.#samples + count <= this.#options.queueSamplesMax
  }

  #enqueue({ partition, samples, count, once, trace }: Share, owner: { request: Waiting; at: number }): void {
    const lane = this.#lane(partition)
    if (lane.isOverdue) {
      settle(owner, TURNED_AWAY)
      return
    }
    let entry = lane.entries.at(-1)
    if (entry === undefined || !takes(entry, count, once)) {
      entry = { partition, shares: [], owners: [], once, traces: undefined, count: 0, isSettled: false }
      lane.entries.push(entry)
      this.#waiting.add(lane)
    }
    entry.shares.push(samples)
    entry.owners.push(owner)
    if (trace !== undefined) {
      entry.traces ??= []
      addTrace(entry.traces, trace)
    }
    entry.count += count
    this.#samples += count
  }

  #lane(partition: number): Lane {
    let lane = this.#lanes.get(partition)
    if (lane === undefined) {
      lane = { entries: [], isBusy: false, isOverdue: false }
      this.#lanes.set(partition, lane)
    }
    return lane
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.size === 0) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      // The flush's own promise never rejects: append() does not, and the rest is arithmetic.
      void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    if (this.#flushes >= FLUSHES_MAX) return
    const lanes = [...this.#waiting].filter(lane => !lane.isBusy)
    if (lanes.length === 0) return
    const entries: Entry[] = []
    for (const lane of lanes) {
      lane.isBusy = true
      entries.push(...lane.entries.splice(0))
      this.#waiting.delete(lane)
    }
    this.#flushes++
    const begin = performance.now()
    let isOverdue = false
    const timer = setTimeout(() => {
      isOverdue = true
      this.#overdueFlushes++
      this.#giveUp(entries, lanes)
    }, this.#options.timeoutMs)

    const outcomes = await this.#append(entries)
    clearTimeout(timer)
    if (isOverdue) this.#overdueFlushes--
    this.#flushes--
    for (const lane of lanes) {
      lane.isBusy = false
      lane.isOverdue = false
    }
    let samples = 0
    entries.forEach((entry, i) => {
      samples += entry.count
      this.#settleEntry(entry, outcomes[i] ?? NO_OUTCOME)
    })
    this.#samples -= samples
    this.#options.onFlush?.(samples, (performance.now() - begin) / 1000)
    this.#schedule()
    this.#reportDrained()
  }

  async #append(entries: readonly Entry[]): Promise<readonly AppendOutcome[]> {
    try {
      return await this.#store.append(
        entries.map(({ partition, shares, count, once, traces }) => ({
          partition,
          samples: packShares(shares),
          count,
          once,
          traces: traces && packTraces(traces),
        })),
      )
    } catch (error) {
      // By its contract append() does not reject; were it to, the samples' fate would be unknown and the clients must hear it.
      const cause = new StoreError('append rejected', { kind: 'unknown', cause: error })
      return entries.map(() => ({ kind: 'failed', error: cause }))
    }
  }

  /** Answers everybody who waits for a call that is overdue, or behind one. Its samples still count: they are in memory. */
  #giveUp(entries: readonly Entry[], lanes: readonly Lane[]): void {
    for (const entry of entries) {
      this.#options.onFailure?.('timeout', undefined)
      this.#settleOwners(entry, NO_OUTCOME)
    }
    for (const lane of lanes) {
      lane.isOverdue = true
      this.#turnAway(lane)
    }
    if (this.#overdueFlushes < FLUSHES_MAX) return
    // No call can begin until one of the overdue ones ends, so nobody else's turn comes either.
    for (const lane of this.#waiting) this.#turnAway(lane)
  }

  #turnAway(lane: Lane): void {
    for (const entry of lane.entries.splice(0)) {
      this.#samples -= entry.count
      this.#settleOwners(entry, TURNED_AWAY)
    }
    this.#waiting.delete(lane)
  }

  #settleEntry(entry: Entry, outcome: AppendOutcome): void {
    if (entry.isSettled) return
    if (outcome.kind === 'failed') this.#options.onFailure?.(outcome.error.kind, outcome.error)
    else if (outcome.kind !== 'stored' && outcome.kind !== 'known') this.#options.onFailure?.(outcome.kind, undefined)
    this.#settleOwners(entry, outcome)
  }

  #settleOwners(entry: Entry, outcome: ShareOutcome): void {
    entry.isSettled = true
    for (const owner of entry.owners) settle(owner, outcome)
  }

  #reportDrained(): void {
    if (this.#samples === 0 && this.#flushes === 0) this.#onDrained?.()
  }
}

const TURNED_AWAY: ShareOutcome = { kind: 'turned-away' }

const NO_OUTCOME: AppendOutcome = {
  kind: 'failed',
  error: new StoreError('the store did not answer in time', { kind: 'unknown' }),
}

/** Whether a share may go into an entry that waits. */
function takes(entry: Entry, count: number, once: Once | undefined): boolean {
  return once === undefined && entry.once === undefined && entry.count + count <= ENTRY_SAMPLES_MAX
}

function settle({ request, at }: { request: Waiting; at: number }, outcome: ShareOutcome): void {
  request.outcomes[at] = outcome
  request.missing--
  if (request.missing === 0) request.resolve(request.outcomes)
}
