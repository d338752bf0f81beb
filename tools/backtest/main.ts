import { createReadStream } from 'node:fs'
import { join, resolve } from 'node:path'
import { CsvParser } from '../lib/csv/parser.ts'
import { CsvProblem } from '../lib/csv/problem.ts'
import { dryRun } from '../lib/csv/read.ts'
import { Failure, runCommand } from '../lib/options.ts'
import { openProgress } from '../lib/progress.ts'
import { findInputs, type Input, type Inputs } from './inputs.ts'
import { type Labels, type LabelWindow, readLabels, windowsOf } from './labels.ts'
import { type BacktestOptions, COMMAND, readOptions } from './options.ts'
import { writePlot } from './plot.ts'
import { PlotPoints } from './plot-points.ts'
import { renderReport } from './report.ts'
import { runFile } from './run-file.ts'
import { ScoreFile } from './score-file.ts'
import { addTally, createTally } from './tally.ts'
import { detectorVariant, rulesVariant, type Variant } from './variant.ts'

/** Rejected rows that are described; the table counts all. */
const REJECTIONS_MAX = 5

/** Files of a folder whose columns are shown; problems and warnings of all are. */
const FILES_SHOWN = 20

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => backtest(readOptions(args)))

/** Runs all files and prints the table. Returns exit code 1 if a file had no sample. */
async function backtest(options: BacktestOptions): Promise<number> {
  const inputs = await findInputs(fromHere(options.input), options.input)
  if (options.isDryRun) return await dryRunInputs(inputs, options)
  const variants = [
    ...options.detectors.map(detectorVariant),
    ...(await Promise.all(options.rules.map(name => rulesVariant(fromHere(name), name)))),
  ]
  const labels = options.labels === undefined ? undefined : await readLabels(fromHere(options.labels), options.labels)
  if (labels?.kind === 'one' && inputs.isFolder) {
    throw new Failure('these labels are for a single file; for a folder use {"file.csv": [[start, end]]}')
  }
  const windows = labels === undefined ? undefined : findWindows(labels, inputs)
  const { totals, rejections, reports, empty } = await runInputs({ inputs, variants, windows, options })

  for (const rejection of rejections.slice(0, REJECTIONS_MAX)) process.stderr.write(`${rejection}\n`)
  const files = inputs.isFolder ? ` (${inputs.files.length} files)` : ''
  const lines = variants.map(({ name }, index) => ({ name, tally: totals[index] ?? createTally() }))
  const head = [`${options.input}${files}`, ...renderInputs(reports)].join('\n')
  process.stdout.write(`${head}\n\n${renderReport(lines)}\n`)
  return empty > 0 ? 1 : 0
}

interface Run {
  readonly inputs: Inputs
  readonly variants: readonly Variant[]
  /** By file; undefined without labels. */
  readonly windows: ReadonlyMap<string, readonly LabelWindow[]> | undefined
  readonly options: BacktestOptions
}

/** How a file was read, a line each. */
interface InputReport {
  readonly file: string
  readonly lines: readonly string[]
}

async function runInputs(run: Run) {
  const { files } = run.inputs
  const totals = run.variants.map(createTally)
  const rejections: string[] = []
  const reports: InputReport[] = []
  let empty = 0
  using progress = openProgress({ output: process.stderr, total: files.reduce((sum, { bytes }) => sum + bytes, 0) })
  let bytesBefore = 0
  for (const input of files) {
    const result = await tolerate(input, run.inputs, () =>
      runInput(input, run, bytes => progress.update(bytesBefore + bytes, input.file)),
    )
    bytesBefore += input.bytes
    reports.push({ file: input.file, lines: typeof result === 'string' ? [`WARNING: ${result}`] : result.report })
    if (typeof result === 'string' || result.tallies[0]?.rows === result.tallies[0]?.rejected) empty++
    if (typeof result === 'string') continue
    for (const [index, total] of totals.entries()) addTally(total, result.tallies[index] ?? createTally())
    rejections.push(...result.rejections)
  }
  return { totals, rejections, reports, empty }
}

