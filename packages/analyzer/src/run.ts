import {
  type EncodingContext,
  encodeAnalysis,
  type Finding,
  isBeyond,
  type VerdictSettings,
  zScore,
} from '@tidemark/shared/analysis'
import type { Summary } from '@tidemark/shared/detection/detectors/summary'
import { type Entry, type FlatSamples, SAMPLE_STRIDE, unpackEntry } from '@tidemark/shared/entry'
import { compareEntryIds, type EntryId, formatReceipt } from '@tidemark/shared/receipt'
import type { Checkpoint, Commit, DeadEntry, KeyUpdate } from '@tidemark/shared/store/ports'
import { type EntryFindings, FINDING_STRIDE } from '@tidemark/shared/verdicts'
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
  /** Where the windows of its samples are, in the samples' order; NO_SLOT until that is known. */
  readonly slots: Int32Array
}

const NO_SLOT = -1

/**
 * Takes from the front of `entries`, none of which is at or before `from`, those that make one run: offsets follow one
 * another, and the samples are no more than `samplesMax` unless the first entry alone has more. The first entry's own offset
 * is not judged: whether anything stands before it only the store can tell.
 */
export function takeRun(entries: readonly Entry[], from: Checkpoint, samplesMax: number): Run {
  const ids: EntryId[] = []
  const readable: ReadableEntry[] = []
  const dead: DeadEntry[] = []
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
      readable.push({ id: entry.id, samples: unpacked.samples, count, slots })
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

/**
 * Finds the windows of a run's samples and tells the keys of those that are not in memory, each once. When these have been
 * loaded, it is asked again and tells none.
 */
export function missingKeys(run: Run, windows: Windows): string[] {
  const missing = new Set<string>()
  for (const { samples, slots } of run.readable) {
    for (let index = 0; index < slots.length; index++) {
      if (slots[index] !== NO_SLOT) continue
      const key = samples[index * SAMPLE_STRIDE] as string
      const slot = windows.use(key)
      if (slot === undefined) missing.add(key)
      else slots[index] = slot
    }
  }
  return [...missing]
}

/** What a run amounts to. `keys` holds views of the windows: to be committed before the next run touches them. */
export interface RunEffects {
  readonly keys: readonly KeyUpdate[]
  readonly anomalies: readonly string[]
  readonly verdicts: readonly EntryFindings[]
}

export interface AnalyseOptions {
  readonly partition: number
  readonly settings: VerdictSettings
  readonly analyzedAt: number
}

/** Analyses a run's samples in order, each against the window before it, and moves the windows on. All keys are in memory. */
export function analyseRun(run: Run, windows: Windows, options: AnalyseOptions): RunEffects {
  const findings: Float64Array[] = []
  const anomalies: string[] = []
  for (const entry of run.readable) findings.push(analyseEntry(entry, windows, { ...options, anomalies }))

  // The newest analysis of each key, found from the end: only that one is kept for readers, and encoding all would cost
  // ten times what analysing them does.
  const keys: KeyUpdate[] = []
  windows.beginUpdates()
  for (let e = run.readable.length - 1; e >= 0; e--) {
    const entry = run.readable[e] as ReadableEntry
    const context = encodingContext(entry, options)
    for (let index = entry.count - 1; index >= 0; index--) {
      const slot = entry.slots[index] as Slot
      if (!windows.isFirstUpdate(slot)) continue
      const analysis = encodeAnalysis(findingAt(entry, findings[e] as Float64Array, index), context)
      keys.push({ key: entry.samples[index * SAMPLE_STRIDE] as string, window: windows.update(slot), analysis })
    }
  }
  const { threshold, windowMin } = options.settings
  const verdicts = run.readable.map(({ id }, e) => {
    const { buffer } = findings[e] as Float64Array<ArrayBuffer>
    return { id, findings: new Uint8Array(buffer), threshold, windowMin, analyzedAt: options.analyzedAt }
  })
  return { keys, anomalies, verdicts }
}

/** Judges an entry's samples; gives the findings and adds the anomalies to `anomalies`. */
function analyseEntry(
  entry: ReadableEntry,
  windows: Windows,
  options: AnalyseOptions & { readonly anomalies: string[] },
): Float64Array<ArrayBuffer> {
  const { samples, slots, count } = entry
  const { threshold, windowMin } = options.settings
  const context = encodingContext(entry, options)
  const findings = new Float64Array(count * FINDING_STRIDE)
  const summary: Summary = { mean: 0, deviation: 0 }
  for (let index = 0; index < count; index++) {
    const value = samples[index * SAMPLE_STRIDE + 1] as number
    const slot = slots[index] as Slot
    const window = windows.size(slot)
    const at = index * FINDING_STRIDE
    if (window > 0) windows.summarize(slot, summary)
    windows.push(slot, value, samples[index * SAMPLE_STRIDE + 2] as number)
    findings[at] = window > 0 ? summary.mean : 0
    findings[at + 1] = window > 0 ? summary.deviation : 0
    findings[at + 2] = windows.count(slot)
    findings[at + 3] = window
    if (window >= windowMin && isBeyond(zScore(value, summary.mean, summary.deviation), threshold)) {
      options.anomalies.push(encodeAnalysis(findingAt(entry, findings, index), context))
    }
  }
  return findings
}

function encodingContext({ id }: ReadableEntry, { partition, settings, analyzedAt }: AnalyseOptions): EncodingContext {
  const { threshold, windowMin } = settings
  return { receipt: formatReceipt({ partition, id }), threshold, windowMin, analyzedAt }
}

function findingAt({ samples }: ReadableEntry, findings: Float64Array, index: number): Finding {
  const at = index * FINDING_STRIDE
  return {
    key: samples[index * SAMPLE_STRIDE] as string,
    value: samples[index * SAMPLE_STRIDE + 1] as number,
    timestamp: samples[index * SAMPLE_STRIDE + 2] as number,
    mean: findings[at] as number,
    deviation: findings[at + 1] as number,
    count: findings[at + 2] as number,
    window: findings[at + 3] as number,
  }
}
