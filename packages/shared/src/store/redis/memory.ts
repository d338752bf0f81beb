import { Cluster, type Redis } from 'ioredis'
import type { StoreMemory } from '../ports/gateway.ts'
import type { Client } from './connection.ts'

/** Reads the memory of Redis, or of the fullest connected primary; null where INFO is denied. */
export async function readMemory(client: Client): Promise<StoreMemory | null> {
  const nodes = client instanceof Cluster ? client.nodes('master').filter(({ status }) => status === 'ready') : [client]
  const found = await Promise.all(nodes.map(readNode))
  return found.reduce((a, b) => (fullness(b) > fullness(a) ? b : a), null)
}

async function readNode(node: Redis): Promise<StoreMemory | null> {
  try {
    const info = await node.info('memory')
    const field = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
    return { usedBytes: field('used_memory'), maxBytes: field('maxmemory') }
  } catch (error) {
    if (error instanceof Error && /^(NOPERM|ERR unknown)/.test(error.message)) return null
    throw error
  }
}

/** How full a node is; of nodes without a limit, how much it uses. */
function fullness(memory: StoreMemory | null): number {
  if (memory === null) return -1
  return memory.maxBytes > 0 ? memory.usedBytes / memory.maxBytes : memory.usedBytes / Number.MAX_SAFE_INTEGER
}
