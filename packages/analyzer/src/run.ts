import { isBeyond, type VerdictSettings, zScore } from '@tidemark/shared/analysis'
import { type Entry, type FlatSamples, SAMPLE_STRIDE, unpackEntry } from '@tidemark/shared/entry'
import { compareEntryIds, type EntryId } from '@tidemark/shared/receipt'
import type { Checkpoint, Commit, DeadEntry, KeyUpdate } from '@tidemark/shared/store/ports'
import { analysisAt, type EntryVerdicts, FINDING_STRIDE } from '@tidemark/shared/verdicts'
import type { Summary } from './summary.ts'
import type { Slot, Windows } from './windows.ts'

/** Entries that follow one another without a gap, parsed: what one commit covers. */
export interface Run {
  readonly from: Checkpoint
  readonly to: Checkpoint
  /** In order; some may be dead or deleted. */
  readonly entries: readonly EntryId[]
  /** The last entry that is not deleted. */
  readonly witness: Commit['witness']
  readonly readable: readonly ReadableEntry[]
  readonly dead: readonly DeadEntry[]
  /** Samples in the readable entries, and in the dead ones. */
  readonly sampleCount: number
  readonly deadSampleCount: number
}

export interface ReadableEntry {
  readonly id: EntryId
  /** As in the entry. */
  readonly text: string
  readonly samples: FlatSamples
  readonly count: number
}

/**
 * Takes from the front of `entries`, none of which is at or before `from`, those that make one run: offsets follow one
 * another, and the samples are no more than `samplesMax` unless the first entry alone has more. The first entry's own offset
 * is not judged: whether anything stands before it only the store can tell.
 */
export function takeRun(entries: readonly Entry[], from: Checkpoint, samplesMax: number): Run {
  const ids: EntryId[] = []
  const readable: ReadableEntry[] = []
  const dead: DeadEntry[] = []
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
    const unpacked = unpackEntry(entry)
    if (unpacked.kind === 'samples') {
      readable.push({ id: entry.id, text: entry.samples ?? '', samples: unpacked.samples, count })
      sampleCount += count
    } else {
      dead.push({ id: entry.id, reason: unpacked.reason, samples: entry.samples ?? '' })
      deadSampleCount += count
    }
  }
  const last = ids.at(-1) ?? from.id
  return { from, to: { id: last, offset }, entries: ids, witness, readable, dead, sampleCount, deadSampleCount }
}

/** A run of one entry that is not to be analysed, whatever stands in it. */
export function deadRun(entry: Entry, from: Checkpoint, reason: string): Run {
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

/** The keys of a run whose windows are not in memory, each once. */
export function missingKeys(run: Run, windows: Windows): string[] {
  const missing = new Set<string>()
  for (const { samples } of run.readable) {
    for (let i = 0; i < samples.length; i += SAMPLE_STRIDE) {
      const key = samples[i] as string
      if (!windows.has(key)) missing.add(key)
    }
  }
  return [...missing]
}

/** What a run amounts to. `keys` holds views of the windows: to be committed before the next run touches them. */
export interface RunEffects {
  readonly keys: readonly KeyUpdate[]
  readonly anomalies: readonly string[]
  readonly verdicts: readonly EntryVerdicts[]
}

export interface AnalyseOptions {
  readonly partition: number
  readonly settings: VerdictSettings
  readonly analyzedAt: number
}

/** Analyses a run's samples in order, each against the window before it, and moves the windows on. All keys are in memory. */
export function analyseRun(run: Run, windows: Windows, options: AnalyseOptions): RunEffects {
  const slots: Int32Array[] = []
  const verdicts: EntryVerdicts[] = []
  const anomalies: string[] = []
  for (const entry of run.readable) {
    const judged = analyseEntry(entry, windows, options)
    slots.push(judged.slots)
    verdicts.push(judged.verdicts)
    for (const index of judged.anomalies) anomalies.push(encodedAnalysis(entry, judged.verdicts, index, options))
  }

  // The newest analysis of each key, found from the end: only that one is kept for readers, and encoding all would cost
  // ten times what analysing them does.
  const keys: KeyUpdate[] = []
  const done = new Set<Slot>()
  for (let e = run.readable.length - 1; e >= 0; e--) {
    const entry = run.readable[e] as ReadableEntry
    const entrySlots = slots[e] as Int32Array
    for (let index = entry.count - 1; index >= 0; index--) {
      const slot = entrySlots[index] as Slot
      if (done.has(slot)) continue
      done.add(slot)
      const analysis = encodedAnalysis(entry, verdicts[e] as EntryVerdicts, index, options)
      keys.push({ key: entry.samples[index * SAMPLE_STRIDE] as string, window: windows.row(slot), analysis })
    }
  }
  return { keys, anomalies, verdicts }
}

interface JudgedEntry {
  readonly verdicts: EntryVerdicts
  /** Where the windows of its samples are, in the samples' order. */
  readonly slots: Int32Array
  /** Indices of the samples that are anomalies. */
  readonly anomalies: readonly number[]
}

function analyseEntry(entry: ReadableEntry, windows: Windows, { settings, analyzedAt }: AnalyseOptions): JudgedEntry {
  const { samples, count } = entry
  const { threshold, windowMin } = settings
  const findings = new Float64Array(count * FINDING_STRIDE)
  const slots = new Int32Array(count)
  const anomalies: number[] = []
  const summary: Summary = { mean: 0, deviation: 0 }
  for (let index = 0; index < count; index++) {
    const value = samples[index * SAMPLE_STRIDE + 1] as number
    const slot = windows.find(samples[index * SAMPLE_STRIDE] as string) as Slot
    const window = windows.size(slot)
    const at = index * FINDING_STRIDE
    if (window > 0) {
      windows.summarize(slot, summary)
      findings[at] = summary.mean
      findings[at + 1] = summary.deviation
      if (window >= windowMin && isBeyond(zScore(value, summary.mean, summary.deviation), threshold)) {
        anomalies.push(index)
      }
    }
    windows.push(slot, value, samples[index * SAMPLE_STRIDE + 2] as number)
    findings[at + 2] = windows.count(slot)
    findings[at + 3] = window
    slots[index] = slot
  }
  const bytes = new Uint8Array(findings.buffer)
  return {
    verdicts: { id: entry.id, samples: entry.text, findings: bytes, threshold, windowMin, analyzedAt },
    slots,
    anomalies,
  }
}

function encodedAnalysis(
  entry: ReadableEntry,
  verdicts: EntryVerdicts,
  index: number,
  options: AnalyseOptions,
): string {
  return JSON.stringify(analysisAt(verdicts, { partition: options.partition, samples: entry.samples, index }))
}
