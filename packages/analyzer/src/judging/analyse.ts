import type { Judge, Judged } from '@tidemark/shared/detection/judge'
import { TIMER } from '@tidemark/shared/detection/key-row'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { DEFAULT_POLICY, NO_POLICY, type RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { SAMPLE_STRIDE } from '@tidemark/shared/sample/entry'
import { entryTimeMs, formatReceipt } from '@tidemark/shared/sample/receipt'
import type { KeyUpdate } from '@tidemark/shared/store/ports/commit'
import type { Finding, RuleFinding, VerdictSettings } from '@tidemark/shared/verdict/analysis'
import { type EncodingContext, encodeAnalysis } from '@tidemark/shared/verdict/encoding'
import {
  type EntryJudgements,
  FINDING_STRIDE,
  JUDGEMENT_STRIDE,
  marksOf,
  readMarks,
} from '@tidemark/shared/verdict/kept-verdicts'
import { Effects } from './effects.ts'
import { judgesOf } from './judges.ts'
import type { ReadableEntry, Run } from './run.ts'
import { NO_SLOT, SHADOW, type Slot, type Windows } from './windows.ts'

/**
 * Finds what is known of a run's keys and brings it under the rules; tells which keys are not in memory, each once. When these
 * have been loaded it is asked again, until it tells none.
 */
export function missingKeys(run: Run, windows: Windows, rules: RuleSet): string[] {
  const missing = new Set<string>()
  for (const entry of run.readable) {
    const { samples, slots } = entry
    for (let index = 0; index < slots.length; index++) {
      let slot = slots[index] as Slot
      if (slot === NO_SLOT) {
        const key = samples[index * SAMPLE_STRIDE] as string
        const found = windows.use(key)
        if (found === undefined) {
          missing.add(key)
          continue
        }
        slots[index] = slot = found
      }
      windows.policyOf(slot, rules)
      if (rules.hasShadows) findShadow(entry, index, windows, rules, missing)
    }
  }
  return [...missing]
}

function findShadow(entry: ReadableEntry, index: number, windows: Windows, rules: RuleSet, missing: Set<string>): void {
  const number = windows.shadowOf(entry.slots[index] as Slot)
  const policy = rules.policies[number]
  if (number === NO_POLICY || policy === undefined) return
  const key = SHADOW + (entry.samples[index * SAMPLE_STRIDE] as string)
  const slot = windows.use(key)
  if (slot === undefined) {
    missing.add(key)
    return
  }
  windows.adopt(slot, policy)
  entry.shadows ??= new Int32Array(entry.count).fill(NO_SLOT)
  entry.shadows[index] = slot
}

export interface AnalyseOptions {
  readonly partition: number
  readonly settings: VerdictSettings
  readonly rules: RuleSet
  readonly analyzedAt: number
  /** How long receivers are not told of an alert yet, so that a storm may be found first. */
  readonly alertWaitMs: number
}

/** Judges a run's samples in order, each by what is known of its key, and moves that on. All keys are in memory. */
export function analyseRun(run: Run, windows: Windows, options: AnalyseOptions): Effects {
  const effects = new Effects(options)
  const judged = run.readable.map(entry => new EntryAnalysis(entry, windows, options).judge(effects))
  const { threshold, windowMin } = options.settings
  for (const { entry, findings, judgements } of judged) {
    const rulesVersion = options.rules.version
    const { analyzedAt } = options
    effects.verdicts.push({
      id: entry.id,
      findings: bytesOf(findings),
      threshold,
      windowMin,
      analyzedAt,
      rulesVersion,
      judged: judgements,
    })
  }
  collectUpdates(judged, windows, effects)
  return effects
}

/**
 * The newest analysis of each key, found from the end: only that one is kept for readers, and encoding all would cost ten times
 * what judging them does. A sample that was refused has none, so the one before it counts.
 */
function collectUpdates(entries: readonly EntryAnalysis[], windows: Windows, effects: Effects): void {
  /** Keys of which no sample that was analysed has been met yet. */
  const unanalysed = new Map<Slot, number>()
  windows.beginUpdates()
  for (const analysis of entries.toReversed()) {
    const { count, slots, shadows, samples } = analysis.entry
    for (let index = count - 1; index >= 0; index--) {
      const slot = slots[index] as Slot
      const shadow = shadows?.[index] ?? NO_SLOT
      if (shadow !== NO_SLOT && windows.isFirstUpdate(shadow)) {
        const key = SHADOW + (samples[index * SAMPLE_STRIDE] as string)
        effects.keys.push({ key, window: windows.update(shadow), analysis: null })
      }
      if (windows.isFirstUpdate(slot)) {
        const encoded = analysis.encode(index)
        if (encoded === null) unanalysed.set(slot, effects.keys.length)
        effects.keys.push({
          key: samples[index * SAMPLE_STRIDE] as string,
          window: windows.update(slot),
          analysis: encoded,
        })
      } else if (unanalysed.size > 0 && unanalysed.has(slot)) {
        const encoded = analysis.encode(index)
        if (encoded === null) continue
        const at = unanalysed.get(slot) as number
        effects.keys[at] = { ...(effects.keys[at] as KeyUpdate), analysis: encoded }
        unanalysed.delete(slot)
      }
    }
  }
}

/** The samples of one entry, judged. */
class EntryAnalysis {
  readonly entry: ReadableEntry
  /** FINDING_STRIDE float64s a sample. */
  readonly findings: Float64Array<ArrayBuffer>
  readonly #windows: Windows
  readonly #options: AnalyseOptions
  readonly #context: EncodingContext
  /** Judgements of samples that the default policy alone does not explain, JUDGEMENT_STRIDE numbers each. */
  readonly #judgements: number[] = []
  /** Where a sample's judgement begins, and 1 more; 0 for none. Made for the first one. */
  #judgementOf: Int32Array | null = null
  /** Numbers of the policies that judged, in the order of their places in `EntryJudgements.policies`. */
  readonly #policies: number[] = []

  constructor(entry: ReadableEntry, windows: Windows, options: AnalyseOptions) {
    const { partition, settings, analyzedAt } = options
    this.entry = entry
    this.findings = new Float64Array(entry.count * FINDING_STRIDE)
    this.#windows = windows
    this.#options = options
    const receipt = formatReceipt({ partition, id: entry.id })
    this.#context = { receipt, threshold: settings.threshold, windowMin: settings.windowMin, analyzedAt }
  }

  get judgements(): EntryJudgements | null {
    if (this.#judgements.length === 0) return null
    const { policies } = this.#options.rules
    const named = this.#policies.map(number => [policies[number]?.rule ?? null, policies[number]?.detector])
    return { judgements: bytesOf(Float64Array.from(this.#judgements)), policies: JSON.stringify(named) }
  }

  /** Judges all samples, in order. */
  judge(effects: Effects): this {
    const { samples, slots, count, id, shadows } = this.entry
    const { rules } = this.#options
    const windows = this.#windows
    const judges = judgesOf(rules)
    const time = entryTimeMs(id)
    for (let index = 0; index < count; index++) {
      const value = samples[index * SAMPLE_STRIDE + 1] as number
      const timestamp = samples[index * SAMPLE_STRIDE + 2] as number
      const slot = slots[index] as Slot
      const number = windows.policyOf(slot, rules)
      const judge = judges[number] as Judge
      const row = windows.row(slot)
      const judged = judge.step(row, value, timestamp, time)
      const at = index * FINDING_STRIDE
      this.findings[at] = judged.mean
      this.findings[at + 1] = judged.deviation
      this.findings[at + 2] = judged.count
      this.findings[at + 3] = judged.window
      const isPlain = number === DEFAULT_POLICY && judged.order === 'in_order'
      if (!isPlain) this.#noteJudged(index, number, judge, judged, effects)
      if (judged.isFlagged) effects.anomalies.push(this.encode(index) as string)
      const hasEvents = judged.alerts.length > 0 || judged.silences.length > 0 || judged.isShift
      if (hasEvents) effects.noteSample(this.#keyAt(index), judge.policy, judged, { value, time })
      if (!judged.isAnalysed || judged.isShift) windows.needsRow(slot)
      if (hasEvents || row.shape.hasSilence) {
        const due = judge.nextTimer(row)
        if (due !== undefined) effects.due(this.#keyAt(index), due)
      }
      const shadow = shadows?.[index] ?? NO_SLOT
      if (shadow !== NO_SLOT) this.#tryOut(index, shadow, judges[windows.shadowOf(slot)] as Judge, effects)
    }
    return this
  }

  /** The analysis of a sample as JSON; null when it was refused. */
  encode(index: number): string | null {
    const judged = this.#judgedAt(index)
    if (judged?.isRefused === true) return null
    return encodeAnalysis(this.#findingAt(index, judged), this.#context)
  }

  /** Keeps what the default policy does not explain, and counts it. */
  #noteJudged(index: number, number: number, judge: Judge, judged: Judged, effects: Effects): void {
    let place = this.#policies.indexOf(number)
    if (place < 0) place = this.#policies.push(number) - 1
    this.#judgementOf ??= new Int32Array(this.entry.count)
    this.#judgementOf[index] = this.#judgements.length + 1
    const { order, isAnalysed, score, threshold, low, high } = judged
    this.#judgements.push(index, marksOf({ order, isRefused: !isAnalysed }, place), score, threshold, low, high)
    const { tally } = effects
    if (order === 'late') tally.late++
    if (order === 'duplicate') tally.duplicates++
    if (!isAnalysed && order === 'late') tally.refusedLate++
    if (!isAnalysed && order === 'duplicate') tally.refusedDuplicates++
    if (isAnalysed && number !== DEFAULT_POLICY) effects.count(judge, judged)
  }

  /** Judges a sample by the rule that is tried out, which has no effect but to be counted and shown. */
  #tryOut(index: number, slot: Slot, judge: Judge, effects: Effects): void {
    const { samples, id } = this.entry
    const value = samples[index * SAMPLE_STRIDE + 1] as number
    const timestamp = samples[index * SAMPLE_STRIDE + 2] as number
    const judged = judge.step(this.#windows.row(slot), value, timestamp, entryTimeMs(id))
    if (!judged.isAnalysed || judged.isShift) this.#windows.needsRow(slot)
    if (!judged.isAnalysed) return
    effects.count(judge, judged)
    if (!judged.isFlagged) return
    const { mean, deviation, count, window, score, threshold, low, high, order } = judged
    const { rule, detector } = judge.policy
    const finding: Finding = {
      ...{ key: this.#keyAt(index), value, timestamp, mean, deviation, count, window },
      judged: { rule, detector, score, threshold, low, high, order, isRefused: false },
    }
    effects.shadowed.push({ rule: rule ?? '', analysis: encodeAnalysis(finding, this.#context) })
  }

  #keyAt(index: number): string {
    return this.entry.samples[index * SAMPLE_STRIDE] as string
  }

  #findingAt(index: number, judged: RuleFinding | null): Finding {
    const { samples } = this.entry
    const at = index * FINDING_STRIDE
    return {
      key: samples[index * SAMPLE_STRIDE] as string,
      value: samples[index * SAMPLE_STRIDE + 1] as number,
      timestamp: samples[index * SAMPLE_STRIDE + 2] as number,
      mean: this.findings[at] as number,
      deviation: this.findings[at + 1] as number,
      count: this.findings[at + 2] as number,
      window: this.findings[at + 3] as number,
      judged,
    }
  }

  #judgedAt(index: number): RuleFinding | null {
    const begin = (this.#judgementOf?.[index] ?? 0) - 1
    if (begin < 0) return null
    const [, marks = 0, score = 0, threshold = 0, low = 0, high = 0] = this.#judgements.slice(
      begin,
      begin + JUDGEMENT_STRIDE,
    )
    const read = readMarks(marks)
    if (read === undefined) return null
    const policy = this.#options.rules.policies[this.#policies[read.policy] as number] as Policy
    const { order, isRefused } = read
    return { rule: policy.rule, detector: policy.detector, score, threshold, low, high, order, isRefused }
  }
}

/** Does what is due by `now` on keys that are in memory, and tells when the next is due. */
export function lapse(keys: readonly string[], now: number, windows: Windows, options: AnalyseOptions): Effects {
  const effects = new Effects(options)
  const judges = judgesOf(options.rules)
  windows.beginUpdates()
  for (const key of keys) {
    const slot = windows.use(key)
    if (slot === undefined) continue
    const judge = judges[options.rules.resolve(key)] as Judge
    const row = windows.row(slot)
    const lapsed = { alerts: [], silences: [] }
    judge.expire(row, now, lapsed)
    effects.noteLapse(key, judge.policy, lapsed)
    const due = judge.timerAt(row)
    const isOver = due === Number.POSITIVE_INFINITY
    row.rows[row.start + TIMER] = isOver ? 0 : due
    effects.due(key, isOver ? null : due)
    windows.needsRow(slot)
    effects.keys.push({ key, window: windows.update(slot), analysis: null })
  }
  return effects
}

function bytesOf({ buffer }: Float64Array<ArrayBuffer>): Uint8Array {
  return new Uint8Array(buffer)
}
