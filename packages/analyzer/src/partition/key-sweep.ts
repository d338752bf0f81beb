import { KEY_LISTS, type KeyStore } from '@tidemark/shared/store/ports/keys'

/** Each key is looked at once in this share of the TTL, and in these bounds. */
const ROUND_SHARE = 1 / 10
const ROUND_MS = { min: 1000, max: 3_600_000 } as const

/** Keys of one look, which takes Redis about a millisecond, and looks of one step. */
const LOOK_KEYS = 500
const LOOKS_MAX = 20

interface SweepPosition {
  readonly list: number
  readonly cursor: string
  /** Keys to look at; a fraction of one, or a negative number, is carried on. */
  readonly due: number
}

interface KeySweepOptions {
  readonly store: Pick<KeyStore, 'scan'>
  readonly partition: number
  /** 0: no key is ever idle. */
  readonly idleTtlMs: number
}

/** Looks at all keys of a partition again and again, a few at a time, for those that are idle. */
export class KeySweep {
  readonly #options: KeySweepOptions
  readonly #roundMs: number
  #steppedAt: number | undefined
  #size = 1
  #at: SweepPosition = { list: 0, cursor: '0', due: 0 }
  #before = this.#at

  constructor(options: KeySweepOptions) {
    this.#options = options
    this.#roundMs = Math.min(ROUND_MS.max, Math.max(ROUND_MS.min, options.idleTtlMs * ROUND_SHARE))
  }

  /**
   * Looks at as many keys as the time since the last step requires, and returns those idle at
   * `asOf` (Unix ms). `now` is of a monotonic clock.
   */
  async step(now: number, asOf: number): Promise<string[]> {
    const { store, partition, idleTtlMs } = this.#options
    if (idleTtlMs === 0) return []
    // Half of a round goes to each list.
    const due = this.#at.due + (this.#size * (now - (this.#steppedAt ?? now)) * KEY_LISTS.length) / this.#roundMs
    this.#steppedAt = now
    this.#at = this.#before = { ...this.#at, due }
    const idle = new Set<string>()
    for (let looks = 0; this.#at.due >= 1 && looks < LOOKS_MAX && idle.size < LOOK_KEYS; looks++) {
      const { list, cursor, due } = this.#at
      const scan = { list: KEY_LISTS[list] ?? 'registry', cursor, count: LOOK_KEYS, idleSince: asOf - idleTtlMs }
      const { keys, scanned, size, next } = await store.scan(partition, scan)
      for (const key of keys) idle.add(key)
      this.#size = Math.max(1, size)
      const nextList = next === '0' ? (list + 1) % KEY_LISTS.length : list
      this.#at = { list: nextList, cursor: next, due: due - Math.max(1, scanned) }
    }
    return [...idle]
  }

  /** Makes the next step begin where the last one did: its keys could not be evicted. */
  repeat(): void {
    this.#at = this.#before
  }
}
