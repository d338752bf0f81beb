import { type Entry, type FlatSamples, unpackEntry } from '@tidemark/shared/sample/entry'
import { compareEntryIds, type EntryId } from '@tidemark/shared/sample/receipt'
import type { Checkpoint, Commit, DeadLetter } from '@tidemark/shared/store/ports/commit'
import { NO_SLOT } from './windows.ts'

/** Consecutive entries without a gap, parsed: the input of one commit. */
export interface Run {
  readonly from: Checkpoint
  readonly to: Checkpoint
  /** In order, including dead letters and deleted entries. */
  readonly entries: readonly EntryId[]
  /** The last entry that is not deleted. */
  readonly witness: Commit['witness']
  readonly readable: readonly ReadableEntry[]
  readonly dead: readonly DeadLetter[]
  /** Samples in the readable entries, and in the dead letters. */
  readonly sampleCount: number
  readonly deadSampleCount: number
  /** The entries that carry traces; in most runs there are none. */
  readonly traced: readonly TracedEntry[]
}

export interface TracedEntry {
  readonly id: EntryId
  readonly count: number
  /** In the format of the entry. */
  readonly traces: string
}

export interface ReadableEntry {
  readonly id: EntryId
  readonly samples: FlatSamples
  readonly count: number
  /** The slot of each sample's key; NO_SLOT until it is found. */
  readonly slots: Int32Array
  /** The slot of each sample's shadow window; NO_SLOT where the key has no shadow rule. */
  shadows: Int32Array | null
}

/**
 * Takes one run from the front of `entries`, none of which is at or before `from`: entries with
 * consecutive offsets, and no more than `samplesMax` samples unless the first entry alone has more.
 * The offset of the first entry is not checked: only the store knows whether there is an entry
 * before it.
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
    // An entry without an offset starts a run of its own, or a gap before it would go unnoticed.
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

/** Returns a run of one entry that becomes a dead letter, whatever its content. */
export function deadLetterRun(entry: Entry, from: Checkpoint, reason: string): Run {
  const run = takeRun([{ ...entry, samples: undefined }], from, 1)
  return { ...run, dead: run.dead.map(dead => ({ ...dead, reason, samples: entry.samples ?? '' })) }
}

/** Returns the samples accepted with an entry; 0 if the gateway did not write it. */
function countOf(entry: Entry): number {
  return entry.offset === undefined ? 0 : (entry.count ?? 0)
}

/** Returns the entries after the checkpoint, each once, in order. */
export function entriesAfter(checkpoint: EntryId, entries: readonly Entry[]): Entry[] {
  let last = checkpoint
  return entries.filter(({ id }) => {
    if (compareEntryIds(id, last) <= 0) return false
    last = id
    return true
  })
}
