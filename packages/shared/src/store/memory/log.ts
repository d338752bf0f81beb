import { compareEntryIds, type EntryId } from '../../sample/receipt.ts'

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

/** Returns the entries after `id`, oldest first, at most `count`. */
export function logAfter<T>({ entries }: Log<T>, id: EntryId, count: number): (T & { readonly id: EntryId })[] {
  const start = indexAfter(entries, id)
  return entries.slice(start, start + count)
}

/** Makes an id as Redis does: of the clock's ms, or of the last id's until the clock is past it. */
export function idAfter(lastId: EntryId, now: number): EntryId {
  const [lastMs = 0, lastSequence = 0] = lastId.split('-').map(Number)
  const ms = Math.floor(now)
  return ms > lastMs ? `${ms}-0` : `${lastMs}-${lastSequence + 1}`
}

/** Returns the index of the first entry after `id`, by binary search: streams are ordered by id. */
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

/** Removes all but the last `max` items. */
export function keepNewest(items: unknown[], max: number): void {
  items.splice(0, Math.max(0, items.length - max))
}
