import { createReadStream } from 'node:fs'
import type { Sample } from '@tidemark/shared/sample/sample'
import { type CsvItem, type CsvOptions, CsvParser } from '../lib/csv/parser.ts'
import { CsvProblem } from '../lib/csv/problem.ts'
import { type ReadBlock, readBlocks, reportLines } from '../lib/csv/read.ts'
import { Failure } from '../lib/options.ts'
import type { LabelWindow } from './labels.ts'
import type { PlotPoints } from './plot-points.ts'
import type { ScoreFile } from './score-file.ts'
import type { Variant } from './variant.ts'
import { type Block, VariantRun } from './variant-run.ts'

/** Rejected rows that are described; the tallies count all. */
const REJECTIONS_MAX = 3

export interface RunFileOptions {
  readonly path: string
  /** The file's name in messages. */
  readonly file: string
  /** The key of samples without a key. */
  readonly name: string
  /** What is known of the file; the rest is detected. */
  readonly csv: CsvOptions
  readonly variants: readonly Variant[]
  /** Labels; undefined if there are none for the file. */
  readonly windows: readonly LabelWindow[] | undefined
  /** Receives the scores of the first variant. */
  readonly scores: ScoreFile | undefined
  readonly points: PlotPoints | undefined
  /** Whether alerts are listed, which takes memory for each. */
  readonly listsAlerts: boolean
  /** Called from time to time with the bytes read so far. */
  readonly onBytes: (bytes: number) => void
}

/**
 * Runs a file through each variant. Memory grows with the number of keys, not with the file. Throws
 * a CsvProblem if the file has no samples.
 */
export async function runFile(options: RunFileOptions) {
  const { path, file, name, csv, variants, windows, scores, points, listsAlerts, onBytes } = options
  const parser = new CsvParser(csv, name)
  const rejections: string[] = []
  const runs = variants.map((variant, index) => {
    const onJudged = points === undefined ? undefined : points.add.bind(points, index)
    return new VariantRun(variant, windows, {
      scores: scores !== undefined && index === 0,
      alerts: listsAlerts,
      onJudged,
    })
  })
  const keys = new KeyTable()
  let rows = 0
  for await (const { items, bytes } of readFileBlocks(path, file, parser)) {
    onBytes(bytes)
    rows += items.length
    const block = keys.blockOf(items)
    for (const run of runs) run.step(block)
    for (const item of items) {
      if (rejections.length >= REJECTIONS_MAX) break
      if (item.kind === 'refused') rejections.push(`${file}:${item.line}: ${item.reason}`)
    }
    await scores?.write(items, runs[0]?.scores ?? [])
  }
  for (const { tally } of runs) {
    tally.rows = rows
    tally.rejected = parser.profile.refused
    tally.keyMs = keys.spanMs()
  }
  const report = reportLines(parser, name, Date.now())
  return { runs, rejections, report, hasSamples: parser.profile.samples > 0 }
}

async function* readFileBlocks(path: string, file: string, parser: CsvParser): AsyncGenerator<ReadBlock> {
  const stream = createReadStream(path)
  try {
    yield* readBlocks(stream, parser)
  } catch (error) {
    if (error instanceof CsvProblem || !(error instanceof Error) || !('code' in error)) throw error
    throw new Failure(`cannot read ${file}: ${error.message}`, { cause: error })
  } finally {
    stream.destroy()
  }
}

/** The keys of a file, numbered in order of appearance, and the time that their samples cover. */
class KeyTable {
  readonly #numbers = new Map<string, number>()
  readonly #first: number[] = []
  readonly #last: number[] = []
  /** A sample arrives at its timestamp, or with those before it if these are later. */
  #arrived = Number.NEGATIVE_INFINITY

  blockOf(items: readonly CsvItem[]): Block {
    const samples: Sample[] = []
    const keys: number[] = []
    const times: number[] = []
    for (const item of items) {
      if (item.kind !== 'sample') continue
      const { sample } = item
      const { timestamp } = sample
      if (timestamp > this.#arrived) this.#arrived = timestamp
      const number = this.#numberOf(sample)
      if (timestamp < (this.#first[number] as number)) this.#first[number] = timestamp
      if (timestamp > (this.#last[number] as number)) this.#last[number] = timestamp
      samples.push(sample)
      keys.push(number)
      times.push(this.#arrived)
    }
    return { samples, keys, times }
  }

  spanMs(): number {
    return this.#first.reduce((sum, first, number) => sum + (this.#last[number] as number) - first, 0)
  }

  #numberOf({ key, timestamp }: Sample): number {
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    const number = this.#numbers.size
    this.#numbers.set(key, number)
    this.#first.push(timestamp)
    this.#last.push(timestamp)
    return number
  }
}
