import { readFile } from 'node:fs/promises'
import { toMilliseconds } from '@tidemark/shared/sample/sample'
import { parse } from 'csv-parse/sync'
import { z } from 'zod'
import { BacktestFailure } from './failure.ts'

/** A time in which something was wrong: Unix milliseconds, both ends included. */
export interface LabelWindow {
  readonly start: number
  readonly end: number
}

/** Windows of one file, or of files by their names. */
export type Labels =
  | { readonly kind: 'one'; readonly windows: readonly LabelWindow[] }
  | { readonly kind: 'named'; readonly byName: ReadonlyMap<string, readonly LabelWindow[]> }

const time = z.union([z.string(), z.number()])
const pairs = z.array(z.tuple([time, time]))
const shape = z.union([pairs, z.record(z.string(), pairs)])

const FORMS = 'it is {"file.csv": [["start", "end"], ...]}, [["start", "end"], ...], or a CSV file of lines start,end'

/** Reads labels from a JSON or a CSV file. */
export async function readLabels(path: string, name: string): Promise<Labels> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new BacktestFailure(`cannot read the labels ${name}: there is no such file, or it may not be read`, {
      cause: error,
    })
  }
  return parseLabels(text, name)
}

export function parseLabels(text: string, name: string): Labels {
  const isJson = /^\s*[[{]/.test(text)
  const parsed = shape.safeParse(isJson ? parseJson(text, name) : parseCsv(text, name))
  if (!parsed.success) throw new BacktestFailure(`the labels ${name} cannot be understood: ${FORMS}`)
  if (Array.isArray(parsed.data)) return { kind: 'one', windows: toWindows(parsed.data, name) }
  const named = Object.entries(parsed.data).map(([file, windows]) => [file, toWindows(windows, name)] as const)
  return { kind: 'named', byName: new Map(named) }
}

/**
 * The windows of a file, given by its path below the folder that is judged (or by its name alone). A label that names more
 * folders, or fewer, is the file's as well. Undefined when the labels say nothing of it.
 */
export function windowsOf(labels: Labels, file: string): readonly LabelWindow[] | undefined {
  if (labels.kind === 'one') return labels.windows
  const exact = labels.byName.get(file)
  if (exact !== undefined) return exact
  const ending = [...labels.byName].find(([name]) => name.endsWith(`/${file}`) || file.endsWith(`/${name}`))
  return ending?.[1]
}

function parseJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new BacktestFailure(`the labels ${name} are no JSON: ${error instanceof Error ? error.message : ''}`, {
      cause: error,
    })
  }
}

function parseCsv(text: string, name: string): unknown {
  let rows: string[][]
  try {
    rows = parse(text, { bom: true, trim: true, skip_empty_lines: true, relax_column_count: true })
  } catch (error) {
    throw new BacktestFailure(`the labels ${name} are neither JSON nor CSV`, { cause: error })
  }
  // The first line is a header when neither cell is a time.
  const isHeader = rows[0]?.every(cell => toTime(cell) === undefined) ?? false
  return (isHeader ? rows.slice(1) : rows).map(row => row.slice(0, 2))
}

function toWindows(given: z.output<typeof pairs>, name: string): LabelWindow[] {
  return given
    .map(([from, to]) => {
      const [start, end] = [toTime(from), toTime(to)]
      const shown = JSON.stringify([from, to])
      if (start === undefined || end === undefined) {
        throw new BacktestFailure(`the labels ${name}: ${shown} are not two times: Unix time or ISO 8601`)
      }
      if (end < start) throw new BacktestFailure(`the labels ${name}: ${shown} ends before it begins`)
      return { start, end }
    })
    .toSorted((a, b) => a.start - b.start)
}

function toTime(given: string | number): number | undefined {
  const isNumber = typeof given === 'string' && given !== '' && Number.isFinite(Number(given))
  return toMilliseconds(isNumber ? Number(given) : given)
}
