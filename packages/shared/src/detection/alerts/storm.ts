/** When alerts of single keys become one alert of the whole fleet. */
export interface StormPolicy {
  /** A storm is more than this share of all keys, from 0 to 1, */
  readonly share: number
  /** and at least this many keys, */
  readonly keysMin: number
  /** that opened an alert within this time. */
  readonly withinMs: number
}

/** A storm begins, grows by keys, or is over. */
export interface StormEvent {
  readonly kind: 'storm' | 'storm_grows' | 'storm_over'
  readonly time: number
  readonly openedAt: number
  /** Its first keys, in the order of their alerts. */
  readonly keys: readonly string[]
  readonly keyCount: number
  readonly keysTotal: number
  /** Whether it is over because it lasted as long as a storm may, not because few keys fire. */
  readonly isExpired?: true
}

/** Keys that a storm lists; further ones are only counted. */
export const LISTED_MAX = 1000

/**
 * A storm is over after this many times `withinMs`: what still fires is no longer one event, and
 * its keys are notified one by one.
 */
export const LASTS_MAX = 30

/** `withinMs` is divided into this many slots: the precision to which it is observed. */
const SLOTS = 60

export interface StormState {
  /** Of the policy by which the slots were counted. */
  readonly withinMs: number
  /** The number of the newest slot: time / slot length. */
  readonly slot: number
  /** By slot number % SLOTS: keys whose latest alert opened in it; how many of those still fire. */
  readonly opened: readonly number[]
  readonly firing: readonly number[]
  /** The keys with the newest alerts, oldest first. */
  readonly newest: readonly { readonly key: string; readonly time: number }[]
  readonly storm: CurrentStorm | null
}

interface CurrentStorm extends Pick<StormEvent, 'openedAt' | 'keys' | 'keyCount'> {
  /** Alerts that opened from this time to `until` belong to it. */
  readonly from: number
  /** Unset in a state that was saved before storms were bounded. */
  readonly until?: number | undefined
  /** How many of them still fire. */
  readonly firing: number
}

const EMPTY = Array<number>(SLOTS).fill(0)
const NEW_STATE: StormState = { withinMs: 0, slot: 0, opened: EMPTY, firing: EMPTY, newest: [], storm: null }

/**
 * Detects storms among the alerts of all keys. Alerts belong to a storm if they opened from
 * `withinMs` before it began to `withinMs` after the last moment at which as many keys as a storm
 * needs had opened one: a later alert has a cause of its own. A storm is over when no more of its
 * alerts fire than half the number that began it, and after `LASTS_MAX` times `withinMs`. It keeps
 * counts per slot and at most `LISTED_MAX` keys, however many keys there are. `openedBefore`, which
 * each opening carries, prevents that a key is counted twice.
 */
export class StormWatch {
  readonly #policy: StormPolicy
  readonly #slotMs: number
  readonly #opened: number[]
  readonly #firing: number[]
  #slot: number
  #newest: { readonly key: string; readonly time: number }[]
  #storm: CurrentStorm | null

  constructor(policy: StormPolicy, state: StormState = NEW_STATE) {
    this.#policy = policy
    this.#slotMs = policy.withinMs / SLOTS
    // Counts by slots of another length are useless. A storm in progress is not.
    const usable = state.withinMs === policy.withinMs ? state : NEW_STATE
    this.#opened = [...usable.opened]
    this.#firing = [...usable.firing]
    this.#slot = usable.slot
    this.#newest = [...usable.newest]
    this.#storm = state.storm
  }

