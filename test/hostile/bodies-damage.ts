import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import type { Random } from '@tidemark/testkit/random'
import type { SentItem, SentSample } from './bodies-batch.ts'

/** A body as it is sent, and what must come of it. */
export interface DamagedBody {
  readonly damage: string
  readonly bytes: Buffer
  readonly headers: Readonly<Record<string, string>>
  /** How many bytes each packet has; undefined for one packet. */
  readonly packetBytes?: number
  /** Each must be stored exactly once. */
  readonly intact: readonly SentSample[]
  /** Each may be stored, once: the damage is in its item, but not certainly in it. */
  readonly doubtful: readonly SentSample[]
  /** Whether the response must name a damage. */
  readonly isNamed: boolean
}

type Layout = 'array' | 'pretty' | 'lines' | 'sequence'

interface Draft {
  /** Texts of items; what stands between them follows from the layout. */
  readonly parts: string[]
  readonly layout: Layout
  readonly lineEnd: string
  readonly type: string
}

type Outcome = Pick<DamagedBody, 'intact' | 'doubtful' | 'isNamed'> & { readonly text: string }

const samplesOf = (items: readonly SentItem[]): SentSample[] => items.flatMap(({ samples }) => samples)

/** Every kind of damage. Each changes a body in one place and says what survives. */
const DAMAGES: Readonly<Record<string, (items: readonly SentItem[], draft: Draft, random: Random) => Outcome>> = {
  none: (items, draft) => whole(items, layOut(draft)),
  'no number': (items, draft, random) =>
    damageValue(items, draft, random, () =>
      random.pick(['NaN', 'nan', '-nan', 'inf', '-Infinity', 'None', '', '0x1F', '1.#QNAN']),
    ),
  'decimal comma': (items, draft, random) => damageValue(items, draft, random, value => `${value.replace('.', '')},5`),
  'cut off'(items, draft, random) {
    const text = layOut(draft)
    return beginning(items, text.slice(0, random.integer(1, text.length - 1)))
  },
  'cut off, then sent again'(items, draft, random) {
    const text = layOut(draft)
    const { text: sent, ...first } = beginning(items, text.slice(0, random.integer(1, text.length - 1)))
    const between = random.pick(['', ' ', '\n', '\r\n', ','])
    return { ...first, text: sent + between + text, intact: [...first.intact, ...samplesOf(items)] }
  },
  'a character is missing': (items, draft, random) => damageItem(items, draft, random, text => without(text, random)),
  'a control character': (items, draft, random) =>
    damageItem(items, draft, random, text => text.replace('"', random.pick(['"\t', '"\n', '"\u0001', '"\0']))),
  'single quotes': (items, draft, random) => damageItem(items, draft, random, text => text.replaceAll('"', "'")),
  'a key in Latin-1': (items, draft, random) =>
    damageItem(items, draft, random, text => text.replace(/"(key|device)":( ?)"/, '"$1":$2"\udcff')),
  'text between items'(items, draft, random) {
    const at = random.integer(0, items.length - 1)
    const junk = random.pick(['garbage', '# comment', '42', 'null', '"text"', 'key=value'])
    const mark = draft.layout === 'sequence' ? ' ' : ''
    const parts = draft.parts.toSpliced(at, 0, `${junk}${mark}`)
    return { ...whole(items, layOut({ ...draft, parts })), isNamed: true }
  },
  'marks and padding'(items, draft, random) {
    const text = layOut(draft)
    const sent = random.pick([
      `\ufeff${text}`,
      `\ufeff\ufeff${text}`,
      `${text}\0`,
      `${text}\0\0\0\n`,
      `\n\n ${text}\r\n`,
    ])
    return whole(items, sent)
  },
  'a comma too many'(items, draft, random) {
    const text = layOut(draft)
    if (draft.layout !== 'array' && draft.layout !== 'pretty') return whole(items, `${text},`)
    return whole(items, random.pick([text.replace(/\s*\]$/, ',]'), text.replace(/\}(\s*)\]$/, ',}$1]')]))
  },
  'an end is missing': (items, draft) => whole(items, layOut(draft).replace(/\s*\]$/, '')),
}

export const DAMAGE_NAMES: readonly string[] = Object.keys(DAMAGES)

/** Lays out the items as a device could, damages the body, and chooses how it is sent. */
export function damageBody(
  items: readonly SentItem[],
  random: Random,
  damage = random.pick(DAMAGE_NAMES),
): DamagedBody {
  const layout = random.pick(['array', 'array', 'pretty', 'lines', 'sequence'] as const)
  const type = layout === 'lines' ? random.pick(['application/x-ndjson', 'application/json']) : 'application/json'
  const draft = { parts: items.map(({ text }) => text), layout, lineEnd: random.pick(['\n', '\r\n']), type }
  const outcome = (DAMAGES[damage] as (typeof DAMAGES)[string])(items, draft, random)
  return send(outcome, damage, type, random)
}

