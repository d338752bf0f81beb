import type { SampleOrder } from '../detection/order.ts'
import { type FlatSamples, SAMPLE_STRIDE, unpackEntry } from '../sample/entry.ts'
import type { EntryId } from '../sample/receipt.ts'
import { type Analysis, type RuleFinding, toAnalysis } from './analysis.ts'

/**
 * The verdicts on one entry's samples, kept for a while in the stream `tm:{p}:verdicts` under the entry's own id: what a
 * receipt leads to, and what a live feed reads. Of each sample only what cannot be recomputed is kept, as float64s; the
 * samples themselves are still in the entry, which is kept as long.
 */
export const VERDICT_FIELDS = {
  findings: 'f',
  threshold: 't',
  windowMin: 'm',
  analyzedAt: 'a',
  rulesVersion: 'v',
  judgements: 'j',
  policies: 'p',
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
  /** The version of the rules that were in force. */
  readonly rulesVersion: number
  /** What rules said of the samples; null where all of them were judged by the default policy, and none was late or repeated. */
  readonly judged: EntryJudgements | null
}

/** What rules said of an entry's samples. */
export interface EntryJudgements {
  /** Little-endian float64s, JUDGEMENT_STRIDE of them a judgement. */
  readonly judgements: Uint8Array
  /** JSON: the policies that they name by number. */
  readonly policies: string
}

/**
 * Float64s of one judgement: the sample's place in the entry, marks, score, threshold, low, high. Only samples that the default
 * policy does not explain have one, in their order. Marks are 1 + order + 4 x (whether it was refused) + 8 x the policy's place in
 * `policies`, which is a list of [rule, detector].
 */
export const JUDGEMENT_STRIDE = 6
const ORDERS: readonly SampleOrder[] = ['in_order', 'late', 'duplicate']

export function marksOf({ order, isRefused }: Pick<RuleFinding, 'order' | 'isRefused'>, policy: number): number {
  return 1 + ORDERS.indexOf(order) + (isRefused ? 4 : 0) + 8 * policy
}

/** The reverse; undefined for 0, and for what `marksOf` does not write. */
export function readMarks(marks: number): (Pick<RuleFinding, 'order' | 'isRefused'> & { policy: number }) | undefined {
  const order = ORDERS[(marks - 1) % 4]
  if (marks < 1 || order === undefined) return undefined
  return { order, isRefused: (marks - 1) % 8 >= 4, policy: Math.floor((marks - 1) / 8) }
}

/** What was found, and on which samples. */
export interface EntryVerdicts extends EntryFindings {
  /** As in the entry. */
  readonly samples: string
}

/** The analysis of the newest sample of `key` in an entry; undefined when the entry has none. */
export function analysisIn(verdicts: EntryVerdicts, partition: number, key: string): Analysis | undefined {
  const samples = samplesOf(verdicts)
  for (let index = samples.length / SAMPLE_STRIDE - 1; index >= 0; index--) {
    if (samples[index * SAMPLE_STRIDE] === key) return readerOf(verdicts, partition, samples)(index)
  }
  return undefined
}

/** The analyses of all samples of an entry, in order. */
export function analysesIn(verdicts: EntryVerdicts, partition: number): Analysis[] {
  const samples = samplesOf(verdicts)
  const analysisAt = readerOf(verdicts, partition, samples)
  return Array.from({ length: samples.length / SAMPLE_STRIDE }, (_, index) => analysisAt(index))
}

/** Gives the analysis of sample number `index`; `samples` is what the entry's unpack to. */
function readerOf(verdicts: EntryFindings, partition: number, samples: FlatSamples): (index: number) => Analysis {
  const { buffer, byteOffset, byteLength } = verdicts.findings
  const view = new DataView(buffer, byteOffset, byteLength)
  const judgedAt = judgedReader(verdicts.judged)
  return index => {
    const at = index * FINDING_STRIDE * 8
    const finding = {
      key: String(samples[index * SAMPLE_STRIDE]),
      value: Number(samples[index * SAMPLE_STRIDE + 1]),
      timestamp: Number(samples[index * SAMPLE_STRIDE + 2]),
      mean: view.getFloat64(at, true),
      deviation: view.getFloat64(at + 8, true),
      count: view.getFloat64(at + 16, true),
      window: view.getFloat64(at + 24, true),
      judged: judgedAt(index),
    }
    return toAnalysis(finding, { partition, ...verdicts })
  }
}

/** Gives null where there is nothing to say, or what is said is garbled: somebody else wrote there. */
function judgedReader(judged: EntryJudgements | null): (index: number) => RuleFinding | null {
  if (judged === null) return () => null
  const { buffer, byteOffset, byteLength } = judged.judgements
  const view = new DataView(buffer, byteOffset, byteLength)
  const policies = policiesIn(judged.policies)
  const places = new Map<number, number>()
  for (let at = 0; at + JUDGEMENT_STRIDE * 8 <= byteLength; at += JUDGEMENT_STRIDE * 8) {
    places.set(view.getFloat64(at, true), at)
  }
  return index => {
    const at = places.get(index)
    if (at === undefined) return null
    const number = (i: number): number => view.getFloat64(at + 8 * i, true)
    const marks = readMarks(number(1))
    const policy = policies[marks?.policy ?? -1]
    if (marks === undefined || policy === undefined) return null
    const [rule, detector] = policy
    const { order, isRefused } = marks
    return { rule, detector, score: number(2), threshold: number(3), low: number(4), high: number(5), order, isRefused }
  }
}

function policiesIn(text: string): readonly (readonly [string | null, string])[] {
  try {
    const parsed: unknown = JSON.parse(text)
    return Array.isArray(parsed) ? parsed : []
  } catch {
    return []
  }
}

/** Empty when they are garbled: somebody else wrote there. */
function samplesOf(verdicts: EntryVerdicts): FlatSamples {
  const count = verdicts.findings.byteLength / 8 / FINDING_STRIDE
  const entry = unpackEntry({ id: verdicts.id, samples: verdicts.samples, count, offset: 0 })
  return entry.kind === 'samples' ? entry.samples : []
}
