import type { EntryId } from '@tidemark/shared/sample/receipt'
import { FEED_KINDS, type FeedKind, type FeedPosition, type FeedStream } from '@tidemark/shared/store/ports/feed'

const STREAMS = ['verdicts', 'anomalies', 'alerts', 'alert_changes'] as const satisfies readonly FeedStream[]
/** The streams that a kind of events is read from, and its letter in ids. */
const STREAMS_OF = { analysis: [0], anomaly: [1], alert: [2, 3] } as const
const LETTERS = { analysis: 'v', anomaly: 'n', alert: 'a' } as const

/** Float64s of a place: milliseconds and sequence of an entry's id, and how many of its events. */
const STRIDE = 3

/** Of a place after all events of its entry. */
export const ALL = Number.POSITIVE_INFINITY

/** A place in one stream: after the first `count` events of an entry, or after ALL of them. */
export interface Place {
  readonly ms: number
  readonly seq: number
  readonly count: number
}

/**
 * A place in every stream, by the stream's slot: stream x partitions + partition. Slots that are
 * not read have none.
 */
export class Position {
  readonly #places: Float64Array

  constructor(slots: number | Position) {
    this.#places = typeof slots === 'number' ? new Float64Array(slots * STRIDE).fill(Number.NaN) : slots.#places.slice()
  }

  has(slot: number): boolean {
    return !Number.isNaN(this.#places[slot * STRIDE])
  }

  at(slot: number): Place {
    const [ms = 0, seq = 0, count = ALL] = this.#places.subarray(slot * STRIDE, (slot + 1) * STRIDE)
    return { ms, seq, count }
  }

  msAt(slot: number): number {
    return this.#places[slot * STRIDE] ?? 0
  }

  set(slot: number, { ms, seq, count }: Place): void {
    this.#places[slot * STRIDE] = ms
    this.#places[slot * STRIDE + 1] = seq
    this.#places[slot * STRIDE + 2] = count
  }

  clear(slot: number): void {
    this.#places.fill(Number.NaN, slot * STRIDE, (slot + 1) * STRIDE)
  }

  /** Compares the place in a slot with another one: negative if it is earlier. */
  compare(slot: number, { ms, seq, count }: Place): number {
    const at = slot * STRIDE
    const own = this.#places[at] ?? 0
    if (own !== ms) return own - ms
    const ownSeq = this.#places[at + 1] ?? 0
    if (ownSeq !== seq) return ownSeq - seq
    const ownCount = this.#places[at + 2] ?? 0
    return ownCount === count ? 0 : ownCount < count ? -1 : 1
  }
}

export function placeOf(id: EntryId, count = ALL): Place {
  const dash = id.indexOf('-')
  return { ms: Number(id.slice(0, dash)), seq: Number(id.slice(dash + 1)), count }
}

/** The streams that a subscriber is served from. */
export interface Scope {
  /** Equal for equal scopes; the beginning of ids. */
  readonly name: string
  /** Ascending. */
  readonly slots: readonly number[]
}

/** Returns the scope of some kinds, in one partition or in all of them. */
export function scopeOf(kinds: ReadonlySet<FeedKind>, partition: number | undefined, partitions: number): Scope {
  const wanted = FEED_KINDS.filter(kind => kinds.has(kind))
  const numbers = partition === undefined ? Array.from({ length: partitions }, (_, number) => number) : [partition]
  return {
    name: `${wanted.map(kind => LETTERS[kind]).join('')}_${partition ?? ''}`,
    slots: wanted.flatMap(kind =>
      STREAMS_OF[kind].flatMap(stream => numbers.map(number => stream * partitions + number)),
    ),
  }
}

/** The number of slots of a deployment. */
export function slotsOf(partitions: number): number {
  return STREAMS.length * partitions
}

export function positionOfSlot(slot: number, partitions: number, place: Place | null): FeedPosition {
  const at = { partition: slot % partitions, stream: STREAMS[Math.floor(slot / partitions)] ?? STREAMS[0] }
  if (place === null) return { ...at, after: null }
  return { ...at, after: `${place.ms}-${place.seq}`, isIncluded: place.count !== ALL }
}

/**
 * Event ids are positions, so that any gateway can continue from them: the scope, a time in base
 * 36, and for each slot of the scope how long before that its place is. An empty one is the
 * beginning of a stream. The id of an event differs from the position before it in one slot.
 */
export class IdWriter {
  readonly #head: string
  readonly #base: number
  readonly #scope: Scope
  readonly #segments: string[]
  #slot = -1
  #before = ''
  #behind = ''

  /** No place is later than `base`, in Unix milliseconds. */
  constructor(scope: Scope, position: Position, base: number) {
    this.#head = `${scope.name}_${base.toString(36)}_`
    this.#base = base
    this.#scope = scope
    this.#segments = scope.slots.map(slot => segmentOf(position.at(slot), base))
  }

  /** Returns the id of the position. */
  whole(): string {
    return this.#head + this.#segments.join('.')
  }

  /** Returns the id of the position with another place in one slot. */
  at(slot: number, place: Place): string {
    if (slot !== this.#slot) {
      const index = this.#scope.slots.indexOf(slot)
      this.#slot = slot
      this.#before =
        this.#head +
        this.#segments
          .slice(0, index)
          .map(one => `${one}.`)
          .join('')
      this.#behind = this.#segments
        .slice(index + 1)
        .map(one => `.${one}`)
        .join('')
    }
    return this.#before + segmentOf(place, this.#base) + this.#behind
  }
}

export function idOf(scope: Scope, position: Position): string {
  return new IdWriter(scope, position, Math.max(0, ...scope.slots.map(slot => position.msAt(slot)))).whole()
}

function segmentOf({ ms, seq, count }: Place, base: number): string {
  if (ms === 0) return ''
  const rest = (seq === 0 ? '' : `-${seq.toString(36)}`) + (count === ALL ? '' : `~${count.toString(36)}`)
  return (base - ms).toString(36) + rest
}

const ID = /^([vna]{1,3})_(\d{0,4})_([\da-z]{1,10})_([\da-z.~-]*)$/
const SEGMENT = /^(?:([\da-z]{1,10})(?:-([\da-z]{1,10}))?(?:~([\da-z]{1,6}))?)?$/

/** Returns the position that an id stands for; undefined for a text that is no id of this feed. */
export function parseId(text: string, partitions: number): Position | undefined {
  const [, letters = '', number = '', baseText = '', rest = ''] = ID.exec(text) ?? []
  const kinds = new Set(FEED_KINDS.filter(kind => letters.includes(LETTERS[kind])))
  const partition = number === '' ? undefined : Number(number)
  if (letters === '' || (partition ?? 0) >= partitions) return undefined
  const { slots } = scopeOf(kinds, partition, partitions)
  const segments = rest.split('.').map(segment => SEGMENT.exec(segment))
  const base = Number.parseInt(baseText, 36)
  if (segments.length !== slots.length || !Number.isSafeInteger(base)) return undefined
  const position = new Position(slotsOf(partitions))
  for (const [i, slot] of slots.entries()) {
    const found = segments[i]
    if (found == null) return undefined
    const [text, age = '', seq = '0', count] = found
    const place = {
      ms: base - Number.parseInt(age, 36),
      seq: Number.parseInt(seq, 36),
      count: count === undefined ? ALL : Number.parseInt(count, 36),
    }
    if (text !== '' && !(place.ms >= 0)) return undefined
    position.set(slot, text === '' ? { ms: 0, seq: 0, count: ALL } : place)
  }
  return position
}
