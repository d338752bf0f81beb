import { toMilliseconds } from '@tidemark/shared/sample/timestamp'
import { parse } from 'csv-parse/sync'
import { z } from 'zod'
import { Failure } from '../lib/options.ts'
import { readText } from './inputs.ts'

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
const pairs = z.array(z.tuple([time, time]))
const shape = z.union([pairs, z.record(z.string(), pairs)])

const FORMS = 'expected {"file.csv": [["start", "end"], ...]}, [["start", "end"], ...] or a CSV file of lines start,end'

/** Reads labels from a JSON or a CSV file. */
export async function readLabels(path: string, name: string): Promise<Labels> {
  return parseLabels(await readText(path, `the labels ${name}`), name)
}

export function parseLabels(text: string, name: string): Labels {
  const isJson = /^\s*[[{]/.test(text)
  let given: unknown
  try {
    given = isJson ? JSON.parse(text) : parseCsv(text)
  } catch (error) {
    const reason = isJson ? `not valid JSON: ${error instanceof Error ? error.message : ''}` : 'neither JSON nor CSV'
    throw new Failure(`the labels ${name} are ${reason}`, { cause: error })
  }
  const parsed = shape.safeParse(given)
  if (!parsed.success) throw new Failure(`the labels ${name} have an unknown format: ${FORMS}`)
  if (Array.isArray(parsed.data)) return { kind: 'one', windows: toWindows(parsed.data, name) }
  const named = Object.entries(parsed.data).map(([file, windows]) => [file, toWindows(windows, name)] as const)
  return { kind: 'named', byName: new Map(named) }
}

/** Returns the windows of a file, if there are any. Labels may use a longer or a shorter path. */
export function windowsOf(labels: Labels, file: string): readonly LabelWindow[] | undefined {
  if (labels.kind === 'one') return labels.windows
  const isSame = (name: string): boolean => name.endsWith(`/${file}`) || file.endsWith(`/${name}`)
  return labels.byName.get(file) ?? [...labels.byName].find(([name]) => isSame(name))?.[1]
}

function parseCsv(text: string): string[][] {
  const options = { bom: true, trim: true, skip_empty_lines: true, relax_column_count: true }
  const rows: string[][] = parse(text, options)
  // The first line is a header if neither cell is a time.
  const isHeader = rows[0]?.every(cell => toTime(cell) === undefined) ?? false
  return (isHeader ? rows.slice(1) : rows).map(row => row.slice(0, 2))
}

function toWindows(given: z.output<typeof pairs>, name: string): LabelWindow[] {
  return given
    .map(([from, to]) => {
      const [start, end] = [toTime(from), toTime(to)]
      const shown = JSON.stringify([from, to])
      if (start === undefined || end === undefined) {
        throw new Failure(`the labels ${name}: ${shown} must be two times, as Unix time or ISO 8601`)
      }
      if (end < start) throw new Failure(`the labels ${name}: ${shown} ends before it begins`)
      return { start, end }
    })
    .toSorted((a, b) => a.start - b.start)
}

function toTime(given: string | number): number | undefined {
  const isNumber = typeof given === 'string' && given !== '' && Number.isFinite(Number(given))
  return toMilliseconds(isNumber ? Number(given) : given)
}
