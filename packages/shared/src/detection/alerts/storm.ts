/** When alerts of single keys become one of the whole fleet. */
export interface StormPolicy {
  /** More than this share of all keys, from 0 to 1, */
  readonly share: number
  /** and no fewer keys than this, */
  readonly keysMin: number
  /** opened an alert within so long. */
  readonly withinMs: number
}

/** A storm begins, goes on with more keys, or is over. */
export interface StormEvent {
  readonly kind: 'storm' | 'storm_grows' | 'storm_over'
  readonly time: number
  readonly openedAt: number
  /** The first of its keys, in the order in which they opened. */
  readonly keys: readonly string[]
  /** All of them. */
  readonly keyCount: number
  readonly keysTotal: number
}

/** Keys that a storm lists; the others are counted. */
export const LISTED_MAX = 1000

/** The time that a storm looks back on is divided into so many slots: `withinMs` is kept to that precision. */
const SLOTS = 60

/** As much of `StormWatch` as is kept: JSON. */
export interface StormState {
  /** Of the policy that the slots were counted by. */
  readonly withinMs: number
  /** Number of the newest slot: time / slot length. */
  readonly slot: number
  /** Of each slot, at number % SLOTS: keys that opened last in it, and those of them that still fire. */
  readonly opened: readonly number[]
  readonly firing: readonly number[]
  /** The newest keys that opened, oldest first. */
  readonly newest: readonly { readonly key: string; readonly time: number }[]
  readonly storm: StormUnderWay | null
}

interface StormUnderWay {
  readonly openedAt: number
  /** Alerts that opened from here on belong to it. */
  readonly from: number
  /** How many of them fire. */
  readonly firing: number
  readonly keys: readonly string[]
  readonly keyCount: number
}

const NEW_STATE: StormState = {
  withinMs: 0,
  slot: 0,
  opened: Array<number>(SLOTS).fill(0),
  firing: Array<number>(SLOTS).fill(0),
  newest: [],
  storm: null,
}

/**
 * Watches the alerts of all keys for storms. Alerts belong to a storm by when they opened: from `withinMs` before it began until it
 * is over. It is over when no more of its alerts fire than half of what began it.
 *
 * It remembers counts for the slots of its time and at most `LISTED_MAX` keys, however many there are. That a key is not
 * counted twice follows from `openedBefore`, which each opening brings with it.
 */
export class StormWatch {
  readonly #policy: StormPolicy
  readonly #slotMs: number
  readonly #opened: number[]
  readonly #firing: number[]
  #slot: number
  #newest: { readonly key: string; readonly time: number }[]
  #storm: StormUnderWay | null

  constructor(policy: StormPolicy, state: StormState = NEW_STATE) {
    this.#policy = policy
    this.#slotMs = policy.withinMs / SLOTS
    // Counts by slots of another length are worth nothing; the storm that goes on is.
    const known = state.withinMs === policy.withinMs ? state : NEW_STATE
    this.#opened = [...known.opened]
    this.#firing = [...known.firing]
    this.#slot = known.slot
    this.#newest = [...known.newest]
    this.#storm = state.storm
  }