  toJSON(): StormState {
    const lists = { opened: [...this.#opened], firing: [...this.#firing], newest: [...this.#newest] }
    return { withinMs: this.#policy.withinMs, slot: this.#slot, ...lists, storm: this.#storm }
  }

  get isStorm(): boolean {
    return this.#storm !== null
  }

  /** Whether an alert that opened at this time belongs to the storm in progress. */
  covers(openedAt: number): boolean {
    return this.#storm !== null && isCoveredBy(this.#storm, openedAt)
  }

  /** Counts an alert that opened; `openedBefore` is when the key's previous alert did. */
  opened(
    { key, time, openedBefore }: { key: string; time: number; openedBefore: number },
    keysTotal: number,
  ): StormEvent | undefined {
    this.#advance(time)
    this.#add(this.#opened, openedBefore, -1)
    this.#add(this.#opened, time, 1)
    this.#add(this.#firing, time, 1)
    const isMany = this.#sum(this.#opened) > this.#threshold(keysTotal)
    const storm = this.#storm
    if (storm === null || !this.covers(time)) {
      if (this.#isRecent(openedBefore)) this.#newest = this.#newest.filter(known => known.key !== key)
      this.#newest.push({ key, time })
      if (this.#newest.length > LISTED_MAX) this.#newest.shift()
      if (!isMany) return undefined
      return storm === null ? this.#begin(time, keysTotal) : this.#resume(storm, time, keysTotal)
    }
    // A key whose previous alert is part of the same storm is already counted.
    const isNew = !this.covers(openedBefore)
    const keys = isNew && storm.keys.length < LISTED_MAX ? [...storm.keys, key] : storm.keys
    const until = isMany ? this.#untilAfter(storm, time) : storm.until
    this.#storm = { ...storm, until, firing: storm.firing + 1, keys, keyCount: storm.keyCount + (isNew ? 1 : 0) }
    return isNew ? this.#event('storm_grows', time, keysTotal) : undefined
  }

  /** Counts the end of an alert that opened at `openedAt`. */
  resolved({ time, openedAt }: { time: number; openedAt: number }, keysTotal: number): StormEvent | undefined {
    this.#advance(time)
    this.#add(this.#firing, openedAt, -1)
    const storm = this.#storm
    if (storm === null || !this.covers(openedAt)) return undefined
    this.#storm = { ...storm, firing: Math.max(0, storm.firing - 1) }
    return this.#endIfOver(time, keysTotal)
  }

  /** Limits the storm to `count`, all firing alerts: with missed ends it would never be over. */
  limitFiring({ time, count }: { time: number; count: number }, keysTotal: number): StormEvent | undefined {
    if (this.#storm === null || this.#storm.firing <= count) return undefined
    this.#storm = { ...this.#storm, firing: count }
    return this.#endIfOver(time, keysTotal)
  }

  /** Ends a storm that has lasted too long at `now`. */
  expire(now: number, keysTotal: number): StormEvent | undefined {
    if (this.#storm === null || now < this.#storm.openedAt + this.#lastsMs) return undefined
    return { ...this.#end(now, keysTotal), isExpired: true }
  }

  #endIfOver(time: number, keysTotal: number): StormEvent | undefined {
    if (this.#storm === null || this.#storm.firing > this.#threshold(keysTotal) / 2) return undefined
    return this.#end(time, keysTotal)
  }

  #end(time: number, keysTotal: number): StormEvent {
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
    const until = time + this.#policy.withinMs
    this.#storm = { openedAt: time, from, until, firing: this.#sum(this.#firing), keys: listed, keyCount }
    this.#newest = []
    return this.#event('storm', time, keysTotal)
  }

  /** Adds the keys that opened an alert after the storm no longer grew, now that they are many. */
  #resume(storm: CurrentStorm, time: number, keysTotal: number): StormEvent {
    const added = this.#newest.filter(known => !isCoveredBy(storm, known.time))
    const first = (this.#slot - SLOTS + 1) * this.#slotMs
    const from = Math.max(first, (storm.until ?? 0) + this.#slotMs)
    let firing = storm.firing
    for (let at = from; at <= time; at += this.#slotMs)
      firing += this.#firing[Math.floor(at / this.#slotMs) % SLOTS] ?? 0
    const keys = [...storm.keys, ...added.map(({ key }) => key)].slice(0, LISTED_MAX)
    const until = this.#untilAfter(storm, time)
    this.#storm = { ...storm, until, firing, keys, keyCount: storm.keyCount + added.length }
    this.#newest = []
    return this.#event('storm_grows', time, keysTotal)
  }

  #untilAfter(storm: CurrentStorm, time: number): number {
    const until = Math.max(storm.until ?? 0, time + this.#policy.withinMs)
    return Math.min(until, storm.openedAt + this.#lastsMs)
  }

  get #lastsMs(): number {
    return LASTS_MAX * this.#policy.withinMs
  }

  #event(kind: StormEvent['kind'], time: number, keysTotal: number): StormEvent {
    const { openedAt = time, keys = [], keyCount = 0 } = this.#storm ?? {}
    // Keys may have come since all were counted.
    return { kind, time, openedAt, keys, keyCount, keysTotal: Math.max(keysTotal, keyCount) }
  }

  /** A storm is more than this many keys. */
  #threshold(keysTotal: number): number {
    return Math.max(this.#policy.keysMin - 1, this.#policy.share * keysTotal)
  }

  /** Clears old slots. Times of several partitions may arrive slightly out of order. */
  #advance(time: number): void {
    const slot = Math.max(this.#slot, Math.floor(time / this.#slotMs))
    for (let old = Math.max(this.#slot + 1, slot - SLOTS + 1); old <= slot; old++) {
      this.#opened[old % SLOTS] = 0
      this.#firing[old % SLOTS] = 0
    }
    this.#slot = slot
  }

  #add(counts: number[], time: number, change: number): void {
    if (!this.#isRecent(time)) return
    const place = Math.floor(time / this.#slotMs) % SLOTS
    counts[place] = Math.max(0, (counts[place] ?? 0) + change)
  }

  #isRecent(time: number): boolean {
    const slot = Math.floor(time / this.#slotMs)
    return slot > this.#slot - SLOTS && slot <= this.#slot
  }

  #sum(counts: readonly number[]): number {
    return counts.reduce((sum, count) => sum + count, 0)
  }
}

/** Whether an alert that opened at this time belongs to a storm. */
export function isCoveredBy({ from, until }: Pick<CurrentStorm, 'from' | 'until'>, openedAt: number): boolean {
  return openedAt >= from && openedAt <= (until ?? Number.POSITIVE_INFINITY)
}
