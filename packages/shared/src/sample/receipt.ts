/** The id of a stream entry, assigned by Redis: milliseconds and a sequence number. */
export type EntryId = string

export const ENTRY_ID_ZERO: EntryId = '0-0'

/** What `POST /ingest` returns for each partition of a request, written `partition:entry-id`. */
export interface Receipt {
  readonly partition: number
  readonly id: EntryId
}

/** Two unsigned 64-bit numbers; 16 digits reach the year 318857 and are exact as float64. */
const RECEIPT = /^(\d{1,4}):(\d{1,16}-\d{1,16})$/

export function formatReceipt({ partition, id }: Receipt): string {
  return `${partition}:${id}`
}

export function parseReceipt(text: string): Receipt | undefined {
  const [, partition, id] = RECEIPT.exec(text) ?? []
  return id === undefined ? undefined : { partition: Number(partition), id }
}

/** Compares ids as numbers, the older one first. As strings, `9-0` would follow `10-0`. */
export function compareEntryIds(a: EntryId, b: EntryId): number {
  const dashA = a.indexOf('-')
  const dashB = b.indexOf('-')
  const difference = Number(a.slice(0, dashA)) - Number(b.slice(0, dashB))
  return difference !== 0 ? difference : Number(a.slice(dashA + 1)) - Number(b.slice(dashB + 1))
}

/** Orders entries of several partitions: falling id, then falling partition. */
export function newestFirst(a: Receipt, b: Receipt): number {
  return compareEntryIds(b.id, a.id) || b.partition - a.partition
}

/** Ids less far ahead of the clock can be due to the imprecision of its measurement. */
export const IDS_AHEAD_MIN_MS = 5000

/**
 * Returns when an entry arrived, given the store's clock afterwards, in Unix milliseconds. That is
 * in its id, unless the clock once was ahead: from then on Redis counts on from the highest id.
 */
export function arrivalMs(id: EntryId, now: number): number {
  const ms = entryTimeMs(id)
  return ms > now + IDS_AHEAD_MIN_MS ? now : ms
}

/** Returns an id's milliseconds: Redis' clock at the append, or the stream's if that is ahead. */
export function entryTimeMs(id: EntryId): number {
  return Number(id.slice(0, id.indexOf('-')))
}
