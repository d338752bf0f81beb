import assert from 'node:assert/strict'
import type { Judged } from '@tidemark/shared/detection/judge'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import type { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { toUnixMs } from '@tidemark/shared/sample/arrival'
import { SAMPLE_STRIDE } from '@tidemark/shared/sample/entry'
import { formatReceipt } from '@tidemark/shared/sample/receipt'
import type { Finding, RuleFinding, VerdictSettings } from '@tidemark/shared/verdict/analysis'
import { type EncodingContext, encodeAnalysis, writeAnalysis } from '@tidemark/shared/verdict/encoding'
import {
  type EntryFindings,
  type EntryJudgements,
  FINDING_STRIDE,
  JUDGEMENT_STRIDE,
  marksOf,
  outsideIndexOf,
  rateIndexOf,
  readMarks,
  sideNamed,
} from '@tidemark/shared/verdict/kept-verdicts'
import type { JsonWriter, LateJson } from '@tidemark/shared/writing/json-writer'
import type { ReadableEntry } from './run.ts'

export interface AnalyseOptions {
  readonly partition: number
  readonly alertWaitMs: number
  readonly settings: VerdictSettings
  readonly rules: RuleSet
  /** Unix milliseconds. */
  readonly analyzedAt: number
  /** The store's clock, Unix milliseconds: no entry arrived later, whatever its id says. */
  readonly now: number
  /** The number of the present interval of the sink; undefined if there is no sink. */
  readonly sinkInterval?: number | undefined
}

const NO_JUDGEMENT = -1

/**
 * The results of scoring one entry's samples, as numbers: scoring allocates no object per sample.
 *
 *     findings    every sample: mean, deviation, count, window
 *     judgements  samples with a rule, late, duplicate: index, marks, score, threshold, low, high
 *     rests       samples whose mean has a rest: index, rest
 *     starts      every sample: where its judgement starts; allocated with the first judgement
 *
 * The first three are laid out as kept-verdicts.ts stores them. Only anomalies and each key's
 * newest sample are encoded as JSON.
 */
export class EntryAnalysis {
  readonly entry: ReadableEntry
  readonly context: EncodingContext
  readonly #rules: RuleSet
  readonly #findings: Float64Array
  readonly #judgements: number[] = []
  readonly #rests: number[] = []
  #starts: Int32Array | null = null
  /** The policies that judgements name: their marks hold an index into this list. */
  readonly #policies: number[] = []

  constructor(entry: ReadableEntry, { partition, settings, rules, analyzedAt }: AnalyseOptions) {
    const { threshold, windowMin } = settings
    this.entry = entry
    this.context = { receipt: formatReceipt({ partition, id: entry.id }), threshold, windowMin, analyzedAt }
    this.#rules = rules
    this.#findings = takeFloats(entry.count * FINDING_STRIDE)
  }

  recordFinding(index: number, { mean, deviation, meanRest, count, window }: Judged): void {
    const start = index * FINDING_STRIDE
    this.#findings[start] = mean
    this.#findings[start + 1] = deviation
    this.#findings[start + 2] = count
    this.#findings[start + 3] = window
    if (meanRest !== 0) this.#rests.push(index, meanRest)
  }

  /** Records what the default policy does not explain; `number` is the policy that scored. */
  recordJudgement(index: number, number: number, judged: Judged): void {
    let place = this.#policies.indexOf(number)
    if (place < 0) place = this.#policies.push(number) - 1
    this.#starts ??= new Int32Array(this.entry.count).fill(NO_JUDGEMENT)
    this.#starts[index] = this.#judgements.length
    const { order, isAnalysed, isIgnored, score, threshold, low, high, outside } = judged
    const marks = marksOf({ order, excluded: isAnalysed ? null : isIgnored ? 'ignored' : 'refused' }, place)
    this.#judgements.push(index, marks, score, threshold, low, high)
    if (this.#isCounter(number)) this.#judgements.push(rateIndexOf(index), marks, judged.rate, 0, 0, 0)
    if (outside !== 0) this.#judgements.push(outsideIndexOf(index), marks, outside, 0, 0, 0)
  }

  #isCounter(policy: number): boolean {
    return this.#rules.policies[policy]?.isCounter === true
  }

  /** Returns the analysis of a sample as JSON; null when the sample was not analysed. */
  encode(index: number): string | null {
    const judged = this.#judgementOf(index)
    return isExcluded(judged) ? null : encodeAnalysis(this.#findingOf(index, judged), this.context)
  }

  /** The same, encoded when it is needed. */
  encodeLater(index: number): LateJson | null {
    const judged = this.#judgementOf(index)
    return isExcluded(judged) ? null : new LateAnalysis(this, index, judged)
  }

  /** Writes the analysis of a sample that was analysed. */
  write(writer: JsonWriter, index: number, judged: RuleFinding | null): void {
    writeAnalysis(writer, this.#findingOf(index, judged), this.context)
  }

  #findingOf(index: number, judged: RuleFinding | null): Finding {
    const { samples } = this.entry
    const start = index * FINDING_STRIDE
    return {
      key: samples[index * SAMPLE_STRIDE] as string,
      value: samples[index * SAMPLE_STRIDE + 1] as number,
      timestamp: toUnixMs(samples[index * SAMPLE_STRIDE + 2] as number),
      mean: this.#findings[start] as number,
      deviation: this.#findings[start + 1] as number,
      meanRest: this.#restOf(index),
      count: this.#findings[start + 2] as number,
      window: this.#findings[start + 3] as number,
      judged,
    }
  }

  /** The verdicts on all samples, as they are stored. */
  get verdicts(): EntryFindings {
    const { threshold, windowMin, analyzedAt } = this.context
    const { version: rulesVersion } = this.#rules
    const findings = bytesOf(this.#findings)
    const judged = this.#storedJudgements()
    const rests = this.#rests.length === 0 ? null : bytesOf(Float64Array.from(this.#rests))
    return { id: this.entry.id, findings, threshold, windowMin, analyzedAt, rulesVersion, judged, rests }
  }

  #storedJudgements(): EntryJudgements | null {
    if (this.#judgements.length === 0) return null
    const policies = this.#policies.map(number => this.#rules.policies[number] as Policy)
    const named = policies.map(({ rule, detector, unit }) =>
      unit === null ? [rule, detector] : [rule, detector, unit],
    )
    return { judgements: bytesOf(Float64Array.from(this.#judgements)), policies: JSON.stringify(named) }
  }

  /** Searches from the end, because a key's newest sample is encoded most often. */
  #restOf(index: number): number {
    for (let at = this.#rests.length - 2; at >= 0 && (this.#rests[at] as number) >= index; at -= 2) {
      if (this.#rests[at] === index) return this.#rests[at + 1] as number
    }
    return 0
  }

  #judgementOf(index: number): RuleFinding | null {
    const start = this.#starts?.[index] ?? NO_JUDGEMENT
    if (start === NO_JUDGEMENT) return null
    const numbers = this.#judgements.slice(start, start + JUDGEMENT_STRIDE)
    const [, marks, score, threshold, low, high] = numbers as [number, number, number, number, number, number]
    const read = readMarks(marks)
    assert(read !== undefined, 'marksOf wrote the marks')
    const { rule, detector, unit } = this.#rules.policies[this.#policies[read.policy] as number] as Policy
    const { order, excluded } = read
    const rate = this.#numberAfter(start, rateIndexOf(index))
    const side = this.#numberAfter(start, outsideIndexOf(index))
    const outside = side === null ? null : sideNamed(side)
    return { rule, detector, score, threshold, low, high, order, excluded, rate, outside, unit }
  }

  /** Returns what a further judgement of the same sample, with this index, has for its score. */
  #numberAfter(start: number, index: number): number | null {
    for (let at = start + JUDGEMENT_STRIDE; (this.#judgements[at] ?? 0) < 0; at += JUDGEMENT_STRIDE) {
      if (this.#judgements[at] === index) return this.#judgements[at + 2] as number
    }
    return null
  }
}

class LateAnalysis implements LateJson {
  readonly #analysis: EntryAnalysis
  readonly #index: number
  readonly #judged: RuleFinding | null

  constructor(analysis: EntryAnalysis, index: number, judged: RuleFinding | null) {
    this.#analysis = analysis
    this.#index = index
    this.#judged = judged
  }

  write(writer: JsonWriter): void {
    this.#analysis.write(writer, this.#index, this.#judged)
  }

  toString(): string {
    return this.#analysis.encode(this.#index) ?? ''
  }
}

function isExcluded(judged: RuleFinding | null): boolean {
  return judged !== null && judged.excluded !== null
}

function bytesOf({ buffer, byteOffset, byteLength }: Float64Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** Float64s allocated at a time: an array of its own for each entry costs several times as much. */
const CHUNK_LENGTH = 8192
let chunk = new Float64Array(CHUNK_LENGTH)
let chunkUsed = 0

/** Returns zeros that are used once, as part of a larger array. */
function takeFloats(length: number): Float64Array {
  if (chunkUsed + length > chunk.length) {
    chunk = new Float64Array(Math.max(CHUNK_LENGTH, length))
    chunkUsed = 0
  }
  const begin = chunkUsed
  chunkUsed += length
  return new Float64Array(chunk.buffer, 8 * begin, length)
}
