import { createReadStream } from 'node:fs'
import { toUnitScore } from '@tidemark/shared/detection/detectors/detector'
import type { Judged } from '@tidemark/shared/detection/judge'
import { KeyJudge } from './key-judge.ts'
import type { LabelWindow } from './labels.ts'
import type { PlotPoints } from './plot-points.ts'
import { readRows } from './rows.ts'
import type { ScoreFile } from './score-file.ts'
import { createTally, HitCounter, type Tally } from './tally.ts'
import type { Variant } from './variant.ts'

/** Rejected rows that are described. */
const REJECTIONS_MAX = 3

export interface RunFileOptions {
  readonly path: string
  /** The file's name, and the key of samples without a key. */
  readonly name: string
  readonly variants: readonly Variant[]
  /** Labels; undefined if there are none for the file. */
  readonly windows: readonly LabelWindow[] | undefined
  /** Receives the scores of the first variant. */
  readonly scores: ScoreFile | undefined
  readonly points: PlotPoints | undefined
  /** Called from time to time with the bytes read so far. */
  readonly onBytes: (bytes: number) => void
}

export interface FileResult {
  /** In the order of the variants. */
  readonly tallies: readonly Tally[]
  /** Descriptions of the first rejected rows. */
  readonly rejections: readonly string[]
}

/** Runs a file through each variant. Memory grows with the number of keys, not with the file. */
export async function runFile(options: RunFileOptions): Promise<FileResult> {
  const { path, name, variants, windows, scores, points } = options
  const rejections: string[] = []
  const runs = variants.map(variant => new VariantRun(variant, windows))
  let rows = 0
  let first = Number.POSITIVE_INFINITY
  let last = Number.NEGATIVE_INFINITY
  for await (const row of readRows(createReadStream(path), name)) {
    if (rows++ % 1024 === 0) options.onBytes(row.bytes)
    const { sample } = row
    if (sample === undefined && rejections.length < REJECTIONS_MAX) {
      rejections.push(`${name}:${row.line}: ${row.reason}`)
    }
    let score = 0
    if (sample !== undefined) {
      first = Math.min(first, sample.timestamp)
      last = Math.max(last, sample.timestamp)
      for (const [index, run] of runs.entries()) {
        const judged = run.step(sample.key, sample.value, sample.timestamp, last)
        points?.add(index, sample, judged)
        if (index === 0) score = toUnitScore(Math.abs(judged.score), judged.threshold)
      }
    }
    await scores?.write(row, score)
  }
  for (const { tally } of runs) {
    tally.rows = rows
    tally.rejected = rows - tally.samples - tally.late - tally.duplicates
    tally.spanMs = Math.max(0, last - first)
  }
  return { tallies: runs.map(({ tally }) => tally), rejections }
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

  step(key: string, value: number, timestamp: number, time: number) {
    let judge = this.#judges.get(key)
    if (judge === undefined) {
      judge = new KeyJudge(this.#variant.policyOf(key))
      this.#judges.set(key, judge)
    }
    const judged = judge.step(value, timestamp, time)
    this.#count(judged, timestamp)
    return judged
  }

  #count({ order, isAnalysed, score, isFlagged, isShift, alerts }: Judged, timestamp: number): void {
    const { tally } = this
    if (!isAnalysed) {
      if (order === 'late') tally.late++
      else tally.duplicates++
      return
    }
    tally.samples++
    if (Number.isNaN(score)) tally.warming++
    if (isShift) tally.levelShifts++
    if (isFlagged) this.#flagged.hit(timestamp)
    for (const { kind } of alerts) if (kind === 'opened') this.#alerts.hit(timestamp)
  }
}