  toJSON(): StormState {
    const { withinMs } = this.#policy
    return {
      withinMs,
      slot: this.#slot,
      opened: [...this.#opened],
      firing: [...this.#firing],
      newest: [...this.#newest],
      storm: this.#storm,
    }
  }

  get isStorm(): boolean {
    return this.#storm !== null
  }

  /** Whether an alert that opened then belongs to the storm that goes on. */
  covers(openedAt: number): boolean {
    return this.#storm !== null && openedAt >= this.#storm.from
  }

  /** An alert has opened; `openedBefore` is when the key's alert before it did. */
  opened(
    { key, time, openedBefore }: { key: string; time: number; openedBefore: number },
    keysTotal: number,
  ): StormEvent | undefined {
    this.#advance(time)
    this.#add(this.#opened, openedBefore, -1)
    this.#add(this.#opened, time, 1)
    this.#add(this.#firing, time, 1)
    const storm = this.#storm
    if (storm === null) {
      if (this.#isRemembered(openedBefore)) this.#newest = this.#newest.filter(known => known.key !== key)
      this.#newest.push({ key, time })
      if (this.#newest.length > LISTED_MAX) this.#newest.shift()
      return this.#sum(this.#opened) > this.#line(keysTotal) ? this.#begin(time, keysTotal) : undefined
    }
    if (!this.covers(time)) return undefined
    // A key that opened before in the same storm is known to be in it.
    const isNew = !this.covers(openedBefore)
    const keys = isNew && storm.keys.length < LISTED_MAX ? [...storm.keys, key] : storm.keys
    this.#storm = { ...storm, firing: storm.firing + 1, keys, keyCount: storm.keyCount + (isNew ? 1 : 0) }
    return isNew ? this.#event('storm_grows', time, keysTotal) : undefined
  }

  /** An alert that opened at `openedAt` is resolved. */
  resolved({ time, openedAt }: { time: number; openedAt: number }, keysTotal: number): StormEvent | undefined {
    this.#advance(time)
    this.#add(this.#firing, openedAt, -1)
    const storm = this.#storm
    if (storm === null || !this.covers(openedAt)) return undefined
    this.#storm = { ...storm, firing: Math.max(0, storm.firing - 1) }
    return this.#endIfOver(time, keysTotal)
  }

  /**
   * No more alerts than so many fire at all. Ends that nobody heard of, because too many came at once, would make a storm last for
   * ever, and with it the silence about each of its keys.
   */
  firesAtMost({ time, count }: { time: number; count: number }, keysTotal: number): StormEvent | undefined {
    if (this.#storm === null || this.#storm.firing <= count) return undefined
    this.#storm = { ...this.#storm, firing: count }
    return this.#endIfOver(time, keysTotal)
  }

  #endIfOver(time: number, keysTotal: number): StormEvent | undefined {
    if (this.#storm === null || this.#storm.firing > this.#line(keysTotal) / 2) return undefined
    const event = this.#event('storm_over', time, keysTotal)
    this.#storm = null
    this.#opened.fill(0)
    this.#firing.fill(0)
    this.#newest = []
    return event
  }

  #begin(time: number, keysTotal: number): StormEvent {
    const from = (this.#slot - SLOTS + 1) * this.#slotMs
    const listed = this.#newest.filter(known => known.time >= from).map(({ key }) => key)
    const keyCount = this.#sum(this.#opened)
    this.#storm = { openedAt: time, from, firing: this.#sum(this.#firing), keys: listed, keyCount }
    this.#newest = []
    return this.#event('storm', time, keysTotal)
  }

  #event(kind: StormEvent['kind'], time: number, keysTotal: number): StormEvent {
    const { openedAt = time, keys = [], keyCount = 0 } = this.#storm ?? {}
    return { kind, time, openedAt, keys, keyCount, keysTotal }
  }

  /** More than so many keys make a storm. */
  #line(keysTotal: number): number {
    return Math.max(this.#policy.keysMin - 1, this.#policy.share * keysTotal)
  }

  /** Forgets the slots that have become too old. Times of several partitions may come a little out of order. */
  #advance(time: number): void {
    const slot = Math.max(this.#slot, Math.floor(time / this.#slotMs))
    for (let old = Math.max(this.#slot + 1, slot - SLOTS + 1); old <= slot; old++) {
      this.#opened[old % SLOTS] = 0
      this.#firing[old % SLOTS] = 0
    }
    this.#slot = slot
  }

  #add(counts: number[], time: number, change: number): void {
    if (!this.#isRemembered(time)) return
    const place = Math.floor(time / this.#slotMs) % SLOTS
    counts[place] = Math.max(0, (counts[place] ?? 0) + change)
  }

  #isRemembered(time: number): boolean {
    const slot = Math.floor(time / this.#slotMs)
    return slot > this.#slot - SLOTS && slot <= this.#slot
  }

  #sum(counts: readonly number[]): number {
    return counts.reduce((sum, count) => sum + count, 0)
  }
}
