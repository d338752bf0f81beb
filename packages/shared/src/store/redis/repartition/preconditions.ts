import type { Redis } from 'ioredis'
import type { Keys } from '../../keys.ts'
import type { Client } from '../connection.ts'
import { isKnown } from './moves.ts'
import { PAGE } from './reading.ts'

/** The old and the new data are in Redis at the same time. */
const MEMORY_FACTOR = 2

/** Keys that a message names. */
const NAMED_MAX = 5

/** Why the number of partitions cannot be changed now, in a sentence with the remedy. */
export class RepartitionRefused extends Error {
  override readonly name = 'RepartitionRefused'
}

export async function requireStopped(client: Client, keys: Keys): Promise<void> {
  const now = Number((await client.time())[0]) * 1000
  const reports = Object.entries(await client.hgetall(keys.processes))
  const running = reports.filter(([, report]) => Number(/^\d+/.exec(report)?.[0] ?? 0) > now).map(([name]) => name)
  if (running.length > 0) {
    throw new RepartitionRefused(
      `processes run, or ended without a word a moment ago: ${running.slice(0, 5).join(', ')}. Stop all gateways and analyzers, and try again`,
    )
  }
}

export async function requireDrained(client: Client, keys: Keys, from: number): Promise<void> {
  for (let partition = 0; partition < from; partition++) {
    const at = keys.partition(partition)
    if ((await client.exists(at.lease)) > 0) {
      throw new RepartitionRefused(
        `an analyzer has the lease of partition ${partition}: stop all analyzers. The lease of one that was killed expires by itself (LEASE_TTL_MS)`,
      )
    }
    const accepted = Number((await client.get(at.accepted)) ?? 0)
    const [id, offset] = await client.hmget(at.checkpoint, 'id', 'offset')
    const rest = await client.xrange(at.samples, `(${id ?? '0-0'}`, '+', 'COUNT', 1)
    if (accepted !== Number(offset ?? 0) || rest.length > 0) {
      const backlog = accepted - Number(offset ?? 0)
      throw new RepartitionRefused(
        `partition ${partition} has a backlog (${backlog} samples): run the analyzers without gateways until GET /overview shows a backlog of 0, then stop them`,
      )
    }
  }
}

export async function requireMemory(client: Client): Promise<void> {
  for (const node of nodesOf(client)) {
    // Without the right to INFO the operator has to know.
    const info = await node.info('memory').catch(() => '')
    const of = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
    const [used, max] = [of('used_memory'), of('maxmemory')]
    if (max > 0 && used * MEMORY_FACTOR > max) {
      throw new RepartitionRefused(
        `Redis uses ${mebibytes(used)} of maxmemory ${mebibytes(max)}, and all data is in it twice for a while: raise maxmemory to ${mebibytes(used * MEMORY_FACTOR)} until it is done`,
      )
    }
  }
}

/**
 * Refuses keys of Redis that this version does not know. They may be of a newer version: only that
 * one knows whether they follow a key, an alert or the partition, and left behind they would be of
 * other keys than before, or of a partition that no process reads.
 */
export async function requireKnownKeys(client: Client, prefix: string): Promise<void> {
  const ofPartition = new RegExp(`^${RegExp.escape(prefix)}:\\{\\d+\\}:(.*)$`, 's')
  const unknown: string[] = []
  for (const node of nodesOf(client)) {
    let cursor = '0'
    do {
      const [next, found] = await node.scan(cursor, 'MATCH', `${prefix}:{*`, 'COUNT', PAGE)
      cursor = next
      for (const key of found) {
        const name = ofPartition.exec(key)?.[1]
        if (name !== undefined && !isKnown(name)) unknown.push(key)
      }
    } while (cursor !== '0')
  }
  if (unknown.length > 0) {
    const more = unknown.length > NAMED_MAX ? ` and ${unknown.length - NAMED_MAX} more` : ''
    throw new RepartitionRefused(
      `Redis has keys in partitions that this version does not know and cannot move: ${unknown.slice(0, NAMED_MAX).join(', ')}${more}. If a newer version of Tidemark wrote them, use that version for this command; if something else did, rename or delete them`,
    )
  }
}

function nodesOf(client: Client): Redis[] {
  return 'nodes' in client ? client.nodes('master') : [client]
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 ** 2)} MiB`
}
