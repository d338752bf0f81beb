import type { FeedKind } from '@tidemark/shared/store/ports/feed'
import type { FeedEvent } from './events.ts'
import { IdWriter, type Place, Position, type Scope } from './position.ts'
import type { Subscriber } from './subscriber.ts'

/** Bytes after which a batch takes no more events: what a subscriber may have unsent. */
const BATCH_BYTES_MAX = 256 * 1024

const GAP = 'Events before this one are missing: they are no longer kept, or Redis has lost them.'

/** What one read has of a slot. */
export interface SlotEvents {
  readonly slot: number
  readonly kind: FeedKind
  readonly events: readonly FeedEvent[]
  readonly end: Place
  readonly hasGap: boolean
}

/** What a subscriber gets next: the texts of events, of slow subscribers at most one of a key. */
export class Batch {
  readonly #isSlow: boolean
  /** By key if the subscriber is slow. Later ones of a key take the place of earlier ones. */
  readonly #texts = new Map<string | number, string>()
  readonly #gaps = new Set<FeedKind>()
  readonly counts: Record<FeedKind, number> = { analysis: 0, anomaly: 0, alert: 0 }
  #bytes = 0
  #next = 0
  coalesced = 0

  constructor(isSlow: boolean) {
    this.#isSlow = isSlow
  }

  get hasGap(): boolean {
    return this.#gaps.size > 0
  }

  get isEmpty(): boolean {
    return this.#texts.size === 0 && !this.hasGap
  }

  /**
   * Adds the events of a read after `at` that the subscriber wants. Moves `at`; false if the batch
   * is full before the end of the read.
   */
  add(subscriber: Subscriber, read: readonly SlotEvents[], at: Position): boolean {
    const { scope } = subscriber
    const base = baseOf(scope, at, read)
    for (const { slot, kind, events, end, hasGap } of read) {
      if (!subscriber.slots.has(slot)) continue
      if (hasGap && isMissing(at, slot, events[0], end)) this.#gaps.add(kind)
      let ids: IdWriter | undefined
      let last: Place | undefined
      for (const event of events) {
        const isNew = at.compare(slot, event) < 0
        if (isNew && subscriber.wants(event)) {
          if (this.#bytes >= BATCH_BYTES_MAX) {
            if (last !== undefined) at.set(slot, last)
            return false
          }
          ids ??= new IdWriter(scope, at, base)
          this.#put(event, ids.at(slot, event))
        }
        if (isNew) last = event
      }
      // After a loss of data the end is before `at`.
      if (hasGap || at.compare(slot, end) < 0) at.set(slot, end)
    }
    return true
  }

  text(): string {
    const gap = this.hasGap ? gapText([...this.#gaps], GAP) : ''
    const skipped = this.coalesced === 0 ? '' : `event: coalesced\ndata: {"skipped":${this.coalesced}}\n\n`
    return gap + skipped + [...this.#texts.values()].join('')
  }

  #put(event: FeedEvent, id: string): void {
    const text = `id: ${id}\nevent: ${event.kind}\ndata: ${event.body}\n\n`
    const name = this.#isSlow && event.kind === 'analysis' ? `${event.key}` : this.#next++
    const before = this.#texts.get(name)
    if (before === undefined) this.counts[event.kind]++
    else {
      // It moves to the end: an id stands for all events before it.
      this.#texts.delete(name)
      this.#bytes -= before.length
      this.coalesced++
    }
    this.#texts.set(name, text)
    this.#bytes += text.length
  }
}

/** An event that says what a feed may not have. It has no id: the feed stays where it is. */
export function gapText(kinds: readonly FeedKind[], reason: string): string {
  return `event: gap\ndata: ${JSON.stringify({ kinds, reason })}\n\n`
}

/** Whether a gap that was found in a read, which may begin earlier, is one for this position. */
function isMissing(at: Position, slot: number, first: FeedEvent | undefined, end: Place): boolean {
  if (first === undefined || at.compare(slot, end) > 0) return true
  return at.compare(slot, { ms: first.ms, seq: first.seq, count: 0 }) < 0
}

/** The latest time in the ids of a batch. */
function baseOf({ slots }: Scope, at: Position, read: readonly SlotEvents[]): number {
  let base = 0
  for (const slot of slots) base = Math.max(base, at.msAt(slot))
  for (const { end } of read) base = Math.max(base, end.ms)
  return base
}

/** Returns the earliest of some positions, in each of the slots. */
export function earliest(positions: readonly Position[], slots: readonly number[], count: number): Position {
  const earliest = new Position(count)
  for (const slot of slots) {
    for (const position of positions) {
      if (!position.has(slot)) continue
      if (!earliest.has(slot) || earliest.compare(slot, position.at(slot)) > 0) earliest.set(slot, position.at(slot))
    }
  }
  return earliest
}
