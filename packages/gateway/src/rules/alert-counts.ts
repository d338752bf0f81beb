import {
  type AlertCount,
  addCounts,
  type MarkedCount,
  ruleIn,
  sumRecent,
} from '@tidemark/shared/detection/alerts/alert-counts'
import type { Store } from '@tidemark/shared/store/ports/store'
import { prefixOf } from '../keys/cardinality.ts'

/** Keys with alerts that one request reads. With more, the counts are of some keys only. */
const KEYS_MAX = 200_000
const KEYS_AT_ONCE = 1000

export interface AlertCounts {
  /** By rule ('' for the default policy) or by key prefix. */
  readonly groups: ReadonlyMap<string, MarkedCount>
  readonly isPartial: boolean
}

/** Counts the alerts of the last 30 days by rule; with a prefix, those of its keys. */
export async function countByRule(store: Store, prefix: string, now: number): Promise<AlertCounts> {
  if (prefix !== '') return countKeys(store, prefix, counts => Map.groupBy(counts, ({ name }) => ruleIn(name)), now)
  const { partitions, alerts } = store
  const groups = new Map<string, MarkedCount>()
  const counted = await alerts.ruleAlertCounts(Array.from({ length: partitions }, (_, partition) => partition))
  for (const [rule, counts] of counted.flatMap(one => [...one])) add(groups, rule, counts, now)
  return { groups, isPartial: false }
}

/** The same by the first parts of keys, as `GET /keys/cardinality` counts keys. */
export function countByPrefix(
  store: Store,
  { prefix, depth }: { readonly prefix: string; readonly depth: number },
  now: number,
): Promise<AlertCounts> {
  return countKeys(store, prefix, (counts, key) => new Map([[prefixOf(key, depth), counts]]), now)
}

async function countKeys(
  { partitions, alerts }: Store,
  prefix: string,
  groupsOf: (counts: readonly AlertCount[], key: string) => ReadonlyMap<string, readonly AlertCount[]>,
  now: number,
): Promise<AlertCounts> {
  const groups = new Map<string, MarkedCount>()
  let isPartial = false
  for (let partition = 0; partition < partitions; partition++) {
    const found = new Map<string, readonly AlertCount[]>()
    let cursor = '0'
    let scanned = 0
    do {
      const page = await alerts.keyAlertCounts(partition, { cursor, count: KEYS_AT_ONCE })
      for (const [key, counts] of page.keys) if (key.startsWith(prefix)) found.set(key, counts)
      scanned += page.keys.length
      cursor = page.next
    } while (cursor !== '0' && scanned < KEYS_MAX / partitions)
    isPartial ||= cursor !== '0'
    for (const [key, all] of found) for (const [name, counts] of groupsOf(all, key)) add(groups, name, counts, now)
  }
  return { groups, isPartial }
}

function add(groups: Map<string, MarkedCount>, name: string, counts: readonly AlertCount[], now: number): void {
  const sum = sumRecent(counts, now)
  if (sum.opened === 0) return
  const before = groups.get(name)
  groups.set(name, before === undefined ? sum : addCounts(before, sum))
}

/** Alerts in a response: how many, and what operators made of them. */
export function markedView(count: MarkedCount) {
  const marked = count.useful + count.noise
  return { ...count, useful_share: marked === 0 ? null : count.useful / marked }
}
