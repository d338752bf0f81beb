import type { EntryId } from './receipt.ts'
import { formatTraceparent, parseTraceparent, type TraceContext } from './trace-context.ts'

/**
 * The stream format; this file, and sample-packer.ts for the items of `s`, are the only places that know it. An entry has four fields, or five:
 *
 *     s  the samples: a flat JSON array, three items a sample: ["edge-17/rps",420,1700000000000, ...]
 *     n  how many samples
 *     o  how many samples the partition had accepted before this entry
 *     r  a random text
 *     t  traceparents of requests whose samples are in it, separated by spaces; absent where none had one
 *
 * `o` numbers the samples of a partition without a gap, so that whoever reads can prove that it missed nothing.
 * `r` tells an entry from another one that came to stand under the same id: after a fail-over that lost the newest entries
 * a stream may give their ids out again.
 * The array is flat because an array per sample costs 40 % more to parse and 2 bytes more to keep.
 */
export const ENTRY_FIELDS = { samples: 's', count: 'n', offset: 'o', nonce: 'r', traces: 't' } as const

/** Values of one sample in the flat array. */
export const SAMPLE_STRIDE = 3

/** An entry as it was read. What a field lacks or garbles is undefined: the analyzer decides what that means. */
export interface Entry {
  readonly id: EntryId
  readonly samples: string | undefined
  readonly count: number | undefined
  readonly offset: number | undefined
  readonly nonce?: string
  readonly traces?: string
  /** Redis knows that the entry was delivered, but somebody deleted it from the stream. */
  readonly isDeleted?: boolean
}

/** Traces that an entry carries at most: with the shares of hundreds of requests in it, more would be a burden to all of them. */
export const TRACES_MAX = 8

/**
 * Adds a request's trace to those that an entry will carry. When there are enough already, one that somebody records takes the
 * place of one that nobody does.
 */
export function addTrace(traces: TraceContext[], trace: TraceContext): void {
  if (traces.length < TRACES_MAX) {
    traces.push(trace)
    return
  }
  const unsampled = trace.isSampled ? traces.findIndex(({ isSampled }) => !isSampled) : -1
  if (unsampled >= 0) traces[unsampled] = trace
}

/** The field `t`, what is recorded first. */
export function packTraces(traces: readonly TraceContext[]): string {
  const inOrder = [...traces.filter(({ isSampled }) => isSampled), ...traces.filter(({ isSampled }) => !isSampled)]
  return inOrder.map(formatTraceparent).join(' ')
}

/** Reads the field `t`. What is not a traceparent counts for nothing, and neither does what is beyond the limit. */
export function unpackTraces(text: string): TraceContext[] {
  return text.split(' ', TRACES_MAX).flatMap(one => parseTraceparent(one) ?? [])
}

/** Ten random digits and letters: equal ones under equal ids do not happen. */
export function newNonce(): string {
  return Math.random().toString(36).slice(2, 12)
}

/** Three items a sample: key, value, timestamp in Unix milliseconds. */
export type FlatSamples = readonly (string | number)[]

/** The field `s` for samples that are flat already. */
export function packFlat(samples: FlatSamples): string {
  return JSON.stringify(samples)
}

/** The field `s` for samples that a SamplePacker has packed: what several requests sent, in order. */
export function packShares(shares: readonly string[]): string {
  return `[${shares.join()}]`
}

export type UnpackedEntry =
  | { readonly kind: 'samples'; readonly samples: FlatSamples }
  | { readonly kind: 'unreadable'; readonly reason: string }

/** Reads and checks an entry's samples. Anything may stand in a stream; nothing that stands there may stop its reader. */
export function unpackEntry(entry: Entry): UnpackedEntry {
  const { samples, count, offset } = entry
  if (samples === undefined) return unreadable('it has no field "s"')
  if (count === undefined || offset === undefined) return unreadable('its fields "n" and "o" are not counts')
  const unpacked = unpackSamples(samples)
  if (unpacked.kind === 'samples' && unpacked.samples.length !== count * SAMPLE_STRIDE) {
    return unreadable(`its field "s" has ${unpacked.samples.length / SAMPLE_STRIDE} samples, and "n" says ${count}`)
  }
  return unpacked
}

/** Reads and checks the text of an entry's samples by itself. */
export function unpackSamples(text: string): UnpackedEntry {
  let flat: unknown
  try {
    flat = JSON.parse(text)
  } catch {
    return unreadable('its field "s" is not JSON')
  }
  if (!Array.isArray(flat)) return unreadable('its field "s" is not a JSON array')
  if (flat.length % SAMPLE_STRIDE !== 0) {
    return unreadable(`its field "s" has ${flat.length} items, which is not ${SAMPLE_STRIDE} a sample`)
  }
  for (let i = 0; i < flat.length; i += SAMPLE_STRIDE) {
    const isSample =
      typeof flat[i] === 'string' && flat[i] !== '' && Number.isFinite(flat[i + 1]) && Number.isFinite(flat[i + 2])
    if (!isSample) return unreadable(`sample ${i / SAMPLE_STRIDE} is not a key, a value and a timestamp`)
  }
  return { kind: 'samples', samples: flat }
}

function unreadable(reason: string): UnpackedEntry {
  return { kind: 'unreadable', reason }
}
