import type { EntryId } from '@tidemark/shared/sample/receipt'
import { keys, type RedisClient } from './redis-client.ts'

/** The state of a partition in Redis at one moment. */
export interface PartitionState {
  readonly partition: number
  readonly checkpoint: EntryId
  readonly offset: number
  readonly accepted: number
  readonly analysed: number
  readonly dead: number
  /** Entries after the checkpoint, with the number of samples that each declares. */
  readonly unprocessed: ReadonlyMap<EntryId, number>
  readonly lastEntryId: EntryId
}

const READ = `#!lua flags=no-writes
local samples, checkpoint, accepted = KEYS[1], KEYS[2], KEYS[3]
local position = redis.call('HMGET', checkpoint, 'id', 'offset', 'analysed', 'dead')
local last = '0-0'
if redis.call('EXISTS', samples) == 1 then
  local info = redis.call('XINFO', 'STREAM', samples)
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
end
local unprocessed = {}
for _, entry in ipairs(redis.call('XRANGE', samples, '(' .. (position[1] or '0-0'), '+')) do
  local count = '0'
  for i = 1, #entry[2], 2 do if entry[2][i] == 'n' then count = entry[2][i + 1] end end
  unprocessed[#unprocessed + 1] = entry[1]
  unprocessed[#unprocessed + 1] = count
end
return { position[1] or '0-0', position[2] or '0', position[3] or '0', position[4] or '0', redis.call('GET', accepted) or '0', last, unprocessed }`

/** Reads the state of a partition atomically. */
export async function readPartitionState(redis: RedisClient, partition: number): Promise<PartitionState> {
  const at = keys.partition(partition)
  const reply = await redis.call('EVAL_RO', READ, '3', at.samples, at.checkpoint, at.accepted)
  const [checkpoint, offset, analysed, dead, accepted, lastEntryId, flat] = reply as [
    ...[string, string, string, string, string, string],
    string[],
  ]
  const unprocessed = new Map<EntryId, number>()
  for (let i = 0; i + 1 < flat.length; i += 2) unprocessed.set(flat[i] ?? '', Number(flat[i + 1]))
  return {
    partition,
    checkpoint,
    offset: Number(offset),
    accepted: Number(accepted),
    analysed: Number(analysed),
    dead: Number(dead),
    unprocessed,
    lastEntryId,
  }
}

export function readPartitionStates(redis: RedisClient, partitions: number): Promise<PartitionState[]> {
  return Promise.all(Array.from({ length: partitions }, (_, partition) => readPartitionState(redis, partition)))
}
