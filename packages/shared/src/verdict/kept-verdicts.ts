import { z } from 'zod'
import { parseJson } from '../parsing/issues.ts'
import { toUnixMs } from '../sample/arrival.ts'
import { type FlatSamples, SAMPLE_STRIDE, unpackEntry } from '../sample/entry.ts'
import type { EntryId } from '../sample/receipt.ts'
import { type Analysis, type RuleFinding, SAMPLE_ORDERS, type Side, toAnalysis } from './analysis.ts'

/**
 * The verdicts on one entry's samples, in the stream `tm:{p}:verdicts` under the entry's own id,
 * which a receipt contains. Only what cannot be recomputed is stored, as float64s; the samples are
 * in the entry, which is kept as long.
 */
export const VERDICT_FIELDS = {
  findings: 'f',
  threshold: 't',
  windowMin: 'm',
  analyzedAt: 'a',
  rulesVersion: 'v',
  judgements: 'j',
  policies: 'p',
  rests: 'r',
} as const

/** Float64s of one finding: mean, deviation, count, window. */
export const FINDING_STRIDE = 4

export interface EntryFindings {
  readonly id: EntryId
  /** Little-endian float64s, `FINDING_STRIDE` of them a sample, in the samples' order. */
  readonly findings: Uint8Array
  readonly threshold: number
  readonly windowMin: number
  readonly analyzedAt: number
  readonly rulesVersion: number
  /** Null where all samples are in order and under the default policy. */
  readonly judged: EntryJudgements | null
  /**
   * Little-endian float64s, two for each sample whose mean has a rest: its index and the rest. Null
   * if there are none, as in most entries.
   */
  readonly rests: Uint8Array | null
}

export interface EntryJudgements {
  /** Little-endian float64s, `JUDGEMENT_STRIDE` of them a judgement. */
  readonly judgements: Uint8Array
  /** JSON: the policies [rule, detector, unit?], which judgements refer to by number. */
  readonly policies: string
}

/**
 * Float64s of one judgement: the sample's index in the entry, marks, score, threshold, low, high.
 * Only samples that the default policy does not explain have one, in order. Marks are 1 + order + 4
 * x (whether it was refused) + 8 x the policy's index in `policies`; for an ignored sample the
 * order is IGNORED. A second one, with the index -1 - index, has the rate of a counter for its
 * score. One with the index -0.5 - index says that the value is outside the range of the rule: its
 * score is 1 above and -1 below. Version 0.1.0 skips both, and shows ignored samples as warming.
 */
export const JUDGEMENT_STRIDE = 6

const IGNORED = 3

export function marksOf({ order, excluded }: Pick<RuleFinding, 'order' | 'excluded'>, policy: number): number {
  const place = excluded === 'ignored' ? IGNORED : SAMPLE_ORDERS.indexOf(order)
  return 1 + place + (excluded === null ? 0 : 4) + 8 * policy
}

/** Returns the index of the judgement that holds a sample's rate. */
export function rateIndexOf(index: number): number {
  return -1 - index
}

/** Returns the index of the judgement that says on which side of the range a sample is. */
export function outsideIndexOf(index: number): number {
  return -0.5 - index
}

/** Returns the side that such a judgement has for its score. */
export function sideNamed(score: number): Side {
  return score > 0 ? 'above' : 'below'
}

/** Reverses `marksOf`. Returns undefined for a number that it does not return, such as 0. */
export function readMarks(marks: number): (Pick<RuleFinding, 'order' | 'excluded'> & { policy: number }) | undefined {
  const place = (marks - 1) % 4
  const isExcluded = (marks - 1) % 8 >= 4
  const isIgnored = place === IGNORED && isExcluded
  const order = isIgnored ? 'in_order' : SAMPLE_ORDERS[place]
  if (marks < 1 || order === undefined) return undefined
  const excluded = isIgnored ? 'ignored' : isExcluded ? 'refused' : null
  return { order, excluded, policy: Math.floor((marks - 1) / 8) }
}

export interface EntryVerdicts extends EntryFindings {
  readonly samples: string
}

/** Returns the analysis of the newest sample of `key` in an entry; undefined without one. */
export function analysisIn(verdicts: EntryVerdicts, partition: number, key: string): Analysis | undefined {
  const samples = samplesOf(verdicts)
  for (let index = samples.length / SAMPLE_STRIDE - 1; index >= 0; index--) {
    if (samples[index * SAMPLE_STRIDE] === key) return createReader(verdicts, partition, samples)(index)
  }
  return undefined
}

