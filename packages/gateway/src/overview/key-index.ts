import type { Severity } from '@tidemark/shared/detection/alerts/alert'
import { assembleAlert } from '@tidemark/shared/detection/alerts/record'
import { parseReceipt } from '@tidemark/shared/sample/receipt'
import type { Store } from '@tidemark/shared/store/ports/store'
import { parseAnalysis, type State } from '@tidemark/shared/verdict/analysis'

/** The index is at most this old, unless reading it takes long. */
const AGE_MS = 2000

/** The share of the time that may be spent on reading. */
const READING_SHARE = 0.1

/** An index that is not used for so long is dropped. */
const IDLE_MS = 60_000

/** Firing alerts of one partition that are looked at, the newest ones. */
const ALERTS_MAX = 1000

/** The weight of the newest measurement in a rate. */
const RATE_WEIGHT = 0.5

export interface KeyAlert {
  readonly id: string
  readonly severity: Severity
  readonly opened_at: number
}

/** What is known of a key by its newest analysis. */
export interface KeyRow {
  readonly key: string
  readonly partition: number
  readonly state: State
  readonly value: number
  readonly z: number | null
  readonly low: number | null
  readonly high: number | null
  readonly timestamp: number
  readonly analyzedAt: number
  /** From the arrival of the newest sample to its verdict. */
  readonly latencyMs: number
  readonly count: number
  /** Samples per second; null until it is measured. */
  readonly rate: number | null
  readonly alert: KeyAlert | null
}

export const KEY_SORTS = ['trouble', 'z', 'name', 'rate', 'last_seen'] as const
export type KeySort = (typeof KEY_SORTS)[number]

/** All keys at one time, in every order that is used. */
export class KeySnapshot {
  /** Unix milliseconds. */
  readonly at: number
  readonly rows: ReadonlyMap<string, KeyRow>
  readonly #sorted = new Map<KeySort, readonly KeyRow[]>()

  constructor(at: number, rows: ReadonlyMap<string, KeyRow>) {
    this.at = at
    this.rows = rows
  }

  sorted(by: KeySort): readonly KeyRow[] {
    let found = this.#sorted.get(by)
    if (found === undefined) {
      found = [...this.rows.values()].sort(ORDERS[by])
      this.#sorted.set(by, found)
    }
    return found
  }
}

type Order = (a: KeyRow, b: KeyRow) => number

/** Keys are distinct, so that no order depends on the one before. */
const byName: Order = (a, b) => (a.key < b.key ? -1 : 1)
const falling =
  (of: (row: KeyRow) => number): Order =>
  (a, b) =>
    of(b) - of(a) || byName(a, b)

const distance = ({ z }: KeyRow): number => (z === null ? -1 : Math.abs(z))

const ORDERS: Readonly<Record<KeySort, Order>> = {
  /** First the keys with a firing alert, then those whose newest sample is an anomaly. */
  trouble: falling(row => (row.alert === null ? 0 : 4e6) + (row.state === 'anomalous' ? 2e6 : 0) + distance(row)),
  z: falling(distance),
  name: byName,
  rate: falling(({ rate }) => rate ?? -1),
  last_seen: falling(({ analyzedAt }) => analyzedAt),
}

interface IndexOptions {
  readonly store: () => Store
  readonly now: () => number
  /** Called with the number of stored analyses that cannot be read. */
  readonly onCorrupt: (count: number) => void
}

/**
 * Knows the newest analysis of every key, for pages in any order. It is read from the store only
 * while clients request it, at a bounded cost: of 100,000 keys less often than of 1,000. While it
 * is read again, requests get what is known.
 */
export class KeyIndex {
  readonly #options: IndexOptions
  #snapshot: KeySnapshot | undefined
  #reading: Promise<KeySnapshot> | undefined
  #againAt = 0
  #idle: NodeJS.Timeout | undefined

  constructor(options: IndexOptions) {
    this.#options = options
  }

  async read(): Promise<KeySnapshot> {
    clearTimeout(this.#idle)
    this.#idle = setTimeout(() => {
      this.#snapshot = undefined
    }, IDLE_MS).unref()
    if (this.#reading === undefined && (this.#snapshot === undefined || performance.now() >= this.#againAt)) {
      this.#reading = this.#readAll().finally(() => {
        this.#reading = undefined
      })
      // Only those who wait for it need to know.
      this.#reading.catch(() => {})
    }
    const isOld = performance.now() > this.#againAt + AGE_MS
    if (this.#snapshot !== undefined && !isOld) return this.#snapshot
    return (await this.#reading) ?? this.read()
  }

  async #readAll(): Promise<KeySnapshot> {
    const begin = performance.now()
    const { store: current, now, onCorrupt } = this.#options
    const store = current()
    const before = this.#snapshot
    const at = now()
    const rows = new Map<string, KeyRow>()
    let corrupt = 0
    await Promise.all(
      Array.from({ length: store.partitions }, async (_, partition) => {
        const alerts = await firingAlerts(store, partition)
        let cursor = '0'
        do {
          const page = await store.gateway.scanAnalyses(partition, cursor)
          for (const { key, analysis } of page.analyses) {
            const row = toRow(analysis, partition, alerts.get(key) ?? null)
            if (row === undefined) corrupt++
            else rows.set(key, { ...row, rate: rateOf(row, at, before) })
          }
          cursor = page.next
        } while (cursor !== '0')
      }),
    )
    if (corrupt > 0) onCorrupt(corrupt)
    const tookMs = performance.now() - begin
    this.#againAt = performance.now() + Math.max(AGE_MS, tookMs / READING_SHARE)
    this.#snapshot = new KeySnapshot(at, rows)
    return this.#snapshot
  }
}

async function firingAlerts({ alerts }: Store, partition: number): Promise<Map<string, KeyAlert>> {
  const found = await alerts.list(partition, { state: 'firing', count: ALERTS_MAX })
  if (found.length === 0) return new Map()
  const parts = await alerts.read(
    partition,
    found.map(({ id }) => id),
  )
  return new Map(
    parts.flatMap(one => {
      if (one === null) return []
      const { key, id, severity, opened_at } = assembleAlert(one)
      return key === null ? [] : [[key, { id, severity, opened_at }] as const]
    }),
  )
}

function toRow(text: string, partition: number, alert: KeyAlert | null): KeyRow | undefined {
  const analysis = parseAnalysis(text)
  if (analysis === undefined) return undefined
  const { key, state, value, z, low, high, timestamp, count, id, analyzed_at: analyzedAt } = analysis
  const arrivedAt = Number(parseReceipt(id)?.id.split('-')[0] ?? analyzedAt)
  const latencyMs = Math.max(0, analyzedAt - arrivedAt)
  return { key, partition, state, value, z, low, high, timestamp, analyzedAt, latencyMs, count, rate: null, alert }
}

/** Counts the samples since the previous snapshot; smoothed, because few arrive in two seconds. */
function rateOf({ key, count }: KeyRow, at: number, before: KeySnapshot | undefined): number | null {
  const old = before?.rows.get(key)
  if (before === undefined || old === undefined || at <= before.at || count < old.count) return null
  const rate = (count - old.count) / ((at - before.at) / 1000)
  return old.rate === null ? rate : old.rate + RATE_WEIGHT * (rate - old.rate)
}