/** A compressed body without its end, of which nothing may be stored. */
export function truncatedBody(items: readonly SentItem[], random: Random): DamagedBody {
  const text = `[${items.map(item => item.text)}]`
  const [coding, compress] = random.pick(CODINGS)
  const bytes = compress(Buffer.from(text))
  return {
    damage: `${coding} cut off`,
    bytes: bytes.subarray(0, random.integer(1, bytes.length - 1)),
    headers: { 'Content-Type': 'application/json', 'Content-Encoding': coding },
    intact: [],
    doubtful: [],
    isNamed: true,
  }
}

const CODINGS: readonly (readonly [string, (bytes: Buffer) => Buffer])[] = [
  ['gzip', bytes => gzipSync(bytes)],
  ['deflate', bytes => deflateSync(bytes)],
  ['br', bytes => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })],
  ['zstd', bytes => zstdCompressSync(bytes)],
]

function send(outcome: Outcome, damage: string, type: string, random: Random): DamagedBody {
  const { text, ...expected } = outcome
  const isUnicode = text.isWellFormed()
  const plain = isUnicode
    ? Buffer.from(text)
    : Buffer.concat(
        text
          .split('\udcff')
          .flatMap((part, i) => (i === 0 ? [Buffer.from(part)] : [Buffer.from([0xff]), Buffer.from(part)])),
      )
  const way = random.uniform()
  const base = { damage, headers: { 'Content-Type': type }, bytes: plain, ...expected }
  if (way < 0.1 && plain.length < 3000) return { ...base, damage: `${damage}, one byte a packet`, packetBytes: 1 }
  if (way < 0.2) return { ...base, damage: `${damage}, in small packets`, packetBytes: random.integer(20, 200) }
  if (way < 0.4) {
    const [coding, compress] = random.pick([...CODINGS, ['deflate', (bytes: Buffer) => deflateRawSync(bytes)] as const])
    const headers = { ...base.headers, 'Content-Encoding': coding }
    return { ...base, damage: `${damage}, ${coding}`, headers, bytes: compress(plain) }
  }
  if (way < 0.5 && isUnicode) {
    const headers = { 'Content-Type': `${type}; charset=${random.pick(['utf-16', 'UTF-16LE'])}` }
    return { ...base, damage: `${damage}, UTF-16`, headers, bytes: Buffer.from(text, 'utf16le') }
  }
  return base
}

function layOut({ parts, layout, lineEnd }: Draft): string {
  if (layout === 'array') return `[${parts.join(',')}]`
  if (layout === 'pretty') return `[${lineEnd}  ${parts.join(`,${lineEnd}  `)}${lineEnd}]`
  return layout === 'lines' ? `${parts.join(lineEnd)}${lineEnd}` : parts.join('')
}

function whole(items: readonly SentItem[], text: string): Outcome {
  return { text, intact: samplesOf(items), doubtful: [], isNamed: false }
}

/** Replaces the value of one sample, which is lost; the others of its report are not. */
function damageValue(
  items: readonly SentItem[],
  draft: Draft,
  random: Random,
  change: (value: string) => string,
): Outcome {
  const at = random.integer(0, items.length - 1)
  const item = items[at] as SentItem
  const lost = random.integer(0, item.samples.length - 1)
  const value = item.values[lost] as string
  const parts = draft.parts.with(
    at,
    item.text.replace(`:${value}`, () => `:${change(value)}`),
  )
  const intact = samplesOf(items).filter(sample => sample !== item.samples[lost])
  return { text: layOut({ ...draft, parts }), intact, doubtful: [], isNamed: true }
}

/** Damages one item, of which nothing may be stored for certain. */
function damageItem(
  items: readonly SentItem[],
  draft: Draft,
  random: Random,
  change: (text: string) => string,
): Outcome {
  const at = random.integer(0, items.length - 1)
  const item = items[at] as SentItem
  const parts = draft.parts.with(at, change(item.text))
  return {
    text: layOut({ ...draft, parts }),
    intact: samplesOf(items.toSpliced(at, 1)),
    doubtful: item.samples,
    isNamed: true,
  }
}

/** Removes one character that JSON needs, outside of the names and texts. */
function without(text: string, random: Random): string {
  const places: number[] = []
  let isText = false
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '"') {
      isText = !isText
      places.push(i)
    } else if (!isText && '{}:'.includes(text[i] as string)) places.push(i)
  }
  const at = random.pick(places)
  return text.slice(0, at) + text.slice(at + 1)
}

/** What survives in the beginning of a body. */
function beginning(items: readonly SentItem[], text: string): Outcome {
  const intact: SentSample[] = []
  let at = 0
  for (const item of items) {
    const start = text.indexOf(item.text, at)
    if (start === -1) {
      const doubtful = item.isReport ? item.samples : []
      return { text, intact, doubtful, isNamed: text.slice(at).includes('{') }
    }
    intact.push(...item.samples)
    at = start + item.text.length
  }
  return { text, intact, doubtful: [], isNamed: false }
}
