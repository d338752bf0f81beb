import {
  BIRTHS_KEPT_MS,
  DELETION_KEPT_MS,
  DELETIONS_MAX,
  type Deletion,
  KEY_LISTS,
  type KeySelection,
  type KeyState,
  type KeyStore,
} from '../ports/keys.ts'
import { eachInOneWrite, inOneWrite } from './connection.ts'
import { isOutOfMemory, withStoreErrors } from './errors.ts'
import { toCounts } from './replies.ts'
import type { StoreContext } from './scripts.ts'

/** Keys of one call of a script: Redis serves no one else meanwhile. */
const KEYS_PER_CALL = 1000

/** By the reply of look-up-keys.lua. */
const STATES: readonly KeyState[] = ['new', 'stored', 'registered']

/** A pending request as request-deletion.lua stores it: the newest entry, then what to delete. */
const REQUEST = /^(\d+-\d+) (.*)$/s

export function createKeyStore({ client, keys }: StoreContext, partitions: number): KeyStore {
  const numbers = Array.from({ length: partitions }, (_, number) => number)

  return withStoreErrors<KeyStore>({
    async lookUp(wanted) {
      const states: KeyState[] = []
      await eachInOneWrite(client, inCalls(wanted), async ({ partition, places }) => {
        const at = keys.partition(partition)
        const names = places.map(place => (wanted[place] as { key: string }).key)
        const reply = (await client.lookUpKeys(at.keys, at.windows, ...names)) as number[]
        for (const [i, place] of places.entries()) states[place] = STATES[reply[i] ?? 0] as KeyState
      })
      return states
    },

    async register(wanted) {
      try {
        await eachInOneWrite(client, inCalls(wanted), ({ partition, places }) => {
          const at = keys.partition(partition)
          const pairs = places.flatMap(place => {
            const { key, owner } = wanted[place] as { key: string; owner: string }
            return [key, owner]
          })
          return client.registerKeys(at.keys, at.keyOwners, at.keyBirths, BIRTHS_KEPT_MS, ...pairs)
        })
        return 'registered'
      } catch (error) {
        if (isOutOfMemory(error)) return 'no-memory'
        throw error
      }
    },

    async counts(owners) {
      const counted = await eachInOneWrite(client, numbers, async number => {
        const at = keys.partition(number)
        const [registered, evicted, owned] = await Promise.all([
          client.hlen(at.keys),
          client.hget(at.checkpoint, 'evicted'),
          owners.length === 0 ? [] : client.hmget(at.keyOwners, ...owners),
        ])
        return { keys: registered, evicted: Number(evicted), owned: owned.map(Number) }
      })
      return {
        partitions: counted.map(({ keys, evicted }) => ({ keys, evicted })),
        owners: owners.map((_, i) => counted.reduce((sum, { owned }) => sum + (owned[i] || 0), 0)),
      }
    },

    owners: async partition => toCounts(await client.hgetall(keys.partition(partition).keyOwners)),
    async births(partition) {
      const found = await client.hgetall(keys.partition(partition).keyBirths)
      return new Map(Object.entries(found).map(([hour, count]) => [Number(hour), Number(count)]))
    },

    async scan(partition, { list, cursor, count, prefix = '', idleSince }) {
      const at = keys.partition(partition)
      const which = KEY_LISTS.indexOf(list) + 1
      const args = [which, cursor, count, prefix, idleSince ?? '']
      const reply = await client.scanKeys(at.keys, at.lastAnalysis, ...args)
      const [next, scanned, size, ...found] = reply as [string, number, number, ...string[]]
      return { keys: found, scanned, size, next }
    },

    async requestDeletion(partition, id, wanted) {
      const { keyDeletions, samples } = keys.partition(partition)
      const reply = await client.requestDeletion(keyDeletions, samples, id, JSON.stringify(wanted), DELETIONS_MAX)
      return reply === 1 ? 'requested' : 'limit-reached'
    },
    async deletions(partition) {
      const found = await client.hgetall(keys.partition(partition).keyDeletions)
      const pending = Object.entries(found).flatMap(([name, value]) => toDeletion(name, value) ?? [])
      return pending.toSorted((a, b) => (a.id < b.id ? -1 : 1))
    },
    async finishDeletion({ partition, token }, id) {
      const { lease, keyDeletions } = keys.partition(partition)
      return (await client.finishDeletion(lease, keyDeletions, token, id, DELETION_KEPT_MS)) === 1
    },
    async deletionProgress(partition, id) {
      const [deleted, done] = await inOneWrite(client, () =>
        client.hmget(keys.partition(partition).keyDeletions, `n:${id}`, `d:${id}`),
      )
      return { deleted: Number(deleted) || 0, isDone: done != null }
    },
  })
}

/** Divides items by partition into calls; `places` are indexes of the items. */
function inCalls(items: readonly { readonly partition: number }[]) {
  const calls: { partition: number; places: number[] }[] = []
  const open = new Map<number, number[]>()
  for (const [place, { partition }] of items.entries()) {
    let places = open.get(partition)
    if (places === undefined || places.length === KEYS_PER_CALL) {
      places = []
      open.set(partition, places)
      calls.push({ partition, places })
    }
    places.push(place)
  }
  return calls
}

/** Undefined for a field that is no pending request, or one that Tidemark did not write. */
function toDeletion(name: string, value: string): Deletion | undefined {
  const [, after, json] = REQUEST.exec(value) ?? []
  if (!name.startsWith('r:') || after === undefined || json === undefined) return undefined
  try {
    return { id: name.slice(2), after, wanted: JSON.parse(json) as KeySelection }
  } catch {
    return undefined
  }
}
