import { createReadStream } from 'node:fs'
import { join, resolve } from 'node:path'
import { CsvParser } from '../lib/csv/parser.ts'
import { CsvProblem } from '../lib/csv/problem.ts'
import { dryRun } from '../lib/csv/read.ts'
import { Failure, runCommand } from '../lib/options.ts'
import { openProgress } from '../lib/progress.ts'
import { findInputs, type Input, type Inputs, withoutExtension } from './inputs.ts'
import { type Labels, type LabelWindow, readLabels, unusedNames, windowsOf } from './labels.ts'
import { type BacktestOptions, COMMAND, readOptions } from './options.ts'
import { writePlot } from './plot.ts'
import { PlotPoints } from './plot-points.ts'
import { renderAlerts, renderReport, renderWindows } from './report.ts'
import { type AlertResult, type InputReport, toJson, type WindowResult, windowResults } from './result.ts'
import { runFile } from './run-file.ts'
import { ScoreFile } from './score-file.ts'
import { addTally, createTally } from './tally.ts'
import { readVariants, type Variant } from './variant.ts'

/** Rejected rows that are described; the table counts all. */
const REJECTIONS_MAX = 5

/** Files of a folder whose columns are shown; problems and warnings of all are. */
const FILES_SHOWN = 20

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => backtest(readOptions(args)))

/** Runs all files and prints the result. Returns exit code 1 if a file had no sample. */
async function backtest(options: BacktestOptions): Promise<number> {
  const inputs = await findInputs(fromHere(options.input), options.input)
  if (options.isDryRun) return await dryRunInputs(inputs, options)
  const variants = await readVariants(options, fromHere)
  const labels = options.labels === undefined ? undefined : await readLabels(fromHere(options.labels), options.labels)
  if (labels?.kind === 'one' && inputs.isFolder) {
    throw new Failure(
      'these labels are for a single file; for a folder use {"file.csv": [[start, end]]} or file,start,end',
    )
  }
  const windows = labels === undefined ? undefined : findWindows(labels, inputs)
  const { result, rejections, empty } = await runInputs({ inputs, variants, windows, options })

  for (const rejection of rejections.slice(0, REJECTIONS_MAX)) process.stderr.write(`${rejection}\n`)
  if (options.isJson) {
    process.stdout.write(`${toJson(result, options.by)}\n`)
    return empty > 0 ? 1 : 0
  }
  const files = inputs.isFolder ? ` (${inputs.files.length} files)` : ''
  const head = [`${options.input}${files}`, ...renderInputs(result.inputs)].join('\n')
  const lists = { window: renderWindows, alert: renderAlerts }
  const list = options.by === undefined ? [] : [lists[options.by](result)]
  process.stdout.write(`${[head, ...list, renderReport(result.variants)].join('\n\n')}\n`)
  return empty > 0 ? 1 : 0
}

interface Run {
  readonly inputs: Inputs
  readonly variants: readonly Variant[]
  /** By file; undefined without labels. */
  readonly windows: ReadonlyMap<string, readonly LabelWindow[]> | undefined
  readonly options: BacktestOptions
}

async function runInputs(run: Run) {
  const { files } = run.inputs
  const variants = run.variants.map(({ name }) => ({ name, tally: createTally() }))
  const windows: WindowResult[] = []
  const alerts: AlertResult[] = []
  const rejections: string[] = []
  const inputs: InputReport[] = []
  let empty = 0
  using progress = openProgress({ output: process.stderr, total: files.reduce((sum, { bytes }) => sum + bytes, 0) })
  let bytesBefore = 0
  for (const input of files) {
    const { file } = input
    const result = await tolerate(input, run.inputs, () =>
      runInput(input, run, bytes => progress.update(bytesBefore + bytes, file)),
    )
    bytesBefore += input.bytes
    if (typeof result === 'string') {
      inputs.push({ file, lines: [`WARNING: ${result}`] })
      empty++
      continue
    }
    inputs.push({ file, lines: result.report })
    if (!result.hasSamples) empty++
    for (const [index, { name, tally }] of variants.entries()) {
      const fileRun = result.runs[index]
      if (fileRun === undefined) continue
      addTally(tally, fileRun.tally)
      alerts.push(...fileRun.alerts.map(alert => ({ variant: name, file, ...alert })))
    }
    windows.push(...windowResults(file, run.windows?.get(file) ?? [], result.runs))
    rejections.push(...result.rejections)
  }
  return { result: { variants, windows, alerts, inputs }, rejections, empty }
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

async function runInput(input: Input, run: Run, onBytes: (bytes: number) => void) {
  const { inputs, variants, options } = run
  const { path, file } = input
  const place = (given: string, extension: string): string =>
    inputs.isFolder ? join(fromHere(given), `${withoutExtension(file)}.${extension}`) : fromHere(given)
  const windows = run.windows?.get(file)
  const scoresAt = options.scores === undefined ? undefined : place(options.scores, 'csv')
  if (scoresAt === path) throw new Failure(`--scores would replace ${file}; give another place`)
  await using scores = scoresAt === undefined ? undefined : await ScoreFile.create(scoresAt, windows)
  const points = options.plot === undefined ? undefined : new PlotPoints(variants.map(variant => variant.name))
  const listsAlerts = options.by === 'alert'
  const given = { ...input, csv: options.csv, variants, windows, scores, points, listsAlerts, onBytes }
  const result = await runFile(given)
  if (options.plot !== undefined && points !== undefined) {
    await writePlot(place(options.plot, 'html'), { title: file, panels: points.panels(), windows: windows ?? [] })
    if (points.isFull) process.stderr.write(`${file} has too many keys for one plot: it shows the first ones\n`)
  }
  return result
}

/** Returns the windows of each file. Without labels, every flag in a file counts as false. */
function findWindows(labels: Labels, { files }: Inputs): Map<string, readonly LabelWindow[]> {
  const found = files.map(input => ({ file: input.file, windows: windowsOf(labels, input) }))
  const unlabelled = found.filter(({ windows }) => windows === undefined)
  const unused = unusedNames(labels, files)
  if (labels.kind === 'named' && unlabelled.length === files.length) {
    throw new Failure(`the labels contain none of these files; they are for ${unused.slice(0, 3).join(', ')}`)
  }
  warnOf(
    unlabelled.map(({ file }) => file),
    name => `no labels for ${name}: every flag and alert there counts as false`,
  )
  warnOf(unused, name => `the labels of ${name} are not used: there is no such file`)
  return new Map(found.map(({ file, windows }) => [file, windows ?? []]))
}

/** Prints a warning on files, by the name of the first one. */
function warnOf([first, ...others]: readonly string[], warning: (name: string) => string): void {
  if (first === undefined) return
  const more = others.length > 0 ? ` and ${others.length} more ${others.length === 1 ? 'file' : 'files'}` : ''
  process.stderr.write(`${warning(`${first}${more}`)}\n`)
}

/** Resolves a path against the caller's folder: npm runs scripts in the project's folder. */
function fromHere(path: string): string {
  return resolve(process.env.INIT_CWD ?? '.', path)
}
