import { compareEntryIds, ENTRY_ID_ZERO, type EntryId } from '../../sample/receipt.ts'

/** A stream. Its ids are made as Redis makes them, and entries are found by id. */
export class Log<T> {
  #lastId = ENTRY_ID_ZERO
  /** Oldest first. */
  readonly entries: (T & { readonly id: EntryId })[] = []
  /** Entries dropped to stay within a bound. */
  trimmed = 0

  add(entry: T, now: number, max = Number.POSITIVE_INFINITY): EntryId {
    this.#lastId = idAfter(this.#lastId, now)
    this.entries.push({ ...entry, id: this.#lastId })
    this.trimmed += Math.max(0, this.entries.length - max)
    keepNewest(this.entries, max)
    return this.#lastId
  }

  /** Returns the entries after `id`, oldest first, at most `count`. */
  after(id: EntryId, count: number): (T & { readonly id: EntryId })[] {
    const start = indexAfter(this.entries, id)
    return this.entries.slice(start, start + count)
  }

  /** Returns the entries up to `upTo`, which is included, newest first, at most `count`. */
  newest({ upTo, count }: { readonly upTo?: EntryId | undefined; readonly count: number }) {
    const end = upTo === undefined ? this.entries.length : indexAfter(this.entries, upTo)
    return this.entries.slice(Math.max(0, end - count), end).reverse()
  }

  find(id: EntryId): (T & { readonly id: EntryId }) | undefined {
    const entry = this.entries[indexAfter(this.entries, id) - 1]
    return entry?.id === id ? entry : undefined
  }
}

/** Makes an id of the clock's milliseconds, or of the last id's until the clock is past it. */
function idAfter(lastId: EntryId, now: number): EntryId {
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
