import { delimiterName } from './delimiter.ts'
import type { CsvParser } from './parser.ts'
import type { Table } from './table.ts'

const DAY_MS = 86_400_000

/** Tables and unused columns that are listed; more are counted. */
const TABLES_SHOWN = 5
const NAMES_SHOWN = 12

/** Describes how a file was read: a line for its columns and counts, then one for its format. */
export function describe(parser: CsvParser, defaultKey: string): string[] {
  const { profile, tables } = parser
  const [first] = tables
  if (first === undefined) return []
  const roles = [...new Set(tables.map(table => rolesOf(table, defaultKey)))]
  const counts = `${count(profile.samples, 'sample')}, ${count(profile.keys, 'key')}${spanOf(profile.from, profile.to)}`
  const [only = '', ...others] = roles
  if (others.length === 0) return [`${only}; ${counts}`, formatOf(parser, first)]
  const shown = roles.slice(0, TABLES_SHOWN)
  const more = roles.length > shown.length ? [`... and ${roles.length - shown.length} more tables`] : []
  return [...shown, ...more, counts, formatOf(parser, first)]
}

/** Describes the columns and the format of a file, as far as it was read. */
export function describeFormat(parser: CsvParser, defaultKey: string): string[] {
  const [first] = parser.tables
  return first === undefined ? [] : [rolesOf(first, defaultKey), formatOf(parser, first)]
}

/** Counts what is not a sample; empty if all is. */
export function describeRest({ profile, comments, repeatedHeaders }: CsvParser): string {
  const parts = [
    [profile.refused, 'refused'],
    [profile.missing, profile.missing === 1 ? 'cell without a value' : 'cells without a value'],
    [comments, comments === 1 ? 'comment' : 'comments'],
    [repeatedHeaders, repeatedHeaders === 1 ? 'repeated header' : 'repeated headers'],
  ] as const
  return parts
    .filter(([number]) => number > 0)
    .map(([number, what]) => `${number.toLocaleString('en-US')} ${what}`)
    .join(', ')
}

function rolesOf({ columns }: Table, defaultKey: string): string {
  const names = (list: readonly { name: string }[], mark: string): string => {
    const shown = list.slice(0, NAMES_SHOWN).map(({ name }) => (/[,;]/.test(name) ? `"${name}"` : name))
    return shown.join(mark) + (list.length > shown.length ? `${mark}... ${list.length - shown.length} more` : '')
  }
  const keyName = columns.key.length > 0 ? names(columns.key, '/') : undefined
  const key = columns.isWide
    ? `${keyName === undefined ? '' : `${keyName}/`}name of the column`
    : (keyName ?? `"${defaultKey}", the name of the file`)
  const unused = columns.unused.length > 0 ? `; not used: ${names(columns.unused, ', ')}` : ''
  return `time = ${names(columns.time, ' + ')}, value = ${names(columns.value, ', ')}, key = ${key}${unused}`
}

function formatOf(parser: CsvParser, table: Table): string {
  const { encoding, delimiter, isDelimiterGiven } = parser
  const label = encoding?.label.toUpperCase().replace('WINDOWS', 'windows') ?? ''
  const reason = encoding === undefined || encoding.reason === '' ? '' : ` (${encoding.reason})`
  const lines = table.preamble === 1 ? '1 line' : `${table.preamble} lines`
  const header = table.headerLine === 0 ? 'no header' : `header in line ${table.headerLine}`
  const units = [...new Set(table.numbers.map(({ unit }) => unit).filter(unit => unit !== ''))]
  return [
    `${label}${reason}`,
    `delimiter ${delimiterName(delimiter ?? '')}${isDelimiterGiven ? ' (as given)' : ''}`,
    header + (table.preamble > 0 ? ` and ${lines} beside it skipped` : ''),
    ...(table.numbers.some(({ decimal }) => decimal === ',') ? ['decimal comma'] : []),
    ...(units.length > 0 ? [`unit ${units.join(', ')}`] : []),
    `times as ${table.time.name}${zoneOf(parser, table)}`,
  ].join(', ')
}

function zoneOf({ zone, profile }: CsvParser, table: Table): string {
  if (profile.local === 0) return ''
  const folded =
    profile.folded > 0 ? ` (${profile.folded.toLocaleString('en-US')} in an hour that comes twice, by their order)` : ''
  return `; times without a zone are ${zone ?? table.zone?.name ?? table.offset?.name ?? 'UTC'}${folded}`
}

/** Days, or times if they are closer than two days. */
function spanOf(from: number, to: number): string {
  if (from > to) return ''
  const length = to - from >= 2 * DAY_MS ? 10 : 19
  const text = (time: number): string => new Date(time).toISOString().slice(0, length).replace('T', ' ')
  return from === to ? `, at ${text(from)}` : `, ${text(from)} to ${text(to)}`
}

function count(number: number, noun: string): string {
  return `${number.toLocaleString('en-US')} ${noun}${number === 1 ? '' : 's'}`
}
