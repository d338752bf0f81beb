import { parseJson } from '../../http/json-body.ts'
import { formatPosition, positionsIn, type TextPosition } from '../../http/text-position.ts'
import { type Batch, quote } from './batch.ts'
import { ruleOf } from './fields.ts'
import { readItem } from './item.ts'
import { type Damage, ObjectScanner, type ScannedObject } from './scan-object.ts'

/** Between items: also padding with zero bytes, byte order marks and the marks of RFC 7464. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they occur
const SEPARATORS = /[\s,[\]\0\u001e]*/y

/** Members of a load report that are samples of their own. */
const LOAD_MEMBERS: ReadonlySet<string> = new Set(['cpu', 'rps'])

/** Members of a report. As names of metrics they show that a brace was lost. */
const REPORT_MEMBERS = ['device', 'timestamp', 'metrics'] as const

interface Reading {
  readonly batch: Batch
  readonly index: number
  readonly positionOf: (offset: number) => TextPosition
}

/**
 * Reads a text that is not JSON, from `start` on: an array, or objects in sequence with or without
 * separators. Items are read where they are intact; each damage is a rejection with its position.
 * Returns the number of objects. It takes linear time, and only requests that failed take it.
 */
export function readDamaged(text: string, batch: Batch, { start = 0, isLines = hasObjectLines(text) } = {}): number {
  const positionOf = positionsIn(text)
  const scanner = new ObjectScanner(text)
  let objects = 0
  let items = 0
  let isAfterDamage = false
  for (let at = skipSeparators(text, start); at < text.length && !batch.isTooLarge; at = skipSeparators(text, at)) {
    const index = isLines ? positionOf(at).line - 1 : items
    if (text[at] === '{') {
      const scanned = scanner.scan(at)
      readScanned(text.slice(at, scanned.end), scanned, { batch, index, positionOf })
      at = scanned.end
      isAfterDamage = scanned.damages.length > 0
      objects++
      items++
      continue
    }
    // The rest of a damaged item belongs to it.
    if (!isAfterDamage) {
      batch.reject({ index }, 'shape', `the text at ${formatPosition(positionOf(at))} is not a JSON object`)
      items++
    }
    at = endOfJunk(text, at, isAfterDamage)
    if (text[at] === '\n') isAfterDamage = false
  }
  return objects
}

function readScanned(text: string, { damages, members, metrics }: ScannedObject, reading: Reading): void {
  const { batch, index } = reading
  if (damages.length === 0) {
    readItem(parseJson(text) ?? parseJson(toJson(members, metrics)), index, batch)
    return
  }
  const isLoadReport = metrics === undefined && !members.has('key')
  const isLocal = ({ kind, name = '', inMetrics }: Damage): boolean =>
    inMetrics || (kind === 'cut' ? metrics !== undefined && name === '' : isLoadReport && LOAD_MEMBERS.has(name))
  const isCut = damages.at(-1)?.kind === 'cut'
  const isGarbled = isCut && REPORT_MEMBERS.some(name => metrics?.has(name))
  const readable = metrics ?? (isLoadReport ? members : undefined)
  if (readable === undefined || isGarbled || !damages.every(isLocal)) {
    const decisive = damages.find(damage => !isLocal(damage)) ?? damages[0]
    const damage = isCut ? damages.at(-1) : decisive
    if (damage !== undefined) batch.reject({ index }, ruleOf(damage.name), describe(damage, reading))
    return
  }
  for (const damage of damages) {
    const { kind, name, inMetrics } = damage
    const isLate = kind === 'cut' && !members.has('timestamp')
    const note = isLate ? ': no timestamp precedes, so its metrics get the time of arrival' : ''
    const metric = inMetrics && name !== undefined ? { metric: name } : {}
    const member = inMetrics ? { ...damage, name: 'value' } : damage
    batch.reject({ index, ...metric }, inMetrics ? 'value' : ruleOf(name), `${describe(member, reading)}${note}`)
  }
  const isEmpty = metrics === undefined ? !LOAD_MEMBERS.values().some(name => members.has(name)) : metrics.size === 0
  if (!isEmpty) readItem(parseJson(toJson(members, metrics)), index, batch)
}

/** Returns an object of the intact members, as JSON. */
function toJson(members: ScannedObject['members'], metrics: ScannedObject['metrics']): string {
  const list = [...members.values()]
  if (metrics !== undefined) list.push(`"metrics":{${[...metrics.values()].join()}}`)
  return `{${list.join()}}`
}

function describe({ kind, name, problem, at }: Damage, { positionOf }: Reading): string {
  const member = name === undefined ? 'a member' : ruleOf(name) === 'shape' ? `member ${quote(name)}` : name
  const place = formatPosition(positionOf(at))
  return `${kind === 'cut' ? 'the item' : member} ${problem.replace(/(?=:|$)/, ` at ${place}`)}`
}

/** Whether a text has objects on lines of their own, as in NDJSON, and is not one array. */
function hasObjectLines(text: string): boolean {
  if (!text.includes('\n') || text.trimStart().startsWith('[')) return false
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf('\n', start)
    const end = newline === -1 ? text.length : newline
    const line = text.slice(start, end).trim()
    if (line.startsWith('{') && (line.endsWith('}') || line.endsWith('},'))) return true
    start = end + 1
  }
  return false
}

function skipSeparators(text: string, at: number): number {
  SEPARATORS.lastIndex = at
  return at + (SEPARATORS.exec(text)?.[0].length ?? 0)
}

/** Returns where the next item can begin: at a brace, on the next line, or after a comma. */
function endOfJunk(text: string, start: number, isAfterDamage: boolean): number {
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at]
    if (character === '{' || character === '\n' || (character === ',' && !isAfterDamage)) return at
  }
  return text.length
}
