import {
  hasTimeWord,
  isElapsedName,
  isFieldName,
  isHourName,
  isIdName,
  isKeyName,
  isMillisecondName,
  isNamed,
  isRecordId,
  normalName,
  rankOf,
} from './names.ts'
import { isMissing, isNumeric, unitOf } from './number-format.ts'
import { CsvProblem } from './problem.ts'
import { isUnix, mostFrequent } from './time-format.ts'
import { dateKind, isTimeOfDay, isWithoutZone, withoutZoneName } from './time-text.ts'

/** Columns that the user names, by their header or by their number from 1. */
export interface GivenColumns {
  readonly time?: readonly string[] | undefined
  readonly value?: readonly string[] | undefined
  readonly key?: readonly string[] | undefined
  /** Whether a text is a time of the given format; undefined without one. */
  readonly isTime?: ((text: string) => boolean) | undefined
}

export interface Column {
  readonly index: number
  readonly name: string
}

/** What each column of a table is taken for. */
export interface Columns {
  /** One column, or a date and a time of day, which are joined by a blank. */
  readonly time: readonly Column[]
  readonly value: readonly Column[]
  /** Joined by slashes. */
  readonly key: readonly Column[]
  /** Whether the name of the value column is (the end of) the key. */
  readonly isWide: boolean
  readonly unused: readonly Column[]
}

type Kind = 'empty' | 'number' | 'date' | 'datetime' | 'clock' | 'text'

interface Facts extends Column {
  /** As names are compared; empty without a header. */
  readonly normal: string
  readonly kind: Kind
  /** Those that are not missing. */
  readonly cells: readonly string[]
  readonly distinct: number
  readonly isInteger: boolean
  /** Numbers that grow by one from row to row. */
  readonly isCounting: boolean
  /** Unix times of the years from 1990 to 2100. */
  readonly isPlausibleTime: boolean
}

