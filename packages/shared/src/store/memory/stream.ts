import { ENTRY_FIELDS, type Entry } from '../../sample/entry.ts'
import type { EntryId } from '../../sample/receipt.ts'
import type { Data, Partition } from './data.ts'
import { idAfter, type StreamEntry } from './log.ts'

export function addEntry(data: Data, partition: Partition, fields: Readonly<Record<string, string>>): EntryId {
  const id = idAfter(partition.lastId, data.now())
  partition.lastId = id
  partition.stream.push({ id, fields: new Map(Object.entries(fields)) })
  for (const wake of data.readers) wake()
  return id
}

export function toEntry({ id, fields }: StreamEntry): Entry {
  const nonce = fields.get(ENTRY_FIELDS.nonce)
  const traces = fields.get(ENTRY_FIELDS.traces)
  return {
    id,
    samples: fields.get(ENTRY_FIELDS.samples),
    count: toCount(fields.get(ENTRY_FIELDS.count)),
    offset: toCount(fields.get(ENTRY_FIELDS.offset)),
    ...(nonce === undefined ? {} : { nonce }),
    ...(traces === undefined ? {} : { traces }),
  }
}

function toCount(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}
