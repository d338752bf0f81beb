import { ENTRY_FIELDS, newNonce } from '../../sample/entry.ts'
import type { AppendBatch, AppendOutcome, ClaimOutcome, LimitReached, RequestClaim } from '../ports/gateway.ts'
import { type Data, type Partition, partitionAt } from './data.ts'
import { addEntry } from './stream.ts'

export function append(data: Data, { partition: number, samples, count, once, traces }: AppendBatch): AppendOutcome {
  const partition = partitionAt(data, number)
  const name = `batch:${once?.request}`
  if (once !== undefined) {
    const id = recall(data, partition, name)
    if (id !== undefined) {
      remember(data, partition, { name, value: id, ttlMs: once.ttlMs })
      return { kind: 'known', id }
    }
    const limit = limitReached(data, partition)
    if (limit !== undefined) return limit
  }
  const backlog = partition.accepted - partition.checkpoint.offset
  if (backlog >= data.backlogMax) return { kind: 'backlog-full', backlog }
  const id = addEntry(data, partition, {
    [ENTRY_FIELDS.samples]: samples,
    [ENTRY_FIELDS.count]: String(count),
    [ENTRY_FIELDS.offset]: String(partition.accepted),
    [ENTRY_FIELDS.nonce]: newNonce(),
    ...(traces === undefined ? {} : { [ENTRY_FIELDS.traces]: traces }),
  })
  partition.accepted += count
  if (once !== undefined) remember(data, partition, { name, value: id, ttlMs: once.ttlMs })
  return { kind: 'stored', id }
}

export function claim(data: Data, { partition: number, name, content, ttlMs }: RequestClaim): ClaimOutcome {
  const partition = partitionAt(data, number)
  const known = recall(data, partition, `name:${name}`)
  if (known !== undefined && known !== content) return { kind: 'conflict' }
  const limit = known === undefined ? limitReached(data, partition) : undefined
  if (limit !== undefined) return limit
  remember(data, partition, { name: `name:${name}`, value: content, ttlMs })
  return { kind: known === undefined ? 'new' : 'repeat' }
}

function recall({ now }: Data, { requests }: Partition, name: string): string | undefined {
  const known = requests.get(name)
  return known !== undefined && known.expiresAt > now() ? known.value : undefined
}

function remember(
  { now }: Data,
  { requests }: Partition,
  { name, value, ttlMs }: { name: string; value: string; ttlMs: number },
): void {
  requests.set(name, { value, expiresAt: now() + ttlMs })
}

/** Removes expired requests; returns an outcome when that leaves no room for one more. */
function limitReached({ now, requestsMax }: Data, { requests }: Partition): LimitReached | undefined {
  if (requests.size < requestsMax) return undefined
  let roomInMs = Number.POSITIVE_INFINITY
  for (const [name, { expiresAt }] of requests) {
    if (expiresAt <= now()) requests.delete(name)
    else roomInMs = Math.min(roomInMs, expiresAt - now())
  }
  return requests.size < requestsMax ? undefined : { kind: 'limit-reached', roomInMs }
}