const COMPACT_CLOCK = /^(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?$/

const ZONE = /^(?:Z|UTC|GMT|[+-]\d\d:\d\d)$/

/** Texts of two states, which are measured and name nothing. */
const STATES =
  /^(?:on|off|true|false|yes|no|y|n|t|f|open|opened|closed?|ok|nok|error|fail(?:ed)?|up|down|active|inactive|an|aus|ja|nein|auf|zu|oui|non|home|not_home)$/i

/** What a column of the given format is surer by than any other. */
const OF_FORMAT = 200

/** What a local time loses to, if there is one in UTC. */
const LOCAL = -12

/** The least and the greatest of year, month, day, hour, minute and second. */
const FIELD_RANGES: readonly (readonly [number, number])[] = [
  [1970, 2200],
  [1, 12],
  [1, 31],
  [0, 24],
  [0, 59],
  [0, 59],
]

/** Rows from which on a text that is different in each of them is no key. */
const UNIQUE_ROWS_MIN = 5

/** How many rows of the least frequent text there must be for each row of the most frequent one. */
const BALANCE = 0.25

/** Decides what the columns are, from a header, if there is one, and the first rows. */
export function chooseColumns(
  header: readonly string[] | undefined,
  rows: readonly (readonly string[])[],
  given: GivenColumns,
): Columns {
  const facts = factsOf(header, rows)
  const find = (option: string, names: readonly string[]) => names.map(name => findColumn(facts, name, option))
  const time =
    given.time === undefined
      ? withZone(withMilliseconds(chooseTime(facts, header !== undefined, given.isTime), facts, rows), facts)
      : find('--time', given.time)
  const free = facts.filter(one => !time.includes(one))
  const givenKey = given.key === undefined ? undefined : find('--key', given.key.join() === 'none' ? [] : given.key)
  const candidates = free.filter(one => !(givenKey ?? []).includes(one))
  const value =
    given.value === undefined ? chooseValues(candidates, header !== undefined) : find('--value', given.value)
  const rest = free.filter(one => !value.includes(one))
  const key = givenKey ?? chooseKeys(rest, { rows, time, hasHeader: header !== undefined })
  const used = new Set<Column>([...time, ...value, ...key])
  const unused = facts.filter(one => !used.has(one) && !(one.kind === 'empty' && one.normal === ''))
  return { time, value, key, isWide: value.length > 1, unused }
}

function factsOf(header: readonly string[] | undefined, rows: readonly (readonly string[])[]): Facts[] {
  const width = header?.length ?? Math.max(0, ...rows.map(row => row.length))
  const names = header ?? []
  return Array.from({ length: width }, (_, index) => {
    const cells = rows.map(row => row[index] ?? '').filter(cell => !isMissing(cell))
    const kind = kindOf(cells)
    const given = names[index] ?? ''
    // Two columns of one name would be one key.
    const name =
      given === '' ? `column ${index + 1}` : names.indexOf(given) === index ? given : `${given} (column ${index + 1})`
    const numbers = kind === 'number' ? cells.map(cell => Number(cell.replace(',', '.'))) : []
    const isCounting =
      numbers.length > 1 && numbers.every((number, at) => at === 0 || number === (numbers[at - 1] ?? 0) + 1)
    return {
      index,
      name: name.replaceAll(/\s+/g, ' '),
      normal: normalName(given),
      kind,
      cells,
      distinct: new Set(cells).size,
      isInteger: numbers.length > 0 && numbers.every(Number.isInteger),
      isCounting,
      isPlausibleTime:
        cells.filter((cell, at) => isUnix(cell) && isPlausibleUnix(numbers[at] ?? 0)).length > 0.75 * cells.length,
    }
  })
}

function kindOf(cells: readonly string[]): Kind {
  if (cells.length === 0) return 'empty'
  const kinds = cells.map((cell): Kind => {
    if (isNumeric(cell)) return 'number'
    return dateKind(withoutZoneName(cell)) ?? (isTimeOfDay(cell) ? 'clock' : unitOf(cell) === '' ? 'text' : 'number')
  })
  return mostFrequent(kinds) ?? 'text'
}

function isPlausibleUnix(time: number): boolean {
  const isBetween = (unit: number): boolean => time >= 6.3e8 * unit && time < 4.1e9 * unit
  return [1, 1e3, 1e6, 1e9].some(isBetween)
}

function findColumn(facts: readonly Facts[], name: string, option: string): Facts {
  const lower = name.toLowerCase()
  const found =
    facts.find(one => one.name === name) ??
    facts.find(one => one.name.toLowerCase() === lower || (one.normal !== '' && one.normal === normalName(name))) ??
    (/^#?\d+$/.test(name) ? facts[Number(name.replace('#', '')) - 1] : undefined)
  if (found !== undefined) return found
  throw new CsvProblem(`${option}: there is no column ${name}; ${listOf(facts)}`)
}

/** Says which columns there are. */
function listOf(facts: readonly Facts[]): string {
  const shown = facts
    .slice(0, 20)
    .map(({ name, kind, cells }) => `${name} (${kind === 'empty' ? 'empty' : cells[0]?.slice(0, 24)})`)
  return `the columns are ${shown.join(', ')}${facts.length > shown.length ? ', ...' : ''}`
}

function chooseTime(facts: readonly Facts[], hasHeader: boolean, isTime: GivenColumns['isTime']): Facts[] {
  const isOfFormat = ({ cells }: Facts): boolean =>
    isTime !== undefined && cells.length > 0 && cells.filter(isTime).length * 2 > cells.length
  const scored = facts.map(one => ({ one, score: timeScore(one) + (isOfFormat(one) ? OF_FORMAT : 0) }))
  const best = scored.reduce((a, b) => (b.score > a.score ? b : a), { one: undefined as Facts | undefined, score: 0 })
  // A date in one column and the time of day in another, unless one column has both.
  const clock =
    facts.find(one => one.kind === 'clock') ??
    facts.find(isDottedClock) ??
    facts.find(isCompactClock) ??
    facts.find(isHour)
  const date = facts.find(one => one.kind === 'date' && one !== clock) ?? facts.find(isCompactDate)
  if (clock !== undefined && date !== undefined && best.score < 90) return [date, clock]
  const fields = fieldsOf(facts)
  if (fields.length >= 3 && best.score < 50) return fields
  if (best.one !== undefined) return [best.one]
  const [first, second] = facts
  // With names of something else above them, the first of two numbers is no time.
  const isByPosition =
    first?.kind === 'number' && second !== undefined && (!hasHeader || first.normal === '') && isAscending(first)
  if (isByPosition) return [first]
  if (clock?.kind === 'clock')
    throw new CsvProblem(
      `${clock.name} has times of day and no column has a date; ${listOf(facts)}; --time names the column, --time-format its format`,
    )
  throw new CsvProblem(
    `no column looks like a time; ${listOf(facts)}; --time names the column, --time-format its format`,
  )
}

/** Returns the columns of year, month and day, and those of the time of day that follow. */
function fieldsOf(facts: readonly Facts[]): Facts[] {
  const fields: Facts[] = []
  for (let field = 0; field < 6; field++) {
    const [low, high] = FIELD_RANGES[field] ?? [0, 0]
    const found = facts.find(
      ({ normal, isInteger, cells }) =>
        isInteger && isFieldName(normal, field) && cells.every(cell => Number(cell) >= low && Number(cell) <= high),
    )
    if (found === undefined) break
    fields.push(found)
  }
  return fields
}

function isAscending({ cells }: Facts): boolean {
  return cells.every((cell, at) => at === 0 || Number(cell) >= Number(cells[at - 1]))
}

/**
 * Adds a column of milliseconds to times of whole seconds. A column called `ms` may be a duration,
 * too: it counts only if it orders samples of the same second.
 */
function withMilliseconds(time: Facts[], facts: readonly Facts[], rows: readonly (readonly string[])[]): Facts[] {
  const last = time.at(-1)
  if (last === undefined || !last.cells.every(cell => /:\d\d:\d\d$/.test(cell))) return time
  const isOrdering = ({ index }: Facts): boolean => {
    const pairs = rows
      .slice(1)
      .map((row, at) => [rows[at] ?? [], row] as const)
      .filter(([before, row]) => time.every(one => before[one.index] === row[one.index]))
    return pairs.length > 0 && pairs.every(([before, row]) => Number(before[index]) <= Number(row[index]))
  }
  const found = facts.find(
    one =>
      one.isInteger &&
      isMillisecondName(one.normal, false) &&
      one.cells.every(cell => /^\d{1,3}$/.test(cell)) &&
      (isMillisecondName(one.normal, true) || isOrdering(one)),
  )
  const hasValue = facts.some(one => one.kind === 'number' && one !== found && !time.includes(one) && !isRowNumber(one))
  return found !== undefined && hasValue ? [...time, found] : time
}

/** Adds a column of offsets, such as +01:00, to a time that has none. */
function withZone(time: Facts[], facts: readonly Facts[]): Facts[] {
  const zone = facts.find(({ kind, cells }) => kind === 'text' && cells.every(cell => ZONE.test(cell)))
  const last = time.at(-1)
  return zone !== undefined && last?.kind !== 'number' && last?.cells.every(isWithoutZone) ? [...time, zone] : time
}

/** How sure it is that a column is the time of the sample; 0 if it is not. */
function timeScore(facts: Facts): number {
  const { index, kind, name, normal, isPlausibleTime, isCounting } = facts
  const rank = rankOf(normal, 'time')
  const isNamedTime = rank >= 0 || hasTimeWord(normal)
  // Among equals, the names decide: a name of the list is surer than a word in it.
  const isLocal = /(^|[^a-z])lo[ck]al/i.test(name)
  const named = isNamed(normal, 'other-time') ? -30 : rank >= 0 ? 9 - rank / 20 : isNamedTime ? 2 : 0
  const byName = isLocal ? named + LOCAL : named
  if (kind === 'datetime') return 100 + byName
  if (kind === 'number' && isPlausibleTime && isNamedTime) return 95 + byName
  if (kind === 'number' && isPlausibleTime && !isCounting && !isNamed(normal, 'value') && !isNamed(normal, 'key'))
    return 60 + byName
  if (kind === 'date') return 50 + byName
  if (kind === 'number' && isNamedTime) return 30 + byName
  return kind === 'number' && index === 0 && isElapsedName(normal) && isAscending(facts) ? 25 : 0
}

function isCompactDate({ kind, normal, cells }: Facts): boolean {
  return kind === 'number' && hasTimeWord(normal) && cells.every(cell => /^(19|20)\d{6}$/.test(cell))
}

/** A time of day with points, such as 18.00.00, which is also the form of a date. */
function isDottedClock({ kind, normal, cells }: Facts): boolean {
  return (
    kind === 'date' &&
    /time|zeit|heure|hora|ora|tijd|tid/.test(normal) &&
    cells.every(cell => /^(?:[01]?\d|2[0-3])\.[0-5]\d\.[0-5]\d$/.test(cell))
  )
}

/** Digits such as 120500, or an hour of the day, which are a time of day beside a date only. */
function isCompactClock({ kind, normal, cells }: Facts): boolean {
  return kind === 'number' && hasTimeWord(normal) && cells.every(cell => COMPACT_CLOCK.test(cell))
}

function isHour({ isInteger, normal, cells }: Facts): boolean {
  return isInteger && isHourName(normal) && cells.every(cell => Number(cell) >= 0 && Number(cell) <= 24)
}

function chooseValues(facts: readonly Facts[], hasHeader: boolean): Facts[] {
  const all = facts.filter(({ kind }) => kind === 'number')
  // Of two rows, 1 and 2 may be values; beside another number they count the rows.
  const isCount = (one: Facts): boolean => one.index === 0 && one.isCounting && all.length > 1 && one.cells[0] === '1'
  const numbers = all.filter(one => !((isRowNumber(one) || isCount(one)) && (hasHeader || one.index === 0)))
  const named = numbers
    .filter(({ normal }) => isNamed(normal, 'value'))
    .toSorted((a, b) => rankOf(a.normal, 'value') - rankOf(b.normal, 'value'))
  const [first] = named
  const measured = numbers.filter(one => !isNumericKey(one) && !isNamed(one.normal, 'label') && !isOtherTime(one))
  const isSure = first !== undefined && (measured.length < 2 || !['v', 'y', 'sample'].includes(first.normal))
  if (isSure) return [first]
  const usable = measured.length > 0 ? measured : numbers.filter(one => !isOtherTime(one))
  if (usable.length === 0)
    throw new CsvProblem(`no column has numbers for the value; ${listOf(facts)}; --value names the column`)
  if (usable.length > 1 && !hasHeader) {
    const columns = usable.map(one => one.index + 1).join(',')
    throw new CsvProblem(
      `there is no header, and ${usable.length} columns have numbers: series of their own, or a decimal comma between commas? ${listOf(facts)}; --value ${columns} reads a key per column, --value and --key name a value and a key`,
    )
  }
  const times = usable.filter(({ name }) => isTimeOfDay(name) || dateKind(name) !== undefined)
  if (times.length > 1 && times.length * 2 > usable.length) {
    throw new CsvProblem(
      `${times.length} columns are named by times (${times[0]?.name}, ${times[1]?.name}, ...): write a row for each of them, with a column for the time (unpivot), or name the columns that are series with --value`,
    )
  }
  // A column that is empty so far may have values later.
  const isLater = ({ kind, normal }: Facts): boolean =>
    kind === 'empty' &&
    normal !== '' &&
    !isNamed(normal, 'key') &&
    !isNamed(normal, 'note') &&
    !isNamed(normal, 'label')
  return usable.length > 1 ? facts.filter(one => usable.includes(one) || isLater(one)) : usable
}

function isRowNumber({ index, normal, isCounting, isInteger, cells, distinct }: Facts): boolean {
  const isUnique = distinct === cells.length && cells.length >= UNIQUE_ROWS_MIN
  if (index === 0 && isCounting && cells.length > 2 && Number(cells[0]) <= 1) return true
  return isInteger && (isIdName(normal) || normal === '') && (isCounting || (isUnique && isRecordId(normal)))
}

/** Whether a column has integers that name series: each occurs several times. */
function isNumericKey({ normal, isInteger, cells, distinct }: Facts): boolean {
  const isRepeated = distinct * 2 <= cells.length || cells.length < UNIQUE_ROWS_MIN
  return isInteger && isRepeated && (isNamed(normal, 'key') || isRecordId(normal))
}

function isOtherTime({ normal, isPlausibleTime }: Facts): boolean {
  return isPlausibleTime && (hasTimeWord(normal) || isNamed(normal, 'time') || isNamed(normal, 'other-time'))
}

interface KeyContext {
  readonly rows: readonly (readonly string[])[]
  readonly time: readonly Column[]
  readonly hasHeader: boolean
}

function chooseKeys(facts: readonly Facts[], { rows, time, hasHeader }: KeyContext): Facts[] {
  const isInflux = facts.some(({ normal }) => normal === '_measurement' || normal === '_field')
  const isUnique = ({ distinct, cells }: Facts): boolean => distinct === cells.length && cells.length >= UNIQUE_ROWS_MIN
  const named = facts.filter(one => {
    const { normal, kind } = one
    if (!isKeyName(normal) || isNamed(normal, 'note') || isRowNumber(one))
      return isInflux && kind === 'text' && !isNamed(normal, 'note')
    if ((isNamed(normal, 'weak-key') || !isNamed(normal, 'key')) && isUnique(one)) return false
    return kind === 'text' || isNumericKey(one) || (kind === 'empty' && isInflux)
  })
  // Without a header, a text that stands beside time and value names the series.
  const texts = facts.filter(one => !hasHeader && one.kind === 'text' && !one.cells.every(cell => STATES.test(cell)))
  const byPosition = texts.filter(one => one.index === 2 || (texts.length === 1 && !isUnique(one)))
  const chosen = named.length > 0 ? named : byPosition
  const others = facts.filter(one => !chosen.includes(one) && one.kind === 'text' && !isNamed(one.normal, 'note'))
  const varied = others.filter(
    ({ distinct, cells }) => distinct > 1 && distinct * 2 <= cells.length && !cells.every(cell => STATES.test(cell)),
  )
  const isRepeated = hasRepeatedTimes(rows, [...time, ...chosen])
  const added = varied.filter(one => isRepeated || (chosen.length === 0 && isBalanced(one)))
  // A number is a part of the key only if it distinguishes rows of one time.
  const numbers = facts.filter(
    ({ isInteger, distinct, cells }) => isInteger && distinct > 1 && distinct * 2 <= cells.length,
  )
  const isNeeded = hasRepeatedTimes(rows, [...time, ...chosen, ...added])
  const informative = numbers
    .filter(one => isNeeded && !hasRepeatedTimes(rows, [...time, ...chosen, ...added, one]))
    .slice(0, 1)
  return facts.filter(one => [chosen, added, informative].some(list => list.includes(one)))
}

/** Whether rows share their time and key, so that another column must distinguish them. */
function hasRepeatedTimes(rows: readonly (readonly string[])[], columns: readonly Column[]): boolean {
  const seen = new Set(rows.map(row => columns.map(({ index }) => row[index]).join('\n')))
  return seen.size < 0.9 * rows.length
}

/** Whether texts alternate and are about equally frequent, as those of series: a status is not. */
function isBalanced({ cells }: Facts): boolean {
  const counts = new Map<string, number>()
  for (const cell of cells) counts.set(cell, (counts.get(cell) ?? 0) + 1)
  const all = [...counts.values()]
  const changes = cells.filter((cell, index) => index > 0 && cell !== cells[index - 1]).length
  return Math.min(...all) >= BALANCE * Math.max(...all) && changes * 3 >= cells.length
}
