import { setImmediate } from 'node:timers/promises'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Failures } from '../failures.ts'
import { RequestFault } from '../http/problem.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { FeedRequest, LiveFeed, OpenFeed } from '../services.ts'
import { withTimeout } from '../store-timeout.ts'
import { Batch, earliest, gapText, type SlotEvents } from './batch.ts'
import { eventsOf } from './events.ts'
import { idOf, Position, parseId, placeOf, positionOfSlot, scopeOf, slotsOf } from './position.ts'
import { Subscriber } from './subscriber.ts'

/** The store is read at this interval while there are subscribers: the latency of the feed. */
const READ_EVERY_MS = 50

/** After a failed read. */
const RETRY_EVERY_MS = 500

/** The feed leaves the event loop to requests: it takes at most a fifth of the time. */
const IDLE_FACTOR = 4
const PAUSE_MAX_MS = 1000

/** Nor does it keep a request waiting for longer than this. */
const SLICE_MS = 2

/** What one read may have of all streams together. An entry may be larger. */
const READ_BYTES = 256 * 1024

/** Reads in a row for those who are behind. */
const CATCH_UP_READS = 4

/** A subscriber that takes no bytes for so long is slow. */
const SLOW_AFTER_MS = 1000

/** A slow subscriber gets one analysis of a key in this time, until it takes that at once. */
const UPDATE_EVERY_MS = 250

/**
 * How often it is checked whether the caller of a feed may still read, and needs a heartbeat. API
 * keys are read once a second, and a revoked one is refused within 2 s.
 */
const CHECK_EVERY_MS = 500

/** When a browser opens the feed again after it was closed. */
const RETRY_MS = 2000

const NO_PLACE = 'Events may be missing: the id that was sent is not of a feed with these parameters. It begins now.'

const KIND_OF = { verdicts: 'analysis', anomalies: 'anomaly', alerts: 'alert', alert_changes: 'alert' } as const

export interface FeedOptions {
  readonly store: Pick<Store, 'alerts' | 'feed' | 'partitions'>
  readonly failures: Failures
  readonly metrics: GatewayMetrics
  /** How long the store may take to respond. */
  readonly timeoutMs: number
  readonly feedsMax: number
  readonly feedsPerClientMax: number
  /** Bytes that subscribers have not taken, all together. */
  readonly bytesMax: number
  readonly heartbeatMs: number
  readonly random: () => number
}

/** What a read of the store has. */
interface Step {
  readonly slots: readonly SlotEvents[]
  readonly hasMore: boolean
}

/**
 * Serves every subscriber from the same reads of the store, one at a time: one for those who are up
 * to date, and one for those who are not, which begins at the earliest of them. What a subscriber
 * has not taken stays in the store; the feed keeps no events. Without subscribers nothing is read.
 */
export class Feed implements LiveFeed, Disposable {
  readonly #options: FeedOptions
  readonly #partitions: number
  readonly #encoder = new TextEncoder()
  /** Those who begin now, until the store has said where that is. */
  readonly #fresh = new Map<Subscriber, PromiseWithResolvers<void>>()
  readonly #current = new Set<Subscriber>()
  readonly #behind = new Set<Subscriber>()
  /** How far those who are current have come, in the slots that they use. */
  #position: Position
  readonly #uses: Uint32Array
  #open = 0
  #unsent = 0
  #isRunning = false
  #isClosed = false
  #wake = new AbortController()
  #sliceBegan = 0
  #beatAt = 0
  /** Time that the event loop was kept since the last pause. */
  #busyMs = 0

  constructor(options: FeedOptions) {
    this.#options = options
    this.#partitions = options.store.partitions
    this.#position = new Position(slotsOf(this.#partitions))
    this.#uses = new Uint32Array(slotsOf(this.#partitions))
  }

  /** Open feeds. */
  get open(): number {
    return this.#open
  }

  /** Bytes that subscribers have not taken. */
  get unsent(): number {
    return this.#unsent
  }

