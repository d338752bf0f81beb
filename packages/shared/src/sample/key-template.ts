/** Names and values of a series, such as tags of InfluxDB. An empty value is an absent label. */
export type Labels = readonly (readonly [name: string, value: string])[]

/** What a key says of its series: the inverse of `KeyTemplate.key`. */
export interface SeriesOfKey {
  /** The values of the template's own names, such as `measurement` and `field`. */
  readonly names: ReadonlyMap<string, string>
  /** Sorted by name. */
  readonly labels: Labels
}

/** A key without the value of the last own name, which is the hole between its parts. */
export interface OpenKey {
  readonly before: string
  readonly after: string
}

type Part =
  | { readonly kind: 'text'; readonly text: string }
  /** `ends` and `escaped`: what its values must not contain, so that keys can be read back. */
  | { readonly kind: 'name' | 'label'; readonly name: string; readonly ends: string; readonly escaped: RegExp }
  | { readonly kind: 'rest' }

/** What metrics of InfluxDB and of agents' JSON consist of, beside their tags. */
export const METRIC_NAMES = ['measurement', 'field'] as const

/** The template of their keys unless INFLUX_KEY has another: `cpu,host=web1.usage`. */
export const METRIC_TEMPLATE = '{measurement}{tags}.{field}'

/** Stands for all labels that the template does not name. */
const REST = 'tags'

const TOKEN = /\{([^{}]*)\}|([^{}]+)|[{}]/g

/** Escapes are %XX in upper case. Only a percent sign that looks like one is escaped itself. */
const LOOKS_ESCAPED = '%(?=[0-9A-F]{2})'
const ESCAPE = /%([0-9A-F]{2})/g
const PERCENT = new RegExp(LOOKS_ESCAPED, 'g')

/** Of the labels that REST stands for: `,name=value` each. */
const IN_LABEL_NAME = new RegExp(`[,=]|${LOOKS_ESCAPED}`, 'g')
const IN_LABEL_VALUE = new RegExp(`,|${LOOKS_ESCAPED}`, 'g')

const PRINTABLE = /^[ -~]+$/

