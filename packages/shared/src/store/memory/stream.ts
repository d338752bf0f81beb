import { ENTRY_FIELDS, type Entry } from '../../sample/entry.ts'
import { compareEntryIds, type EntryId } from '../../sample/receipt.ts'
import { type Data, keepNewest, type Partition } from './data.ts'

export interface StreamEntry {
  readonly id: EntryId
  readonly fields: ReadonlyMap<string, string>
}

/** A stream that is only read by id. */
export interface Log<T> {
  lastId: EntryId
  /** Oldest first. */
  readonly entries: (T & { readonly id: EntryId })[]
}

export function addToLog<T>(log: Log<T>, entry: T, { max, now }: { max: number; now: number }): void {
  log.lastId = idAfter(log.lastId, now)
  log.entries.push({ ...entry, id: log.lastId })
  keepNewest(log.entries, max)
}

/** The entries after `id`, oldest first, at most `count`. */
export function logAfter<T>({ entries }: Log<T>, id: EntryId, count: number): (T & { readonly id: EntryId })[] {
  const start = indexAfter(entries, id)
  return entries.slice(start, start + count)
}

export function addEntry(data: Data, partition: Partition, fields: Readonly<Record<string, string>>): EntryId {
  const id = idAfter(partition.lastId, data.now())
  partition.lastId = id
  partition.stream.push({ id, fields: new Map(Object.entries(fields)) })
  for (const wake of data.readers) wake()
  return id
}

/** As Redis makes ids: the clock's milliseconds, or the last id's while the clock is not past them. */
function idAfter(lastId: EntryId, now: number): EntryId {
  const [lastMs = 0, lastSequence = 0] = lastId.split('-').map(Number)
  const ms = Math.floor(now)
  return ms > lastMs ? `${ms}-0` : `${lastMs}-${lastSequence + 1}`
}

/** The place of the first entry after `id`: streams are in order of id, so by halves. */
export function indexAfter(stream: readonly { readonly id: EntryId }[], id: EntryId): number {
  let low = 0
  let high = stream.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const entry = stream[middle]
    if (entry !== undefined && compareEntryIds(entry.id, id) <= 0) low = middle + 1
    else high = middle
  }
  return low
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
