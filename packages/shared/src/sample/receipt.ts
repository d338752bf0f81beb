/** The id that Redis gives a stream entry: milliseconds and a sequence number within them. */
export type EntryId = string

/** Before every entry. */
export const ENTRY_ID_ZERO: EntryId = '0-0'

/** What `POST /ingest` hands out for each touched partition; written `partition:entry-id`. */
export interface Receipt {
  readonly partition: number
  readonly id: EntryId
}

/** Stream ids are two unsigned 64-bit numbers; 16 digits are the year 318857 and still exact as float64. */
const RECEIPT = /^(\d{1,4}):(\d{1,16}-\d{1,16})$/

/** `3:1700000000000-0` */
export function formatReceipt({ partition, id }: Receipt): string {
  return `${partition}:${id}`
}

/** The receipt that `text` is, or undefined. */
export function parseReceipt(text: string): Receipt | undefined {
  const match = RECEIPT.exec(text)
  if (match?.[1] === undefined || match[2] === undefined) return undefined
  return { partition: Number(match[1]), id: match[2] }
}

/** Negative when `a` came before `b`. Ids compare as numbers: as strings `9-0` would follow `10-0`. */
export function compareEntryIds(a: EntryId, b: EntryId): number {
  const dashA = a.indexOf('-')
  const dashB = b.indexOf('-')
  const difference = Number(a.slice(0, dashA)) - Number(b.slice(0, dashB))
  return difference !== 0 ? difference : Number(a.slice(dashA + 1)) - Number(b.slice(dashB + 1))
}

/** The milliseconds of an entry id: Redis' clock when it was appended (later, if the stream's clock was ahead). */
export function entryTimeMs(id: EntryId): number {
  return Number(id.slice(0, id.indexOf('-')))
}
