import { toMilliseconds } from '@tidemark/shared/sample/timestamp'
import { parse } from 'csv-parse/sync'
import { z } from 'zod'
import { Failure } from '../lib/options.ts'
import { readText, withoutExtension } from './inputs.ts'

/** A time range with an anomaly: Unix milliseconds, both ends included. */
export interface LabelWindow {
  readonly start: number
  readonly end: number
}

/** Windows of one file, or of files by their names. */
export type Labels =
  | { readonly kind: 'one'; readonly windows: readonly LabelWindow[] }
  | { readonly kind: 'named'; readonly byName: ReadonlyMap<string, readonly LabelWindow[]> }

const time = z.union([z.string(), z.number()])
const pairs = z.array(
  z.union([z.tuple([time, time]), z.object({ start: time, end: time }).transform(({ start, end }) => [start, end])]),
)
const shape = z.union([pairs, z.record(z.string(), pairs)])
const points = z.record(z.string(), z.array(time))

const FORMS =
  'expected {"file.csv": [["start", "end"], ...]}, [["start", "end"], ...], or a CSV file with the columns start,end or file,start,end'

/** Reads labels from a JSON or a CSV file. */
export async function readLabels(path: string, name: string): Promise<Labels> {
  return parseLabels(await readText(path, `the labels ${name}`), name)
}

export function parseLabels(text: string, name: string): Labels {
  return /^\s*[[{]/.test(text) ? parseJson(text, name) : parseCsv(text, name)
}

/** What a file is called in an error, and the path by which labels may name it. */
interface LabelledFile {
  readonly file: string
  readonly path?: string
}

/**
 * Returns the windows of a file, if there are any. Labels may name it by the path below the given
 * folder, by a longer or a shorter path, and without the extension.
 */
export function windowsOf(labels: Labels, { file, path = file }: LabelledFile): readonly LabelWindow[] | undefined {
  if (labels.kind === 'one') return labels.windows
  const wanted = normalized(file)
  const whole = `/${normalized(path)}`
  const names = [...labels.byName.keys()].map(given => ({ given, name: normalized(given) }))
  const exact = names.find(({ name }) => name === wanted)
  const shorter = names.filter(({ name }) => whole.endsWith(`/${name}`))
  const longer = names.filter(({ name }) => name.endsWith(`/${wanted}`))
  const found = exact ?? shorter.toSorted((a, b) => b.name.length - a.name.length)[0]
  if (found === undefined && longer.length > 1) {
    const listed = longer.map(({ given }) => given).join(', ')
    throw new Failure(
      `the labels have several files that may be ${file}: ${listed}; give the folder that contains them`,
    )
  }
  const name = (found ?? longer[0])?.given
  return name === undefined ? undefined : labels.byName.get(name)
}

/** Returns the names in the labels that are none of the files. */
export function unusedNames(labels: Labels, files: readonly LabelledFile[]): string[] {
  if (labels.kind === 'one') return []
  const used = new Set(files.map(file => windowsOf(labels, file)))
  return [...labels.byName].filter(([, windows]) => !used.has(windows)).map(([name]) => name)
}

function normalized(name: string): string {
  return withoutExtension(name.replaceAll('\\', '/').replace(/^(?:\.?\/)+/, ''))
}

function parseJson(text: string, name: string): Labels {
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : ''
    throw new Failure(`the labels ${name} are not valid JSON: ${reason}`, { cause: error })
  }
  const parsed = shape.safeParse(given)
  if (!parsed.success) {
    const isPoints = points.safeParse(given).success
    const hint = isPoints ? 'they have single times; a window has two (in NAB: combined_windows.json)' : FORMS
    throw new Failure(`the labels ${name} have an unknown format: ${hint}`)
  }
  const windowsIn = (windows: z.output<typeof pairs>, where: string): LabelWindow[] =>
    sorted(windows.map(([from, to], index) => toWindow(from, to, `${where}window ${index + 1}`)))
  if (Array.isArray(parsed.data)) return { kind: 'one', windows: windowsIn(parsed.data, `the labels ${name}, `) }
  const named = Object.entries(parsed.data).map(([file, windows]) => {
    return [file, windowsIn(windows, `the labels ${name}, ${file}, `)] as const
  })
  return { kind: 'named', byName: new Map(named) }
}

const START = /^(?:start|begin|from)/i
const END = /^(?:end|until|to$|stop)/i
const FILE = /^(?:file|name|path|series)/i

function parseCsv(text: string, name: string): Labels {
  const options = { bom: true, trim: true, skip_empty_lines: true, relax_column_count: true, info: true }
  let rows: { readonly cells: string[]; readonly line: number }[]
  try {
    const parsed = parse(text, options) as unknown as { record: string[]; info: { lines: number } }[]
    rows = parsed.map(({ record, info }) => ({ cells: record, line: info.lines }))
  } catch (error) {
    throw new Failure(`the labels ${name} are neither JSON nor CSV: ${FORMS}`, { cause: error })
  }
  // The first line is a header if no cell is a time.
  const header = rows[0]?.cells.every(cell => toTime(cell) === undefined) === true ? rows.shift()?.cells : undefined
  const columns = columnsOf(header, rows[0]?.cells ?? [])
  const byName = new Map<string, LabelWindow[]>()
  for (const { cells, line } of rows) {
    const [start, end] = [cells[columns.start], cells[columns.end]]
    const where = `the labels ${name}:${line}`
    if (start === undefined || end === undefined) throw new Failure(`${where}: ${FORMS}`)
    const file = columns.file < 0 ? '' : (cells[columns.file] ?? '')
    const windows = byName.get(file) ?? []
    byName.set(file, windows)
    // A file without anomalies has a row with its name only.
    if (columns.file < 0 || start !== '' || end !== '') windows.push(toWindow(start, end, where))
  }
  if (columns.file < 0) return { kind: 'one', windows: sorted(byName.get('') ?? []) }
  return { kind: 'named', byName: new Map([...byName].map(([file, windows]) => [file, sorted(windows)])) }
}

/** Returns where the columns are: by their names, otherwise by what the first row has. */
function columnsOf(header: readonly string[] | undefined, first: readonly string[]) {
  const find = (pattern: RegExp): number => header?.findIndex(cell => pattern.test(cell)) ?? -1
  const named = { file: find(FILE), start: find(START), end: find(END) }
  if (named.start >= 0 && named.end >= 0) return named
  const hasFile = first.length > 2 && toTime(first[0] ?? '') === undefined
  return hasFile ? { file: 0, start: 1, end: 2 } : { file: -1, start: 0, end: 1 }
}

function toWindow(from: string | number | undefined, to: string | number | undefined, where: string): LabelWindow {
  const [start, end] = [toTime(from ?? ''), toTime(to ?? '')]
  const shown = JSON.stringify([from, to])
  if (start === undefined || end === undefined) {
    throw new Failure(`${where}: ${shown} must be two times, as Unix time or ISO 8601`)
  }
  if (end < start) throw new Failure(`${where}: ${shown} ends before it begins`)
  return { start, end }
}

function sorted(windows: readonly LabelWindow[]): LabelWindow[] {
  return windows.toSorted((a, b) => a.start - b.start)
}

function toTime(given: string | number): number | undefined {
  const isNumber = typeof given === 'string' && given !== '' && Number.isFinite(Number(given))
  return toMilliseconds(isNumber ? Number(given) : given)
}
