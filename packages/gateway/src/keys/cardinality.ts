import type { Store } from '@tidemark/shared/store/ports/store'

/** Keys that one request looks at in all partitions; with more, the counts are estimates. */
const SCAN_KEYS = 200_000
const LOOK_KEYS = 1000

interface Wanted {
  /** Only keys that begin with it. */
  readonly prefix: string
  /** How many parts of a key, which slashes divide, make a prefix. */
  readonly depth: number
  readonly limit: number
}

/**
 * Counts keys by their prefixes. Redis scans a hash in an order that has nothing to do with its
 * keys, so the keys that were looked at are a fair sample of the rest.
 */
export async function countPrefixes({ keys: store, partitions }: Store, { prefix, depth, limit }: Wanted) {
  const counts = new Map<string, number>()
  let matching = 0
  let isEstimated = false
  for (let partition = 0; partition < partitions; partition++) {
    const found = new Set<string>()
    let scanned = 0
    let size = 0
    let cursor = '0'
    do {
      const page = await store.scan(partition, { list: 'registry', cursor, count: LOOK_KEYS, prefix })
      for (const key of page.keys) found.add(key)
      scanned += page.scanned
      size = page.size
      cursor = page.next
    } while (cursor !== '0' && scanned < SCAN_KEYS / partitions)
    const share = cursor === '0' ? 1 : Math.max(1, size / scanned)
    isEstimated ||= share > 1
    matching += found.size * share
    for (const key of found) {
      const name = prefixOf(key, depth)
      counts.set(name, (counts.get(name) ?? 0) + share)
    }
  }
  const top = [...counts].toSorted(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1)).slice(0, limit)
  return {
    matching: Math.round(matching),
    isEstimated,
    prefixes: top.map(([name, count]) => ({ prefix: name, keys: Math.round(count) })),
  }
}

/** Returns the first parts of a key with their slashes; a key with fewer parts as it is. */
export function prefixOf(key: string, depth: number): string {
  let end = -1
  for (let part = 0; part < depth; part++) {
    const slash = key.indexOf('/', end + 1)
    if (slash < 0) return key
    end = slash
  }
  return key.slice(0, end + 1)
}

/** Reads how many keys were registered in each hour, oldest first. */
export async function readBirths({ keys: store, partitions }: Store) {
  const sums = new Map<number, number>()
  for (let partition = 0; partition < partitions; partition++) {
    for (const [hour, count] of await store.births(partition)) sums.set(hour, (sums.get(hour) ?? 0) + count)
  }
  return [...sums].toSorted(([a], [b]) => a - b).map(([hour, keys]) => ({ hour, keys }))
}

/** Reads how many keys each API key has, most first; null stands for none. */
export async function readOwners({ keys: store, partitions }: Store, limit: number) {
  const sums = new Map<string, number>()
  for (let partition = 0; partition < partitions; partition++) {
    for (const [owner, count] of await store.owners(partition)) sums.set(owner, (sums.get(owner) ?? 0) + count)
  }
  const most = [...sums].toSorted(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1)).slice(0, limit)
  return most.map(([owner, keys]) => ({ id: owner === '' ? null : owner, keys }))
}
