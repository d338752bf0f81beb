import assert from 'node:assert/strict'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { EntryId } from '@tidemark/shared/sample/receipt'
import { GROUP, keysUnder } from '@tidemark/shared/store/keys'
import type { DeadLetter } from '@tidemark/shared/store/ports/commit'
import { toFields } from '@tidemark/shared/store/redis/replies'
import { Cluster, Redis } from 'ioredis'
import type { StoreProbe } from './store-contract/harness.ts'

/** Gives the contract access past the ports of the Redis store under `prefix`. */
export function redisProbe(client: Redis | Cluster, prefix: string): StoreProbe {
  const keys = keysUnder(prefix)
  const at = keys.partition
  const idsOf = async (key: string): Promise<EntryId[]> => (await client.xrange(key, '-', '+')).map(([id]) => id)

  return {
    async appendRaw(partition, fields) {
      const id = await client.xadd(at(partition).samples, '*', ...Object.entries(fields).flat())
      assert(id !== null)
      return id
    },
    async deleteEntry(partition, id) {
      await client.xdel(at(partition).samples, id)
    },
    async replaceEntry(partition, id, fields) {
      const { samples } = at(partition)
      const entries = await client.xrange(samples, '-', '+')
      await client.del(samples)
      for (const [other, flat] of entries) {
        await client.xadd(samples, other, ...(other === id ? Object.entries(fields).flat() : flat))
      }
      await client.xgroup('CREATE', samples, GROUP, entries.at(-1)?.[0] ?? '0')
    },
    async destroyGroup(partition) {
      await client.xgroup('DESTROY', at(partition).samples, GROUP)
    },
    streamIds: partition => idsOf(at(partition).samples),
    async pendingIds(partition) {
      const rows = await client.xpending(at(partition).samples, GROUP, '-', '+', 1_000_000)
      return (rows as [EntryId][]).map(([id]) => id)
    },
    verdictIds: partition => idsOf(at(partition).verdicts),
    async anomalies(partition) {
      const entries = await client.xrange(at(partition).anomalies, '-', '+')
      return entries.map(([, fields]) => toFields(fields).get('a') ?? '')
    },
    async deadLetters(partition) {
      const entries = await client.xrange(at(partition).deadLetters, '-', '+')
      return entries.map(([id, flat]): DeadLetter => {
        const fields = toFields(flat)
        return { id, reason: fields.get('reason') ?? '', samples: fields.get('s') ?? '' }
      })
    },
    // Redis' clock cannot be advanced.
    advanceTime: ms => pause(ms),
  }
}

/** Removes every key under `prefix`: tests share a Redis, and none flushes it. */
export async function removeKeys(client: Redis | Cluster, prefix: string, partitions: number): Promise<void> {
  const keys = keysUnder(prefix)
  const names = [
    keys.members,
    keys.meta,
    keys.processes,
    keys.rules,
    keys.ruleChanges,
    keys.auditLog,
    keys.auditResults,
  ]
  for (let partition = 0; partition < partitions; partition++) names.push(...Object.values(keys.partition(partition)))
  await Promise.all(names.map(name => client.unlink(name)))
}

/** Connects to a Redis or, with several addresses separated by commas, to a cluster. */
export function rawClient(url: string): Redis | Cluster {
  return url.includes(',') ? new Cluster(url.split(',')) : new Redis(url)
}