  isId(text: string): boolean {
    return parseId(text, this.#partitions) !== undefined
  }

  async subscribe(request: FeedRequest): Promise<OpenFeed> {
    this.#admit(request)
    const { kinds, filter, lastId } = request
    const partition = filter.key === undefined ? undefined : partitionOf(filter.key, this.#partitions)
    const scope = scopeOf(kinds, partition, this.#partitions)
    const subscriber = new Subscriber(request, scope, performance.now())
    this.#open++
    request.share.used++
    const wanted = lastId === undefined ? undefined : parseId(lastId, this.#partitions)
    const isKnown = wanted !== undefined && scope.slots.every(slot => wanted.has(slot))
    if (isKnown) {
      subscriber.at = wanted
      this.#behind.add(subscriber)
      this.#start()
    } else await this.#place(subscriber)
    const gap = lastId !== undefined && !isKnown ? gapText([...kinds], NO_PLACE) : ''
    const id = idOf(scope, subscriber.at ?? this.#position)
    this.#put(subscriber, this.#encoder.encode(`retry: ${RETRY_MS}\nid: ${id}\n\n${gap}`))
    return { ready: () => this.#ready(subscriber), end: () => this.#end(subscriber) }
  }

  /** Ends every feed: browsers open them again, at other gateways and not all at once. */
  [Symbol.dispose](): void {
    this.#isClosed = true
    this.#wake.abort()
    for (const placed of this.#fresh.values()) placed.reject(stopping())
    for (const subscriber of [...this.#current, ...this.#behind]) {
      const retryMs = Math.round(RETRY_MS * (0.5 + this.#options.random()))
      this.#finish(subscriber, `retry: ${retryMs}\n\n`)
    }
  }

  #admit({ share }: FeedRequest): void {
    const { feedsMax, feedsPerClientMax, metrics } = this.#options
    if (this.#isClosed) throw stopping()
    if (this.#open >= feedsMax) {
      metrics.limitReached('feeds')
      const reason = `this gateway serves ${feedsMax} live feeds, as many as it may (FEEDS_MAX)`
      throw new RequestFault({ kind: 'overloaded', reason, retryAfterS: 5 })
    }
    if (share.used >= feedsPerClientMax) {
      metrics.limitReached('feeds')
      throw new RequestFault({ kind: 'feeds-too-many', max: feedsPerClientMax })
    }
  }

  #ready(subscriber: Subscriber): void {
    if (subscriber.isReady || !subscriber.isOpen) return
    subscriber.isReady = true
    subscriber.readyAt = performance.now()
    this.#unsent -= subscriber.unsent
    subscriber.unsent = 0
  }

  #end(subscriber: Subscriber): void {
    if (!subscriber.isOpen) return
    subscriber.isOpen = false
    this.#open--
    subscriber.request.share.used--
    this.#unsent -= subscriber.unsent
    subscriber.unsent = 0
    this.#fresh.delete(subscriber)
    this.#behind.delete(subscriber)
    if (this.#current.delete(subscriber)) this.#use(subscriber, -1)
  }

  /** Places a subscriber at the end of its streams. */
  async #place(subscriber: Subscriber): Promise<void> {
    const placed = Promise.withResolvers<void>()
    this.#fresh.set(subscriber, placed)
    this.#start()
    this.#wake.abort()
    try {
      await placed.promise
    } catch (error) {
      this.#end(subscriber)
      throw error
    }
  }

  #start(): void {
    // The loop never rejects.
    if (!this.#isRunning) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    while (this.#open > 0 && !this.#isClosed) {
      this.#wake = new AbortController()
      this.#busyMs = 0
      let pauseMs = READ_EVERY_MS
      try {
        this.#sliceBegan = performance.now()
        if (await this.#tick()) pauseMs = 0
      } catch (error) {
        this.#failed(error)
        pauseMs = RETRY_EVERY_MS
      }
      const idleMs = Math.min(PAUSE_MAX_MS, IDLE_FACTOR * this.#busyMs)
      if (idleMs > 1) await pause(idleMs)
      if (pauseMs > idleMs && !this.#isClosed) await pause(pauseMs - idleMs, this.#wake.signal)
      else await setImmediate()
    }
    this.#isRunning = false
  }

  #failed(error: unknown): void {
    this.#options.failures(error, 'live feeds wait until the store can be read again')
    for (const placed of this.#fresh.values()) placed.reject(error)
    this.#fresh.clear()
  }

  /** Returns whether there is more to read at once. */
  async #tick(): Promise<boolean> {
    if (performance.now() - this.#beatAt >= Math.min(CHECK_EVERY_MS, this.#options.heartbeatMs)) await this.#beat()
    const hasMore = this.#current.size > 0 && (await this.#serveCurrent())
    if (this.#fresh.size > 0) await this.#placeFresh()
    const due = [...this.#behind].filter(subscriber => this.#isDue(subscriber))
    const isBehind = due.length > 0 && (await this.#catchUp(due))
    return hasMore || isBehind
  }

  async #read(slots: readonly number[], from: Position): Promise<Step> {
    const { store, timeoutMs, metrics } = this.#options
    const positions = slots.map(slot => positionOfSlot(slot, this.#partitions, from.has(slot) ? from.at(slot) : null))
    metrics.feedRead()
    const parts = await withTimeout(store.feed.read(positions, Math.ceil(READ_BYTES / slots.length)), timeoutMs)
    this.#sliceBegan = performance.now()
    const read: SlotEvents[] = []
    for (const [i, { entries, position, hasGap }] of parts.entries()) {
      const [slot, at] = [slots[i], positions[i]]
      if (slot === undefined || at === undefined) continue
      const events = await eventsOf(store, at.partition, entries)
      read.push({ slot, kind: KIND_OF[at.stream], events, end: placeOf(position), hasGap })
      if (this.#isLate) await this.#breathe()
    }
    return { slots: read, hasMore: parts.some(({ hasMore }) => hasMore) }
  }

  get #isLate(): boolean {
    return performance.now() - this.#sliceBegan >= SLICE_MS
  }

  /** Lets requests have their turn after a slice of work. */
  async #breathe(): Promise<void> {
    this.#busyMs += performance.now() - this.#sliceBegan
    await setImmediate()
    this.#sliceBegan = performance.now()
  }

  async #serveCurrent(): Promise<boolean> {
    const slots = [...this.#uses.keys()].filter(slot => (this.#uses[slot] ?? 0) > 0)
    const before = this.#position
    const step = await this.#read(slots, before)
    const after = new Position(before)
    for (const { slot, end } of step.slots) after.set(slot, end)
    const hasGap = step.slots.some(one => one.hasGap)
    const keys = new Set(step.slots.flatMap(({ events }) => events.map(({ key }) => key)))
    const concerned = keys.size === 0 && !hasGap ? [] : [...this.#current]
    /** Subscribers who are exactly where the feed is share their bytes. */
    const shared = new Map<string, Composed>()
    for (const subscriber of concerned) {
      if (this.#isLate) await this.#breathe()
      if (!subscriber.isOpen) continue
      const { at: own, signature } = subscriber
      const { key } = subscriber.request.filter
      // Most feeds of one key have nothing to do.
      if (own === undefined && key !== undefined && !hasGap && !keys.has(key)) continue
      let composed = own === undefined ? shared.get(signature) : undefined
      if (composed === undefined) {
        composed = this.#compose(subscriber, step.slots, new Position(own ?? before))
        if (own === undefined) shared.set(signature, composed)
      }
      if (composed.bytes !== undefined && !this.#send(subscriber, composed)) {
        subscriber.at = own ?? new Position(before)
        this.#fallBehind(subscriber)
      } else if (!composed.isWhole) {
        subscriber.at = new Position(composed.at)
        this.#fallBehind(subscriber)
      } else {
        const isAhead =
          own !== undefined && subscriber.scope.slots.some(slot => after.compare(slot, composed.at.at(slot)) < 0)
        subscriber.at = isAhead ? composed.at : undefined
      }
    }
    this.#position = after
    // Some may have left meanwhile.
    for (const slot of slots) if (this.#uses[slot] === 0) after.clear(slot)
    return step.hasMore
  }

  #compose(subscriber: Subscriber, read: readonly SlotEvents[], at: Position): Composed {
    const batch = new Batch(false)
    const isWhole = batch.add(subscriber, read, at)
    return { batch, bytes: batch.isEmpty ? undefined : this.#encoder.encode(batch.text()), isWhole, at }
  }

  async #placeFresh(): Promise<void> {
    const fresh = [...this.#fresh]
    const slots = new Set(fresh.flatMap(([{ scope }]) => scope.slots))
    const at = new Position(slotsOf(this.#partitions))
    const { slots: ends } = await this.#read(
      [...slots].toSorted((a, b) => a - b),
      at,
    )
    for (const { slot, end } of ends) at.set(slot, end)
    for (const [subscriber, placed] of fresh) {
      if (!subscriber.isOpen) continue
      this.#fresh.delete(subscriber)
      subscriber.at = new Position(at)
      this.#join(subscriber)
      placed.resolve()
    }
  }

  /** Whether a subscriber who is behind can be given more. */
  #isDue(subscriber: Subscriber): boolean {
    if (!subscriber.isReady) return false
    const now = performance.now()
    const tookMs = subscriber.readyAt - subscriber.wroteAt
    if (tookMs > SLOW_AFTER_MS) subscriber.isSlow = true
    if (!subscriber.isSlow) return true
    if (now - subscriber.wroteAt < UPDATE_EVERY_MS) return false
    if (tookMs < UPDATE_EVERY_MS) subscriber.isSlow = false
    return true
  }

  /** Serves those who are behind, from the earliest of them. Those who catch up are current. */
  async #catchUp(due: readonly Subscriber[]): Promise<boolean> {
    const group = new Map(
      due.map(subscriber => [
        subscriber,
        { at: new Position(subscriber.at ?? this.#position), batch: new Batch(subscriber.isSlow) },
      ]),
    )
    const full = new Set<Subscriber>()
    let isEnd = false
    for (let n = 0; n < CATCH_UP_READS && full.size < group.size && !isEnd; n++) {
      const waiting = [...group].filter(([subscriber]) => subscriber.isOpen && !full.has(subscriber))
      if (waiting.length === 0) return false
      const slots = [...new Set(waiting.flatMap(([{ scope }]) => scope.slots))].toSorted((a, b) => a - b)
      const from = earliest(
        waiting.map(([, { at }]) => at),
        slots,
        slotsOf(this.#partitions),
      )
      const step = await this.#read(slots, from)
      for (const [subscriber, { at, batch }] of waiting) {
        if (this.#isLate) await this.#breathe()
        if (!batch.add(subscriber, step.slots, at)) full.add(subscriber)
      }
      isEnd = !step.hasMore
    }
    for (const [subscriber, { at, batch }] of group) {
      if (this.#isLate) await this.#breathe()
      if (!subscriber.isOpen) continue
      const bytes = batch.isEmpty ? undefined : this.#encoder.encode(batch.text())
      if (bytes !== undefined && !this.#send(subscriber, { batch, bytes })) continue
      subscriber.at = at
      if (bytes === undefined) subscriber.isSlow = false
      if (isEnd && !full.has(subscriber) && !subscriber.isSlow) this.#join(subscriber)
    }
    return !isEnd && full.size < group.size
  }

  /** Makes a subscriber current. It is as far as the feed or ahead of it, which has read before. */
  #join(subscriber: Subscriber): void {
    this.#behind.delete(subscriber)
    this.#current.add(subscriber)
    this.#use(subscriber, 1)
  }

  #fallBehind(subscriber: Subscriber): void {
    if (!this.#current.delete(subscriber)) return
    this.#use(subscriber, -1)
    this.#behind.add(subscriber)
  }

  #use({ slots, at }: Subscriber, by: 1 | -1): void {
    for (const slot of slots) {
      this.#uses[slot] = (this.#uses[slot] ?? 0) + by
      if (by === 1 && !this.#position.has(slot) && at !== undefined) this.#position.set(slot, at.at(slot))
      if (this.#uses[slot] === 0) this.#position.clear(slot)
    }
  }

  /** Sends a batch; false if the subscriber takes nothing now, or too much is unsent. */
  #send(subscriber: Subscriber, { batch, bytes }: Pick<Composed, 'batch' | 'bytes'>): boolean {
    const { bytesMax, metrics } = this.#options
    if (bytes === undefined || !subscriber.isReady || this.#unsent + bytes.length > bytesMax) return false
    this.#put(subscriber, bytes)
    metrics.feedSent(batch.counts, batch.coalesced, batch.hasGap)
    return true
  }

  #put(subscriber: Subscriber, bytes: Uint8Array): void {
    subscriber.isReady = false
    subscriber.wroteAt = performance.now()
    subscriber.unsent += bytes.length
    this.#unsent += bytes.length
    subscriber.request.sink.write(bytes)
  }

  /** Sends heartbeats, and ends the feeds of callers who may no longer read. */
  async #beat(): Promise<void> {
    const { heartbeatMs } = this.#options
    this.#beatAt = performance.now()
    for (const subscriber of [...this.#current, ...this.#behind]) {
      if (this.#isLate) await this.#breathe()
      const now = performance.now()
      if (!subscriber.isOpen) continue
      if (now - subscriber.checkedAt >= CHECK_EVERY_MS) {
        subscriber.checkedAt = now
        if (!subscriber.request.isAllowed()) {
          this.#finish(subscriber, 'event: end\ndata: {"reason":"The API key or session is no longer valid."}\n\n')
          continue
        }
      }
      if (!subscriber.isReady || now - subscriber.wroteAt < heartbeatMs) continue
      // The id keeps a quiet feed from falling behind what is kept.
      const id = idOf(subscriber.scope, subscriber.at ?? this.#position)
      this.#put(subscriber, this.#encoder.encode(`: heartbeat\nid: ${id}\n\n`))
    }
  }

  #finish(subscriber: Subscriber, text: string): void {
    subscriber.request.sink.write(this.#encoder.encode(text))
    subscriber.request.sink.end()
    this.#end(subscriber)
  }
}

interface Composed {
  readonly batch: Batch
  /** Undefined for none. */
  readonly bytes: Uint8Array | undefined
  /** Whether the batch has everything that was read. */
  readonly isWhole: boolean
  /** Where the subscriber is then. */
  readonly at: Position
}

function stopping(): RequestFault {
  return new RequestFault({ kind: 'overloaded', reason: 'the gateway is stopping' })
}