/** Returns the keys of an entry's samples, and what derives the analysis of each. */
export function samplesIn(verdicts: EntryVerdicts, partition: number) {
  const samples = samplesOf(verdicts)
  const keys = samples.filter((_, i) => i % SAMPLE_STRIDE === 0).map(String)
  return { keys, analysisAt: createReader(verdicts, partition, samples) }
}

export function analysesIn(verdicts: EntryVerdicts, partition: number): Analysis[] {
  const samples = samplesOf(verdicts)
  const analysisAt = createReader(verdicts, partition, samples)
  return Array.from({ length: samples.length / SAMPLE_STRIDE }, (_, index) => analysisAt(index))
}

/** Returns a function that derives the analysis of the sample at an index of `samples`. */
function createReader(verdicts: EntryFindings, partition: number, samples: FlatSamples): (index: number) => Analysis {
  const findings = viewOf(verdicts.findings)
  const judgedAt = createJudgedReader(verdicts.judged)
  const rests = readRests(verdicts.rests)
  return index => {
    const at = index * FINDING_STRIDE * 8
    const finding = {
      key: String(samples[index * SAMPLE_STRIDE]),
      value: Number(samples[index * SAMPLE_STRIDE + 1]),
      timestamp: toUnixMs(Number(samples[index * SAMPLE_STRIDE + 2])),
      mean: findings.getFloat64(at, true),
      deviation: findings.getFloat64(at + 8, true),
      meanRest: rests.get(index) ?? 0,
      count: findings.getFloat64(at + 16, true),
      window: findings.getFloat64(at + 24, true),
      judged: judgedAt(index),
    }
    return toAnalysis(finding, { partition, ...verdicts })
  }
}

function readRests(bytes: Uint8Array | null): ReadonlyMap<number, number> {
  const rests = new Map<number, number>()
  if (bytes === null) return rests
  const view = viewOf(bytes)
  for (let at = 0; at + 16 <= view.byteLength; at += 16) {
    rests.set(view.getFloat64(at, true), view.getFloat64(at + 8, true))
  }
  return rests
}

/** The function returns null for a sample without a judgement, and for a garbled one. */
function createJudgedReader(judged: EntryJudgements | null): (index: number) => RuleFinding | null {
  if (judged === null) return () => null
  const judgements = viewOf(judged.judgements)
  const policies = parseJson(policiesSchema, judged.policies) ?? []
  const offsets = new Map<number, number>()
  for (let at = 0; at + JUDGEMENT_STRIDE * 8 <= judgements.byteLength; at += JUDGEMENT_STRIDE * 8) {
    offsets.set(judgements.getFloat64(at, true), at)
  }
  return index => {
    const at = offsets.get(index)
    if (at === undefined) return null
    const number = (i: number): number => judgements.getFloat64(at + 8 * i, true)
    const marks = readMarks(number(1))
    const policy = policies[marks?.policy ?? -1]
    if (marks === undefined || policy === undefined) return null
    const [rule, detector, unit = null] = policy
    const { order, excluded } = marks
    const rateAt = offsets.get(rateIndexOf(index))
    const rate = rateAt === undefined ? null : judgements.getFloat64(rateAt + 16, true)
    const outsideAt = offsets.get(outsideIndexOf(index))
    const outside = outsideAt === undefined ? null : sideNamed(judgements.getFloat64(outsideAt + 16, true))
    const numbers = { score: number(2), threshold: number(3), low: number(4), high: number(5), rate }
    return { rule, detector, ...numbers, order, excluded, outside, unit }
  }
}

const policiesSchema = z.array(z.tuple([z.string().nullable(), z.string(), z.string().optional()]))

/** Returns how many samples an entry has. */
export function countIn({ findings }: EntryFindings): number {
  return findings.byteLength / 8 / FINDING_STRIDE
}

/** Returns the samples of an entry; none if they cannot be read. */
export function samplesOf(verdicts: EntryVerdicts): FlatSamples {
  const entry = unpackEntry({ id: verdicts.id, samples: verdicts.samples, count: countIn(verdicts), offset: 0 })
  return entry.kind === 'samples' ? entry.samples : []
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}
