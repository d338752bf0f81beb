import { Cluster, type Redis } from 'ioredis'
import type { Client } from './connection.ts'
import type { RedisFacts } from './durability.ts'

/** Reads the facts of Redis, or of each connected primary. Rejects when none responds. */
export async function readFacts(client: Client): Promise<RedisFacts[]> {
  if (!(client instanceof Cluster)) return [await readNode(client, 'Redis')]
  const nodes = client.nodes('master').filter(({ status }) => status === 'ready')
  const found = await Promise.allSettled(
    nodes.map(node => readNode(node, `Redis at ${node.options.host}:${node.options.port}`)),
  )
  const facts = found.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
  const failure = found.find(result => result.status === 'rejected')
  if (facts.length === 0 && failure !== undefined) throw failure.reason
  return facts
}

async function readNode(node: Redis, name: string): Promise<RedisFacts> {
  const info = await node.info()
  const field = (key: string): string => new RegExp(`^${key}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
  return {
    name,
    evictionPolicy: field('maxmemory_policy'),
    isAppendOnly: field('aof_enabled') === '1',
    replicas: info.match(/^slave\d+:.*state=online/gm)?.length ?? 0,
    config: await readSettings(node),
  }
}

async function readSettings(node: Redis): Promise<RedisFacts['config']> {
  let flat: string[]
  try {
    const wanted = ['appendfsync', 'no-appendfsync-on-rewrite', 'min-replicas-to-write']
    flat = (await node.call('CONFIG', 'GET', ...wanted)) as string[]
  } catch (error) {
    // NOPERM by an ACL; a hosted Redis may not know the command at all.
    if (error instanceof Error && /^(NOPERM|ERR unknown)/.test(error.message)) return undefined
    throw error
  }
  const value = (key: string): string => flat[flat.indexOf(key) + 1] ?? ''
  return {
    appendfsync: value('appendfsync'),
    skipsFsyncOnRewrite: value('no-appendfsync-on-rewrite') === 'yes',
    minReplicas: Number(value('min-replicas-to-write')),
  }
}