/** How a text between two placeholders begins. Escapes have letters, digits and percent signs. */
const SEPARATOR = /^[ !-$&-/:-@[-`|~]/

/**
 * Makes the keys of series that have names and labels, and reads them back. A template has text and
 * placeholders: `{measurement}` and other own names of a protocol, `{host}` for the label host (''
 * without it), and `{tags}` for all labels that it does not name, as `,name=value` each, sorted by
 * name. `{measurement}{tags}.{field}` makes `cpu,host=web1.usage`.
 *
 * Different series have different keys, because a value never contains what would end it: `%XX`
 * stands for the first character of the text before its placeholder, for a comma before or in
 * `{tags}`, and for `=` in a name there. Keys are therefore read from their end.
 */
export class KeyTemplate {
  readonly text: string
  /** The own names of the protocol, in the order in which their values are given. */
  readonly names: readonly string[]
  /**
   * The text between labels and the last name if the key begins as a line of InfluxDB, with the
   * measurement and the sorted tags: `{measurement}{tags}.{field}`. Else undefined.
   */
  readonly lineSeparator: string | undefined
  /** Characters that are escaped in the value of the last name, beside percent signs. */
  readonly lastNameEnds: string
  /** The labels that the template names. */
  readonly labels: readonly string[]
  /** Whether the template has `{tags}`. */
  readonly hasRest: boolean
  readonly #parts: readonly Part[]
  readonly #labels: ReadonlySet<string>
  /** What the value of the last own name must not contain. */
  readonly #holeEscaped: RegExp

  /** Throws an Error that says what is wrong with the template, as the end of a sentence. */
  constructor(text: string, names: readonly string[]) {
    this.text = text
    this.names = names
    this.#parts = parse(text, names)
    this.labels = this.#parts.flatMap(part => (part.kind === 'label' ? [part.name] : []))
    this.#labels = new Set(this.labels)
    this.hasRest = this.#parts.some(({ kind }) => kind === 'rest')
    const hole = this.#parts.find(part => part.kind === 'name' && part.name === names.at(-1))
    this.lastNameEnds = hole?.kind === 'name' ? hole.ends : ''
    this.#holeEscaped = hole?.kind === 'name' ? hole.escaped : PERCENT
    const [first, rest, separator, last, ...more] = this.#parts
    const isLine =
      first?.kind === 'name' && rest?.kind === 'rest' && separator?.kind === 'text' && last?.kind === 'name'
    this.lineSeparator =
      isLine && more.length === 0 && first.name === names[0] && last.name === names.at(-1) ? separator.text : undefined
  }

  toString(): string {
    return this.text
  }

  /** Whether the template names a label. */
  places(label: string): boolean {
    return this.#labels.has(label)
  }

  /** Returns the name of a label that no placeholder takes: a key without it would merge series. */
  unplaced(labels: Labels): string | undefined {
    if (this.hasRest) return undefined
    return labels.find(([name, value]) => value !== '' && !this.#labels.has(name))?.[0]
  }

  /** Returns the key of a series. Labels may have any order; no name may occur twice. */
  key(values: readonly string[], labels: Labels): string {
    const { before, after } = this.open(values.slice(0, -1), labels)
    return this.close({ before, after }, values.at(-1) ?? '')
  }

  /** Returns the key of a series without the value of the last own name. */
  open(values: readonly string[], labels: Labels): OpenKey {
    let before = ''
    let written = ''
    for (const part of this.#parts) {
      if (part.kind === 'text') written += part.text
      else if (part.kind === 'rest') written += this.#rest(labels)
      else if (part.kind === 'label') written += encodeValue(labelIn(labels, part.name), part.escaped)
      else {
        const index = this.names.indexOf(part.name)
        if (index < this.names.length - 1) written += encodeValue(values[index] ?? '', part.escaped)
        else {
          before = written
          written = ''
        }
      }
    }
    return { before, after: written }
  }

  /** Fills the hole of an open key. */
  close({ before, after }: OpenKey, value: string): string {
    return `${before}${encodeValue(value, this.#holeEscaped)}${after}`
  }

  /** Returns the series of a key; undefined for a key that the template cannot make. */
  read(key: string): SeriesOfKey | undefined {
    const names = new Map<string, string>()
    const labels: (readonly [string, string])[] = []
    let left = key
    for (let i = this.#parts.length - 1; i >= 0; i--) {
      const part = this.#parts[i] as Part
      if (part.kind === 'text') {
        if (!left.endsWith(part.text)) return undefined
        left = left.slice(0, left.length - part.text.length)
        continue
      }
      const start = this.#startOf(part, i, left)
      if (start === -1) return undefined
      const value = left.slice(start)
      left = left.slice(0, start)
      if (part.kind === 'name') names.set(part.name, decodeValue(value))
      else if (part.kind === 'label') labels.push([part.name, decodeValue(value)])
      else if (value !== '') {
        for (const written of value.slice(1).split(',')) {
          const equals = written.indexOf('=')
          if (equals === -1) return undefined
          labels.push([decodeValue(written.slice(0, equals)), decodeValue(written.slice(equals + 1))])
        }
      }
    }
    if (left !== '') return undefined
    return { names, labels: sorted(labels.filter(([, value]) => value !== '')) }
  }

  /** Returns where the value of a placeholder begins in what is left of a key; -1 for nowhere. */
  #startOf(part: Part, index: number, left: string): number {
    if (part.kind === 'rest') {
      const comma = left.indexOf(',')
      return comma === -1 ? left.length : comma
    }
    const before = this.#parts[index - 1]
    if (before === undefined) return 0
    if (before.kind !== 'text') return -1
    if (index === 1) return before.text.length
    const separator = left.lastIndexOf(before.text)
    return separator === -1 ? -1 : separator + before.text.length
  }

  #rest(labels: Labels): string {
    let written = ''
    for (const [name, value] of sorted(labels)) {
      if (value === '' || this.#labels.has(name)) continue
      written += `,${encodeValue(name, IN_LABEL_NAME)}=${encodeValue(value, IN_LABEL_VALUE)}`
    }
    return written
  }
}

function parse(text: string, names: readonly string[]): readonly Part[] {
  const parts: Part[] = []
  const seen = new Set<string>()
  for (const [token, placeholder, literal] of text.matchAll(TOKEN)) {
    if (literal !== undefined) {
      if (!PRINTABLE.test(literal)) throw new Error('must have only printable ASCII characters between placeholders')
      parts.push({ kind: 'text', text: literal })
      continue
    }
    if (placeholder === undefined || placeholder === '') {
      throw new Error(`has a brace without a name, ${token}: write placeholders as {${names[0] ?? 'host'}}`)
    }
    if (seen.has(placeholder)) throw new Error(`has {${placeholder}} twice`)
    seen.add(placeholder)
    const kind = names.includes(placeholder) ? 'name' : placeholder === REST ? 'rest' : 'label'
    parts.push(kind === 'rest' ? { kind } : { kind, name: placeholder, ends: '', escaped: PERCENT })
  }
  const missing = names.find(name => !seen.has(name))
  if (missing !== undefined) throw new Error(`must have {${missing}}: without it, different series would have one key`)
  const restAt = parts.findIndex(({ kind }) => kind === 'rest')
  return parts.map((part, i) => withEscapes(parts, part, i, i < restAt))
}

/** Completes a placeholder with what its values must not contain, and checks what separates it. */
function withEscapes(parts: readonly Part[], part: Part, index: number, isBeforeRest: boolean): Part {
  const before = parts[index - 1]
  if (part.kind === 'text') {
    const isInner = index > 0 && index < parts.length - 1
    if (isInner && !SEPARATOR.test(part.text)) {
      throw new Error(`must have a separator such as . or / between placeholders, not ${JSON.stringify(part.text)}`)
    }
    if (isBeforeRest && part.text.includes(',')) throw new Error(`must have no comma before {${REST}}`)
    return part
  }
  if (part.kind === 'rest') return part
  if (before !== undefined && before.kind !== 'text') {
    throw new Error(`must have a separator such as . or / before {${part.name}}`)
  }
  const separator = before === undefined || index === 1 ? '' : (before.text[0] as string)
  const ends = [separator, isBeforeRest ? ',' : '']
  const characters = ends.map(one => one.replace(/[\\\]^-]/, '\\$&')).join('')
  if (characters === '') return part
  return { ...part, ends: ends.join(''), escaped: new RegExp(`[${characters}]|${LOOKS_ESCAPED}`, 'g') }
}

function encodeValue(text: string, escaped: RegExp): string {
  return text.replace(escaped, found => `%${found.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}

function decodeValue(text: string): string {
  return text.replace(ESCAPE, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
}

function labelIn(labels: Labels, name: string): string {
  return labels.find(label => label[0] === name)?.[1] ?? ''
}

/** By code units, so that every gateway has the same order. */
function sorted(labels: Labels): Labels {
  return labels.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
}
