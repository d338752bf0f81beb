import { Cluster, type Redis } from 'ioredis'
import type { DurabilityLevel } from '../ports/store.ts'
import type { Client } from './connection.ts'

/** What one Redis says about itself, as far as durability depends on it. */
export interface RedisFacts {
  /** For sentences: `Redis`, or a node of a cluster. */
  readonly name: string
  readonly evictionPolicy: string
  readonly isAppendOnly: boolean
  /** Replicas that are online. */
  readonly replicas: number
  /** Undefined when Redis denies CONFIG GET. */
  readonly config:
    | { readonly appendfsync: string; readonly skipsFsyncOnRewrite: boolean; readonly minReplicas: number }
    | undefined
}

/** Sentences for the operator. */
export interface Judgement {
  /** Settings that the level needs and Redis does not have. */
  readonly faults: readonly string[]
  /** What is missing now and may return by itself; every append detects whether it is there. */
  readonly outages: readonly string[]
  readonly warnings: readonly string[]
}

/** Judges whether a Redis provides `level`. docs/decisions/0011 says what each level survives. */
export function judgeDurability(level: DurabilityLevel, facts: RedisFacts): Judgement {
  const { name, evictionPolicy, isAppendOnly, replicas, config } = facts
  const faults: string[] = []
  const outages: string[] = []
  const warnings: string[] = []
  const other = ', or DURABILITY to a lower level'
  if (evictionPolicy !== 'noeviction') {
    faults.push(
      `${name} has maxmemory-policy ${evictionPolicy} and would evict accepted samples: set it to noeviction.`,
    )
  }
  if (level === 'memory') return { faults, outages, warnings }

  if (!isAppendOnly) {
    const sentence = `${name} has appendonly no and loses all data when it restarts: set it to yes`
    faults.push(`DURABILITY is ${level}, and ${sentence}${other}.`)
  }
  if (level === 'replicated' && replicas < 1) {
    outages.push(`DURABILITY is replicated, and ${name} has no replica that is online: connect one${other}.`)
  }
  if (config === undefined) {
    warnings.push(`${name} denies CONFIG GET, so its settings were not checked: ${UNCHECKED_SETTINGS[level]}.`)
    return { faults, outages, warnings }
  }
  if (isAppendOnly && level === 'disk' && config.appendfsync !== 'always') {
    faults.push(`DURABILITY is disk, and ${name} has appendfsync ${config.appendfsync}: set it to always${other}.`)
  }
  if (isAppendOnly && config.skipsFsyncOnRewrite) {
    const sentence = `${name} has no-appendfsync-on-rewrite yes and does not sync to disk during a rewrite: set it to no`
    if (level === 'disk') faults.push(`DURABILITY is disk, and ${sentence}${other}.`)
    else warnings.push(`${sentence}.`)
  }
  if (level === 'replicated' && config.minReplicas < 1) {
    faults.push(`DURABILITY is replicated, and ${name} has min-replicas-to-write 0: set it to at least 1${other}.`)
  }
  return { faults, outages, warnings }
}

const UNCHECKED_SETTINGS = {
  local: 'make sure that no-appendfsync-on-rewrite is no',
  disk: 'make sure that appendfsync is always and no-appendfsync-on-rewrite is no',
  replicated: 'make sure that min-replicas-to-write is at least 1',
}

/** The level that a deployment gets which requires none: the least of its Redis servers. */
export function providedLevel(all: readonly RedisFacts[]): DurabilityLevel {
  return all.every(({ isAppendOnly }) => isAppendOnly) ? 'local' : 'memory'
}

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
