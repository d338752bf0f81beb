import { createReadStream } from 'node:fs'
import { toUnitScore } from '@tidemark/shared/detection/detectors/detector'
import type { Judged } from '@tidemark/shared/detection/judge'
import type { Sample } from '@tidemark/shared/sample/sample'
import { type CsvOptions, CsvParser } from '../lib/csv/parser.ts'
import { type ReadItem, readItems, reportLines } from '../lib/csv/read.ts'
import { Failure } from '../lib/options.ts'
import { KeyJudge } from './key-judge.ts'
import type { LabelWindow } from './labels.ts'
import type { PlotPoints } from './plot-points.ts'
import type { ScoreFile } from './score-file.ts'
import { createTally, HitCounter } from './tally.ts'
import type { Variant } from './variant.ts'

/** Rejected rows that are described; the tallies count all. */
const REJECTIONS_MAX = 3

export interface RunFileOptions {
  readonly path: string
  /** The file's name, and the key of samples without a key. */
  readonly name: string
  /** What is known of the file; the rest is detected. */
  readonly csv: CsvOptions
  readonly variants: readonly Variant[]
  /** Labels; undefined if there are none for the file. */
  readonly windows: readonly LabelWindow[] | undefined
  /** Receives the scores of the first variant. */
  readonly scores: ScoreFile | undefined
  readonly points: PlotPoints | undefined
  /** Called from time to time with the bytes read so far. */
  readonly onBytes: (bytes: number) => void
}

/**
 * Runs a file through each variant. Memory grows with the number of keys, not with the file. Throws
 * a CsvProblem if the file has no samples.
 */
export async function runFile({ path, name, csv, variants, windows, scores, points, onBytes }: RunFileOptions) {
  const parser = new CsvParser(csv, name)
  const rejections: string[] = []
  const runs = variants.map(variant => new VariantRun(variant, windows))
  let rows = 0
  let first = Number.POSITIVE_INFINITY
  let last = Number.NEGATIVE_INFINITY
  for await (const row of readRows(path, name, parser)) {
    if (rows++ % 1024 === 0) onBytes(row.bytes)
    let score = 0
    if (row.kind === 'sample') {
      const { sample } = row
      first = Math.min(first, sample.timestamp)
      last = Math.max(last, sample.timestamp)
      for (const [index, run] of runs.entries()) {
        const judged = run.step(sample, last)
        points?.add(index, sample, judged)
        if (index === 0) score = toUnitScore(Math.abs(judged.score), judged.threshold)
      }
    } else if (row.kind === 'refused' && rejections.length < REJECTIONS_MAX)
      rejections.push(`${name}:${row.line}: ${row.reason}`)
    await scores?.write(row, score)
  }
  for (const { tally } of runs) {
    tally.rows = rows
    tally.rejected = parser.profile.refused
    tally.spanMs = Math.max(0, last - first)
  }
  return { tallies: runs.map(({ tally }) => tally), rejections, report: reportLines(parser, name, Date.now()) }
}

async function* readRows(path: string, name: string, parser: CsvParser): AsyncGenerator<ReadItem> {
  const file = createReadStream(path)
  try {
    yield* readItems(file, parser)
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error
    throw new Failure(`cannot read ${name}: ${error.message}`, { cause: error })
  } finally {
    file.destroy()
  }
}

/** One variant on one file. */
class VariantRun {
  readonly tally = createTally()
  readonly #variant: Variant
  readonly #judges = new Map<string, KeyJudge>()
  readonly #flagged: HitCounter
  readonly #alerts: HitCounter

  constructor(variant: Variant, windows: readonly LabelWindow[] | undefined) {
    this.#variant = variant
    this.tally.isLabelled = windows !== undefined
    this.#flagged = new HitCounter(this.tally.flagged, windows ?? [])
    this.#alerts = new HitCounter(this.tally.alerts, windows ?? [])
  }

  /** Scores and counts a sample. The arrival `time` must not decrease. */
  step({ key, value, timestamp }: Sample, time: number): Judged {
    const { tally } = this
    const judge = this.#judges.get(key) ?? new KeyJudge(this.#variant.policyOf(key))
    this.#judges.set(key, judge)
    const judged = judge.step(value, timestamp, time)
    if (!judged.isAnalysed) {
      if (judged.order === 'late') tally.late++
      else tally.duplicates++
      return judged
    }
    tally.samples++
    if (Number.isNaN(judged.score)) tally.warming++
    if (judged.isShift) tally.levelShifts++
    if (judged.isFlagged) this.#flagged.hit(timestamp)
    for (const { kind } of judged.alerts) if (kind === 'opened') this.#alerts.hit(timestamp)
    return judged
  }
}