/** Does `work`. A folder's file that cannot be read is not a failure, but its reason as a text. */
async function tolerate<T>(input: Input, { isFolder }: Inputs, work: () => Promise<T>): Promise<T | string> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof CsvProblem)) throw error
    if (isFolder) return `it cannot be read: ${error.message}`
    throw new Failure(`cannot read ${input.file}: ${error.message}`, { cause: error })
  }
}

async function dryRunInputs(inputs: Inputs, { csv }: BacktestOptions): Promise<number> {
  let empty = 0
  for (const input of inputs.files) {
    const run = { parser: new CsvParser(csv, input.name), defaultKey: input.name, now: Date.now() }
    const result = await tolerate(input, inputs, () => dryRun(createReadStream(input.path), run))
    if (typeof result === 'string' || result.samples === 0) empty++
    process.stdout.write(`${input.file}\n${typeof result === 'string' ? `  ${result}` : result.text}\n\n`)
  }
  return empty > 0 ? 1 : 0
}

/** Returns how the files were read: of the first ones all, of the others what looks wrong. */
function renderInputs(reports: readonly InputReport[]): string[] {
  const [first] = reports
  if (reports.length === 1 && first !== undefined) return first.lines.map(line => `  ${line}`)
  const lines = reports.flatMap(({ file, lines }, index) => {
    const shown = index < FILES_SHOWN ? lines : lines.filter(line => line.startsWith('WARNING'))
    return shown.length > 0 ? [`  ${file}`, ...shown.map(line => `    ${line}`)] : []
  })
  const more = reports.length - FILES_SHOWN
  return more > 0 ? [...lines, `  ... ${more} more files; --dry-run shows how each is read`] : lines
}

async function runInput({ path, file, name }: Input, run: Run, onBytes: (bytes: number) => void) {
  const { inputs, variants, options } = run
  const place = (given: string, extension: string): string =>
    inputs.isFolder ? join(fromHere(given), file.replace(/csv$/i, extension)) : fromHere(given)
  const windows = run.windows?.get(file)
  await using scores = options.scores === undefined ? undefined : await ScoreFile.create(place(options.scores, 'csv'))
  const points = options.plot === undefined ? undefined : new PlotPoints(variants.map(variant => variant.name))
  const result = await runFile({ path, name, csv: options.csv, variants, windows, scores, points, onBytes })
  if (options.plot !== undefined && points !== undefined) {
    await writePlot(place(options.plot, 'html'), { title: file, panels: points.panels(), windows: windows ?? [] })
    if (points.isFull) process.stderr.write(`${file} has too many keys for one plot: it shows the first ones\n`)
  }
  return result
}

/** Returns the windows of each file. Without labels, every flag in a file counts as false. */
function findWindows(labels: Labels, { files }: Inputs): Map<string, readonly LabelWindow[]> {
  const found = files.map(({ file }) => ({ file, windows: windowsOf(labels, file) }))
  const unlabelled = found.filter(({ windows }) => windows === undefined)
  if (labels.kind === 'named' && unlabelled.length === files.length) {
    const names = [...labels.byName.keys()].slice(0, 3).join(', ')
    throw new Failure(`the labels contain none of these files; they are for ${names}`)
  }
  const [first] = unlabelled
  if (first !== undefined) {
    const others = unlabelled.length > 1 ? ` and ${unlabelled.length - 1} more files` : ''
    process.stderr.write(`no labels for ${first.file}${others}: every flag there counts as false\n`)
  }
  return new Map(found.map(({ file, windows }) => [file, windows ?? []]))
}

/** Resolves a path against the caller's folder: npm runs scripts in the project's folder. */
function fromHere(path: string): string {
  return resolve(process.env.INIT_CWD ?? '.', path)
}
