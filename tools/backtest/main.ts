import { join, resolve } from 'node:path'
import { BacktestFailure } from './failure.ts'
import { findInputs, type Input, type Inputs } from './inputs.ts'
import { type Labels, type LabelWindow, readLabels, windowsOf } from './labels.ts'
import { type BacktestOptions, HELP, parseBacktest } from './options.ts'
import { writePlot } from './plot.ts'
import { PlotPoints } from './plot-points.ts'
import { openProgress } from './progress.ts'
import { renderReport } from './report.ts'
import { type FileResult, runFile } from './run-file.ts'
import { ScoreFile } from './score-file.ts'
import { addTally, createTally } from './tally.ts'
import { detectorVariant, rulesVariant, type Variant } from './variant.ts'

/** Refused rows that are named; the table counts all. */
const REFUSALS_MAX = 5

process.exitCode = await main()

async function main(): Promise<number> {
  const command = parseBacktest(process.argv.slice(2))
  switch (command.kind) {
    case 'help':
      process.stdout.write(HELP)
      return 0
    case 'wrong':
      process.stderr.write(`${command.reason}. --help shows what there is.\n`)
      return 2
    case 'backtest':
      try {
        return await backtest(command.options)
      } catch (error) {
        if (!(error instanceof BacktestFailure)) throw error
        process.stderr.write(`${error.message}\n`)
        return 1
      }
  }
}

/** Runs all files and prints the table; the exit code is 1 when there was nothing to judge. */
async function backtest(options: BacktestOptions): Promise<number> {
  const inputs = await findInputs(fromHere(options.input), options.input)
  const variants = [
    ...options.detectors.map(detectorVariant),
    ...(await Promise.all(options.rules.map(name => rulesVariant(fromHere(name), name)))),
  ]
  const labels = options.labels === undefined ? undefined : await readLabels(fromHere(options.labels), options.labels)
  if (labels?.kind === 'one' && inputs.isFolder) {
    throw new BacktestFailure('the labels are those of one file; of a folder they are {"file.csv": [[start, end]]}')
  }

  const windowsByFile = labels === undefined ? undefined : findWindows(labels, inputs)

  const totals = variants.map(createTally)
  const refusals: string[] = []
  const progress = openProgress(
    process.stderr,
    inputs.files.reduce((sum, { bytes }) => sum + bytes, 0),
  )
  let bytesBefore = 0
  for (const input of inputs.files) {
    const windows = windowsByFile?.get(input.file)
    const onBytes = (bytes: number): void => progress.update(bytesBefore + bytes, input.file)
    const result = await runInput({ input, inputs, variants, windows, options, onBytes })
    for (const [index, tally] of result.tallies.entries()) addTally(totals[index] ?? createTally(), tally)
    refusals.push(...result.refusals)
    bytesBefore += input.bytes
  }
  progress.end()

  for (const refusal of refusals.slice(0, REFUSALS_MAX)) process.stderr.write(`${refusal}\n`)
  const files = inputs.isFolder ? ` (${inputs.files.length} files)` : ''
  const lines = variants.map(({ name }, index) => ({ name, tally: totals[index] ?? createTally() }))
  process.stdout.write(`${options.input}${files}\n\n${renderReport(lines)}\n`)
  const [first] = totals
  return first !== undefined && first.samples > 0 ? 0 : 1
}

interface InputRun {
  readonly input: Input
  readonly inputs: Inputs
  readonly variants: readonly Variant[]
  readonly windows: readonly LabelWindow[] | undefined
  readonly options: BacktestOptions
  readonly onBytes: (bytes: number) => void
}

async function runInput({ input, inputs, variants, windows, options, onBytes }: InputRun): Promise<FileResult> {
  const { path, file, name } = input
  const place = (given: string, ending: string): string =>
    inputs.isFolder ? join(fromHere(given), ending === 'csv' ? file : file.replace(/csv$/i, ending)) : fromHere(given)
  await using scores = options.scores === undefined ? undefined : await ScoreFile.create(place(options.scores, 'csv'))
  const points = options.plot === undefined ? undefined : new PlotPoints(variants.map(variant => variant.name))
  const result = await runFile({ path, name, variants, windows, scores, points, onBytes })
  if (options.plot !== undefined && points !== undefined) {
    await writePlot(place(options.plot, 'html'), { title: file, panels: points.panels(), windows: windows ?? [] })
    if (points.isFull) process.stderr.write(`${file} has more keys than a plot has room for; the first are shown\n`)
  }
  return result
}

/** The windows of each file. One that the labels do not name has none: whatever is flagged in it is wrong. */
function findWindows(labels: Labels, { files }: Inputs): Map<string, readonly LabelWindow[]> {
  const found = files.map(({ file }) => ({ file, windows: windowsOf(labels, file) }))
  const unlabelled = found.filter(({ windows }) => windows === undefined)
  if (labels.kind === 'named' && unlabelled.length === files.length) {
    const names = [...labels.byName.keys()].slice(0, 3).join(', ')
    throw new BacktestFailure(`the labels name none of these files; they name ${names}`)
  }
  const [first] = unlabelled
  if (first !== undefined) {
    const others = unlabelled.length > 1 ? ` and ${unlabelled.length - 1} more` : ''
    process.stderr.write(`the labels do not name ${first.file}${others}: all that is flagged there counts as wrong\n`)
  }
  return new Map(found.map(({ file, windows }) => [file, windows ?? []]))
}

/** npm runs its scripts in the project's folder, wherever it was called. */
function fromHere(path: string): string {
  return resolve(process.env.INIT_CWD ?? '.', path)
}
