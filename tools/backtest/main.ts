import { join, resolve } from 'node:path'
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
import { addTally, createTally, type Tally } from './tally.ts'
import { detectorVariant, rulesVariant, type Variant } from './variant.ts'

/** Rejected rows that are described; the table counts all. */
const REJECTIONS_MAX = 5

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => backtest(readOptions(args)))

/** Runs all files and prints the table. Returns exit code 1 if there was no sample. */
async function backtest(options: BacktestOptions): Promise<number> {
  const inputs = await findInputs(fromHere(options.input), options.input)
  const variants = [
    ...options.detectors.map(detectorVariant),
    ...(await Promise.all(options.rules.map(name => rulesVariant(fromHere(name), name)))),
  ]
  const labels = options.labels === undefined ? undefined : await readLabels(fromHere(options.labels), options.labels)
  if (labels?.kind === 'one' && inputs.isFolder) {
    throw new Failure('these labels are for a single file; for a folder use {"file.csv": [[start, end]]}')
  }
  const windows = labels === undefined ? undefined : findWindows(labels, inputs)
  const { totals, rejections } = await runInputs({ inputs, variants, windows, options })

  for (const rejection of rejections.slice(0, REJECTIONS_MAX)) process.stderr.write(`${rejection}\n`)
  const files = inputs.isFolder ? ` (${inputs.files.length} files)` : ''
  const lines = variants.map(({ name }, index) => ({ name, tally: totals[index] ?? createTally() }))
  process.stdout.write(`${options.input}${files}\n\n${renderReport(lines)}\n`)
  return (totals[0]?.samples ?? 0) > 0 ? 0 : 1
}

interface Run {
  readonly inputs: Inputs
  readonly variants: readonly Variant[]
  /** By file; undefined without labels. */
  readonly windows: ReadonlyMap<string, readonly LabelWindow[]> | undefined
  readonly options: BacktestOptions
}

async function runInputs(run: Run): Promise<{ totals: Tally[]; rejections: string[] }> {
  const { files } = run.inputs
  const totals = run.variants.map(createTally)
  const rejections: string[] = []
  using progress = openProgress({ output: process.stderr, total: files.reduce((sum, { bytes }) => sum + bytes, 0) })
  let bytesBefore = 0
  for (const input of files) {
    const result = await runInput(input, run, bytes => progress.update(bytesBefore + bytes, input.file))
    for (const [index, total] of totals.entries()) addTally(total, result.tallies[index] ?? createTally())
    rejections.push(...result.rejections)
    bytesBefore += input.bytes
  }
  return { totals, rejections }
}

async function runInput({ path, file, name }: Input, run: Run, onBytes: (bytes: number) => void) {
  const { inputs, variants, options } = run
  const place = (given: string, extension: string): string =>
    inputs.isFolder ? join(fromHere(given), file.replace(/csv$/i, extension)) : fromHere(given)
  const windows = run.windows?.get(file)
  await using scores = options.scores === undefined ? undefined : await ScoreFile.create(place(options.scores, 'csv'))
  const points = options.plot === undefined ? undefined : new PlotPoints(variants.map(variant => variant.name))
  const result = await runFile({ path, name, variants, windows, scores, points, onBytes })
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
