import { type Entry, type FlatSamples, unpackEntry } from '@tidemark/shared/sample/entry'
import { compareEntryIds, type EntryId } from '@tidemark/shared/sample/receipt'
import type { Checkpoint, Commit, DeadLetter } from '@tidemark/shared/store/ports/store'
import { NO_SLOT } from './windows.ts'

/** Entries that follow one another without a gap, parsed: what one commit covers. */
export interface Run {
  readonly from: Checkpoint
  readonly to: Checkpoint
  /** In order; some may be dead or deleted. */
  readonly entries: readonly EntryId[]
  /** The last entry that is not deleted. */
  readonly witness: Commit['witness']
  readonly readable: readonly ReadableEntry[]
  readonly dead: readonly DeadLetter[]
  /** Samples in the readable entries, and in the dead ones. */
  readonly sampleCount: number
  readonly deadSampleCount: number
  /** The entries that carry traces: of most runs none. */
  readonly traced: readonly TracedEntry[]
}

export interface TracedEntry {
  readonly id: EntryId
  readonly count: number
  /** As the entry has them. */
  readonly traces: string
}

export interface ReadableEntry {
  readonly id: EntryId
  readonly samples: FlatSamples
  readonly count: number
  /** Where what is known of its samples' keys stands, in the samples' order; NO_SLOT until that is known. */
  readonly slots: Int32Array
  /** The same for the rules that are tried out on them; NO_SLOT where there is none. */
  shadows: Int32Array | null
}

/**
 * Takes from the front of `entries`, none of which is at or before `from`, those that make one run: offsets follow one
 * another, and the samples are no more than `samplesMax` unless the first entry alone has more. The first entry's own offset
 * is not judged: whether anything stands before it only the store can tell.
 */
export function takeRun(entries: readonly Entry[], from: Checkpoint, samplesMax: number): Run {
  const ids: EntryId[] = []
  const readable: ReadableEntry[] = []
  const dead: DeadLetter[] = []
  const traced: TracedEntry[] = []
  let offset = from.offset
  let witness: Commit['witness']
  let sampleCount = 0
  let deadSampleCount = 0
  for (const entry of entries) {
    const count = countOf(entry)
    const isFirst = ids.length === 0
    if (!isFirst && sampleCount + deadSampleCount + count > samplesMax) break
    // One without an offset begins a run of its own, or what is missing before it would go unseen.
    if (!isFirst && entry.offset !== offset) break
    offset = entry.offset ?? offset
    ids.push(entry.id)
    offset += count
    if (entry.isDeleted === true) continue
    witness = { id: entry.id, nonce: entry.nonce ?? '' }
    if (entry.traces !== undefined) traced.push({ id: entry.id, count, traces: entry.traces })
    const unpacked = unpackEntry(entry)
    if (unpacked.kind === 'samples') {
      const slots = new Int32Array(count).fill(NO_SLOT)
      readable.push({ id: entry.id, samples: unpacked.samples, count, slots, shadows: null })
      sampleCount += count
    } else {
      dead.push({ id: entry.id, reason: unpacked.reason, samples: entry.samples ?? '' })
      deadSampleCount += count
    }
  }
  const last = ids.at(-1) ?? from.id
  return { from, to: { id: last, offset }, entries: ids, witness, readable, dead, sampleCount, deadSampleCount, traced }
}

/** A run of one entry that is not to be analysed, whatever stands in it. */
export function deadLetterRun(entry: Entry, from: Checkpoint, reason: string): Run {
  const run = takeRun([{ ...entry, samples: undefined }], from, 1)
  return { ...run, dead: run.dead.map(dead => ({ ...dead, reason, samples: entry.samples ?? '' })) }
}

/** Samples that were counted as accepted with an entry: none, when it was not the gateway that wrote it. */
function countOf(entry: Entry): number {
  return entry.offset === undefined ? 0 : (entry.count ?? 0)
}

/** Entries after the checkpoint, each once, in order. */
export function entriesAfter(checkpoint: EntryId, entries: readonly Entry[]): Entry[] {
  let last = checkpoint
  return entries.filter(({ id }) => {
    if (compareEntryIds(id, last) <= 0) return false
    last = id
    return true
  })
}
