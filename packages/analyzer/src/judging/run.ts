import { type Entry, type FlatSamples, unpackEntry } from '@tidemark/shared/sample/entry'
import { compareEntryIds, type EntryId } from '@tidemark/shared/sample/receipt'
import type { Checkpoint, Commit, DeadLetter } from '@tidemark/shared/store/ports/commit'
import { NO_SLOT } from './windows.ts'

/**
 * Consecutive entries without a gap, parsed: the input of one commit. `entries` includes dead
 * letters and deleted entries; `analysed` counts the samples of the readable ones.
 */
export interface Run extends Pick<Commit, 'from' | 'to' | 'entries' | 'witness' | 'analysed' | 'dead' | 'deadLetters'> {
  readonly readable: readonly ReadableEntry[]
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
 * Takes one run from the front of `entries`, which are after `from`: consecutive offsets, and at
 * most `samplesMax` samples unless the first entry alone has more. The first entry's offset is not
 * checked: only the store knows whether there is an entry before it.
 */
export function takeRun(entries: readonly Entry[], from: Checkpoint, samplesMax: number): Run {
  const ids: EntryId[] = []
  const readable: ReadableEntry[] = []
  const deadLetters: DeadLetter[] = []
  const traced: TracedEntry[] = []
  let offset = from.offset
  let witness: Commit['witness']
  let analysed = 0
  let dead = 0
  for (const entry of entries) {
    // Without an offset the gateway did not write it, so none of its samples was accepted.
    const count = entry.offset === undefined ? 0 : (entry.count ?? 0)
    const isFirst = ids.length === 0
    // An entry without an offset starts a run of its own, or a gap before it would go unnoticed.
    if (!isFirst && (analysed + dead + count > samplesMax || entry.offset !== offset)) break
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
      analysed += count
    } else {
      deadLetters.push({ id: entry.id, reason: unpacked.reason, samples: entry.samples ?? '' })
      dead += count
    }
  }
  const to = { id: ids.at(-1) ?? from.id, offset }
  return { from, to, entries: ids, witness, readable, deadLetters, analysed, dead, traced }
}

/** Returns a run of one entry that becomes a dead letter, whatever its content. */
export function deadLetterRun(entry: Entry, from: Checkpoint, reason: string): Run {
  const run = takeRun([{ ...entry, samples: undefined }], from, 1)
  return { ...run, deadLetters: run.deadLetters.map(one => ({ ...one, reason, samples: entry.samples ?? '' })) }
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
