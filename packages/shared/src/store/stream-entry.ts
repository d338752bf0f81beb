import { ENTRY_FIELDS, type Entry } from '../sample/entry.ts'
import type { EntryId } from '../sample/receipt.ts'

/** Reads an entry's flat list of fields and values; null when it is pending but was deleted. */
export function toEntry(id: EntryId, flat: readonly string[] | null): Entry {
  if (flat === null) return { id, samples: undefined, count: undefined, offset: undefined, isDeleted: true }
  let samples: string | undefined
  let count: number | undefined
  let offset: number | undefined
  let nonce: string | undefined
  let traces: string | undefined
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const value = flat[i + 1]
    if (flat[i] === ENTRY_FIELDS.samples) samples = value
    else if (flat[i] === ENTRY_FIELDS.count) count = toCount(value)
    else if (flat[i] === ENTRY_FIELDS.offset) offset = toCount(value)
    else if (flat[i] === ENTRY_FIELDS.nonce) nonce = value
    else if (flat[i] === ENTRY_FIELDS.traces) traces = value
  }
  const entry = nonce === undefined ? { id, samples, count, offset } : { id, samples, count, offset, nonce }
  return traces === undefined ? entry : { ...entry, traces }
}

const COUNT = /^\d{1,15}$/

function toCount(text: string | undefined): number | undefined {
  return text !== undefined && COUNT.test(text) ? Number(text) : undefined
}
