import type { Item } from '@tidemark/client/types'

/** A body for POST /ingest, or why there is none. */
export type Parsed = { readonly items: readonly Item[] } | { readonly problem: string }

/** Reads what people paste: JSON, lines of it, a curl command, or key,value,timestamp. */
export function parseInput(text: string): Parsed {
  const trimmed = text.trim()
  if (trimmed === '') return { problem: 'There is nothing to send yet.' }
  const body = /^curl\s/.test(trimmed) ? bodyOfCurl(trimmed) : trimmed
  if (body === undefined) return { problem: 'This curl command has no body: -d or --data is missing.' }
  if (/^[[{]/.test(body)) return parseJson(body)
  return parseCsv(body)
}

function parseJson(text: string): Parsed {
  try {
    return { items: listOf(JSON.parse(text)) }
  } catch (error) {
    const lines = text.split('\n').filter(line => line.trim() !== '')
    try {
      return { items: lines.flatMap(line => listOf(JSON.parse(line))) }
    } catch {
      return { problem: `This is not JSON: ${error instanceof Error ? error.message : error}.` }
    }
  }
}

/** The gateway validates each item, and says which rule it breaks. */
const listOf = (value: unknown): Item[] => (Array.isArray(value) ? value : [value]) as Item[]

function parseCsv(text: string): Parsed {
  const items: Item[] = []
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const [key = '', value = '', timestamp = ''] = splitLine(line)
    const number = Number(value)
    if (value.trim() === '' || Number.isNaN(number)) {
      // A header.
      if (i === 0 && text.includes('\n')) continue
      return { problem: `Line ${i + 1} is no sample: write key,value or key,value,timestamp, or JSON.` }
    }
    const time = timestamp === '' ? {} : { timestamp: Number.isNaN(Number(timestamp)) ? timestamp : Number(timestamp) }
    items.push({ key, value: number, ...time })
  }
  return items.length === 0 ? { problem: 'There is no sample in these lines.' } : { items }
}

/** Fields between commas, semicolons or tabs; quotes enclose a field that contains one. */
function splitLine(line: string): string[] {
  return [...line.matchAll(/(?:^|[,;\t])\s*(?:"((?:[^"]|"")*)"|([^,;\t]*))/g)].map(([, quoted, plain = '']) =>
    quoted === undefined ? plain.trim() : quoted.replaceAll('""', '"'),
  )
}

function bodyOfCurl(text: string): string | undefined {
  const match = /(?:-d|--data(?:-raw|-binary|-ascii)?|--json)[\s=]*(?:'([^']*)'|"((?:[^"\\]|\\.)*)"|(\S+))/.exec(text)
  if (match === null) return undefined
  return match[1] ?? match[2]?.replaceAll(/\\(["\\$`])/g, '$1') ?? match[3]
}

/** The keys of items, as the gateway makes them. */
export function keysOf(items: readonly Item[]): string[] {
  return items.flatMap(item => {
    if ('key' in item) return [String(item.key)]
    if ('device' in item && item.metrics) return Object.keys(item.metrics).map(name => `${item.device}/${name}`)
    return ['default/cpu', 'default/rps'].filter(key => key.slice(8) in item)
  })
}
