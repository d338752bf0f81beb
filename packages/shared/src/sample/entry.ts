import type { EntryId } from './receipt.ts'
import { formatTraceparent, parseTraceparent, type TraceContext } from './trace-context.ts'

/**
 * The stream format. Only this file knows it, and packer.ts the items of `s`. An entry's fields:
 *
 *     s  the samples: a flat JSON array, three items each: ["edge-17/rps",420,1700000000000, ...];
 *        a timestamp with half a millisecond is the time of arrival, one with a quarter more is of
 *        a counter (arrival.ts)
 *     n  the number of samples
 *     o  the number of samples that the partition had accepted before this entry
 *     r  a random text
 *     t  the traceparents of its requests, separated by spaces; absent if there are none
 *
 * `o` numbers a partition's samples without gaps, so a reader can prove that it missed none. `r`
 * distinguishes entries with the same id: after a failover, Redis may assign ids again. The array
 * is flat because an array per sample takes 40 % longer to parse and 2 bytes more.
 */
export const ENTRY_FIELDS = { samples: 's', count: 'n', offset: 'o', nonce: 'r', traces: 't' } as const

export const SAMPLE_STRIDE = 3

/** An entry as it was read. Missing or garbled fields are undefined. */
export interface Entry {
  readonly id: EntryId
  readonly samples: string | undefined
  readonly count: number | undefined
  readonly offset: number | undefined
  readonly nonce?: string
  readonly traces?: string
  /** The entry was delivered but has been deleted from the stream. */
  readonly isDeleted?: boolean
}

/** The maximum number of traces per entry: it may hold samples of hundreds of requests. */
export const TRACES_MAX = 8

/** Adds a trace to an entry's. At the limit, a sampled one may replace an unsampled one. */
export function addTrace(traces: TraceContext[], trace: TraceContext): void {
  if (traces.length < TRACES_MAX) {
    traces.push(trace)
    return
  }
  const unsampled = trace.isSampled ? traces.findIndex(({ isSampled }) => !isSampled) : -1
  if (unsampled >= 0) traces[unsampled] = trace
}

/** Returns the field `t`, with sampled traces first. */
export function packTraces(traces: readonly TraceContext[]): string {
  const inOrder = [...traces.filter(({ isSampled }) => isSampled), ...traces.filter(({ isSampled }) => !isSampled)]
  return inOrder.map(formatTraceparent).join(' ')
}

/** Parses the field `t`. Ignores invalid traceparents, and those beyond the limit. */
export function unpackTraces(text: string): TraceContext[] {
  return text.split(' ', TRACES_MAX).flatMap(one => parseTraceparent(one) ?? [])
}

/** Returns ten random digits and letters: enough to distinguish entries with the same id. */
export function newNonce(): string {
  return Math.random().toString(36).slice(2, 12)
}

/** Three items per sample: key, value, and timestamp as it is stored (arrival.ts). */
export type FlatSamples = readonly (string | number)[]

export function packFlat(samples: FlatSamples): string {
  return JSON.stringify(samples)
}

/** Returns samples as one of the sub-batches that packSubBatches joins. */
export function packItems(samples: FlatSamples): string {
  return packFlat(samples).slice(1, -1)
}

/** Returns the field `s` of the sub-batches of several requests, packed by a SamplePacker. */
export function packSubBatches(packed: readonly string[]): string {
  return `[${packed.join()}]`
}

export type UnpackedEntry =
  | { readonly kind: 'samples'; readonly samples: FlatSamples }
  | { readonly kind: 'unreadable'; readonly reason: string }

/** Parses and checks an entry's samples. Never throws, whatever the stream holds. */
export function unpackEntry(entry: Entry): UnpackedEntry {
  const { samples, count, offset } = entry
  if (samples === undefined) return unreadable('it has no field "s"')
  if (count === undefined || offset === undefined) return unreadable('its fields "n" and "o" are not counts')
  const unpacked = unpackSamples(samples)
  if (unpacked.kind === 'samples' && unpacked.samples.length !== count * SAMPLE_STRIDE) {
    return unreadable(`its field "s" has ${unpacked.samples.length / SAMPLE_STRIDE} samples, but "n" is ${count}`)
  }
  return unpacked
}

export function unpackSamples(text: string): UnpackedEntry {
  let flat: unknown
  try {
    flat = JSON.parse(text)
  } catch {
    return unreadable('its field "s" is not JSON')
  }
  if (!Array.isArray(flat)) return unreadable('its field "s" is not a JSON array')
  if (flat.length % SAMPLE_STRIDE !== 0) {
    return unreadable(`its field "s" has ${flat.length} items, not ${SAMPLE_STRIDE} per sample`)
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
