import { noNumberOf } from '@tidemark/shared/parsing/no-number'

/** What is wrong at one place of an object. */
export interface Damage {
  /** Offset in the text. */
  readonly at: number
  /** `cut`: the object ends here without its brace; `name` is the member that was not complete. */
  readonly kind: 'cut' | 'token'
  /** What stands there, as the end of a sentence that begins with the member's name. */
  readonly problem: string
  /** The member; undefined if its name is not readable. */
  readonly name: string | undefined
  readonly inMetrics: boolean
}

/** An object of a text that is not JSON, as far as it can be read. */
export interface ScannedObject {
  /** The offset after it, where the next item may begin. */
  readonly end: number
  readonly damages: readonly Damage[]
  /** Its intact members but `metrics`, by name: `"value":420`. */
  readonly members: ReadonlyMap<string, string>
  /** The intact members of `metrics`; undefined without such an object. */
  readonly metrics: ReadonlyMap<string, string> | undefined
}

/** First members of items: an object that begins with one is probably an item. */
const ITEM_MEMBERS: ReadonlySet<string> = new Set(['key', 'value', 'timestamp', 'device', 'metrics', 'cpu', 'rps'])

const TOKEN = /[^\s,:{}[\]"]*/y
const LITERAL = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/
const DIGIT = /\d/

/** A value in a nested object that only a number can be: after a lost quote, words stand there. */
const NO_NUMBER = /^[+-]?(?:nan|inf(?:inity)?|none|undefined|\d+(?:\.\d*)?|\.\d+)$/i

/** How far a scanner looks ahead altogether, in lengths of its text. It bounds the time. */
const LOOKAHEAD_LENGTHS = 4

type Ending = 'closed' | 'cut'

/**
 * Reads objects of a text that JSON.parse refuses. What follows a damage is found again at the next
 * member, at the end of the object, or where a new item begins inside it: then it was cut off.
 * Every step goes forward, and looking ahead has a bound, so the time is linear.
 */
export class ObjectScanner {
  readonly #text: string
  #lookahead: number
  #at = 0
  #damages: Damage[] = []
  #members = new Map<string, string>()
  #metrics: Map<string, string> | undefined
  /** The member that was read last, if it has no closing brace; undefined for other members. */
  #unclosed: string | undefined
  /** Where the value that was skipped last has a number that JSON does not have; -1 without one. */
  #noNumberAt = -1

  constructor(text: string) {
    this.#text = text
    this.#lookahead = LOOKAHEAD_LENGTHS * text.length
  }

  /** Reads the object whose brace is at `start`. */
  scan(start: number): ScannedObject {
    this.#at = start
    this.#damages = []
    this.#members = new Map()
    this.#metrics = undefined
    this.#readMembers(this.#members, false)
    return { end: this.#at, damages: this.#damages, members: this.#members, metrics: this.#metrics }
  }

  /** Whether an object with a member, or an array of such objects, begins at an offset. */
  #isItemStart(at: number): boolean {
    return this.#firstMember(at) !== undefined
  }

  /** Whether what begins at an offset has the first member of an item. */
  #isItem(at: number): boolean {
    return ITEM_MEMBERS.has(this.#firstMember(at) ?? '')
  }

  /** Reads from an opening brace past the closing one, or to where the object is cut off. */
  #readMembers(members: Map<string, string>, inMetrics: boolean): Ending {
    this.#at++
    for (;;) {
      this.#skipSpace()
      const next = this.#text[this.#at]
      if (next === '}') {
        this.#at++
        return 'closed'
      }
      if (next === undefined) return this.#cut(undefined, inMetrics)
      if (next === '[' || this.#isItemStart(this.#at)) {
        // The comma may be of the sender who joined two bodies: the last number may be cut off.
        // Of an object the brace was read, so it is complete.
        const last = this.#unclosed
        if (last !== undefined) members.delete(last)
        return this.#cut(last, inMetrics)
      }
      // A comma too many does no harm.
      if (next === ',') this.#at++
      else {
        const ending = this.#readMember(members, inMetrics)
        if (ending !== undefined) return ending
      }
    }
  }

  /** Reads one member. Returns how the object ends where that is known. */
  #readMember(members: Map<string, string>, inMetrics: boolean): Ending | undefined {
    const start = this.#at
    this.#unclosed = undefined
    const nameEnd = this.#stringEnd(start)
    const name = nameEnd === -1 ? undefined : parseString(this.#text.slice(start, nameEnd))
    if (name === undefined) {
      return this.#damage(start, describeName(this.#text.slice(start, start + 2)), { name, inMetrics })
    }
    this.#at = nameEnd
    this.#skipSpace()
    if (this.#text[this.#at] !== ':') return this.#damage(start, 'has no colon after its name', { name, inMetrics })
    this.#at++
    this.#skipSpace()
    const valueStart = this.#at
    const opening = this.#text[valueStart]
    if ((opening === '{' || opening === '[') && this.#isNextItem(valueStart)) return this.#cut(name, inMetrics)
    if (opening === '{' && name === 'metrics' && !inMetrics) {
      this.#metrics = new Map()
      if (this.#readMembers(this.#metrics, true) === 'cut') return 'cut'
    } else if (opening === '{' || opening === '[') {
      const ending = this.#skipNested(true)
      if (ending === 'cut') return this.#cut(name, inMetrics)
      if (ending === undefined) return this.#damage(valueStart, NOT_JSON, { name, inMetrics })
      const at = this.#noNumberAt
      if (at !== -1) {
        this.#damages.push({ at, kind: 'token', problem: describeToken(this.#tokenAt(at)), name, inMetrics })
        return undefined
      }
    } else if (opening === '"') {
      const end = this.#stringEnd(valueStart)
      if (end === -1 || parseString(this.#text.slice(valueStart, end)) === undefined) {
        return this.#damage(valueStart, 'has a text that is not valid JSON', { name, inMetrics })
      }
      this.#at = end
    } else {
      const token = this.#tokenAt(this.#at)
      if (!LITERAL.test(token)) return this.#damage(valueStart, describeToken(token), { name, inMetrics })
      this.#at += token.length
    }
    const valueEnd = this.#at
    this.#skipSpace()
    const next = this.#text[this.#at]
    // A value may go on, but an object or array is complete.
    const isWhole = opening === '{' || opening === '['
    this.#unclosed = isWhole ? undefined : name
    if (next === undefined || this.#isItemStart(this.#at)) return this.#cut(isWhole ? undefined : name, inMetrics)
    if (next === ',' && DIGIT.test(this.#text[valueEnd - 1] ?? '') && this.#isDigitAfterComma()) {
      this.#damages.push({ at: this.#at, kind: 'token', problem: 'is not a number: decimal comma?', name, inMetrics })
      return this.#resume(this.#at + 1, inMetrics)
    }
    if (next !== ',' && next !== '}') return this.#damage(valueStart, NOT_JSON, { name, inMetrics })
    if (name !== 'metrics' || inMetrics || opening !== '{') {
      // The last of duplicate members counts, as in JSON.parse.
      members.delete(name)
      members.set(name, this.#text.slice(start, valueEnd))
    }
    return undefined
  }

  #isDigitAfterComma(): boolean {
    return DIGIT.test(this.#text[skipSpace(this.#text, this.#at + 1)] ?? '')
  }

  /** Notes that the object ends here without a brace. */
  #cut(name: string | undefined, inMetrics: boolean): 'cut' {
    this.#damages.push({ at: this.#at, kind: 'cut', problem: 'is cut off', name, inMetrics })
    return 'cut'
  }

  #damage(at: number, problem: string, member: Pick<Damage, 'name' | 'inMetrics'>): Ending | undefined {
    this.#damages.push({ at, kind: 'token', problem, ...member })
    return this.#resume(at, member.inMetrics)
  }

  /**
   * Goes on from a damage to the next member or to the end of the object. It also looks into the
   * text of a damaged string, which may have lost its end.
   */
  #resume(from: number, inMetrics: boolean): Ending | undefined {
    const text = this.#text
    let previous = ''
    for (this.#at = from; this.#at < text.length; this.#at++) {
      const at = this.#at
      const character = text[at] as string
      if (character === '}') {
        this.#at++
        return 'closed'
      }
      if (character === ',' && this.#nameAfter(at) !== undefined) return undefined
      if (character === '{' && at > from && this.#isItem(at) && (previous !== ':' || this.#isNextItem(at))) break
      if (!isSpace(character)) previous = character
    }
    return this.#cut(undefined, inMetrics)
  }

  /**
   * Whether a nested object or array is the next item or body, because the object around it was cut
   * off before it.
   */
  #isNextItem(start: number): boolean {
    if (!this.#isItem(start) || this.#lookahead <= 0) return false
    const ending = this.#skipNested(false)
    this.#lookahead -= this.#at - start
    this.#skipSpace()
    const next = this.#text[this.#at]
    const isNested = ending === 'closed' && (next === '}' || (next === ',' && this.#nameAfter(this.#at) !== undefined))
    this.#at = start
    return !isNested
  }

  /**
   * Skips an object or array, to where it is closed, or to where another item begins inside it.
   * Returns undefined, and goes nowhere, if it has no end or, where that matters, values that are
   * not JSON: after a lost quote, texts and what is between them change places.
   */
  #skipNested(isStrict: boolean): Ending | undefined {
    const text = this.#text
    const start = this.#at
    this.#noNumberAt = -1
    if (this.#lookahead <= 0) return undefined
    const open: string[] = []
    let previous = ':'
    let at = start
    for (; at < text.length; at++) {
      const character = text[at] as string
      if (isSpace(character)) continue
      if (character === '"') {
        const end = this.#stringEnd(at)
        if (end === -1) break
        at = end - 1
      } else if (character === '{' || character === '[') {
        const isExpected = open.at(-1) === '[' ? previous === '[' || previous === ',' : previous === ':'
        if (!isExpected && this.#isItemStart(at)) {
          this.#at = at
          return 'cut'
        }
        open.push(character)
      } else if (character === '}' || character === ']') {
        open.pop()
        if (open.length === 0) {
          this.#at = at + 1
          return 'closed'
        }
      } else if (character !== ',' && character !== ':') {
        const token = this.#tokenAt(at)
        if (isStrict && !LITERAL.test(token)) {
          if (!NO_NUMBER.test(token)) break
          this.#noNumberAt = at
        }
        at += Math.max(token.length, 1) - 1
      }
      previous = character
    }
    this.#lookahead -= at - start
    return undefined
  }

  /** Returns the name of the first member of an object, or array of objects, at an offset. */
  #firstMember(at: number): string | undefined {
    const start = this.#text[at] === '[' ? skipSpace(this.#text, at + 1) : at
    return this.#text[start] === '{' ? this.#nameAfter(start) : undefined
  }

  /** Returns the name of the member that follows a brace or comma; undefined without one. */
  #nameAfter(at: number): string | undefined {
    const start = skipSpace(this.#text, at + 1)
    const end = this.#stringEnd(start)
    if (end === -1) return undefined
    return this.#text[skipSpace(this.#text, end)] === ':' ? this.#text.slice(start + 1, end - 1) : undefined
  }

  /** Returns the offset after a string; -1 if it has no end, or a control character in it. */
  #stringEnd(start: number): number {
    const text = this.#text
    if (text[start] !== '"') return -1
    for (let at = start + 1; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code === QUOTE) return at + 1
      if (code < 0x20) return -1
      if (code === BACKSLASH) at++
    }
    return -1
  }

  #skipSpace(): void {
    this.#at = skipSpace(this.#text, this.#at)
  }

  #tokenAt(at: number): string {
    TOKEN.lastIndex = at
    return TOKEN.exec(this.#text)?.[0] ?? ''
  }
}

const QUOTE = 34
const BACKSLASH = 92

const NOT_JSON = 'is not valid JSON'

function skipSpace(text: string, from: number): number {
  let at = from
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break
  }
  return at
}

function isSpace(character: string): boolean {
  return character === ' ' || character === '\n' || character === '\r' || character === '\t'
}

/** Returns the text of a JSON string; undefined for one with invalid escapes. */
function parseString(json: string): string | undefined {
  if (!json.includes('\\')) return json.slice(1, -1)
  try {
    return JSON.parse(json) as string
  } catch {
    return undefined
  }
}

/** Says what is wrong with a value without repeating it. */
function describeToken(token: string): string {
  const noNumber = noNumberOf(token)
  if (noNumber === 'nan') return 'is NaN: JSON has no such number, so leave it out'
  if (noNumber === 'infinite') return 'is infinite: JSON has no such number, so leave it out'
  if (noNumber === 'nothing') return 'has no value: leave it out'
  if (token.startsWith("'")) return 'has single quotes: JSON has double quotes'
  return DIGIT.test(token)
    ? 'is not a number: JSON writes numbers as 21.5, -0.5 or 2e3, without more around them'
    : NOT_JSON
}

/** Says what is wrong with a name that is not a JSON string; `start` is how it begins. */
function describeName(start: string): string {
  if (start.startsWith("'")) return 'has single quotes: JSON has double quotes'
  if (/^(?:#|\/[/*])/.test(start)) return 'has a comment before it: JSON has no comments'
  if (/^[\u2018-\u201f\u00ab\u00bb]/.test(start)) return 'has typographic quotes: JSON has straight double quotes'
  return /^[\w$]/.test(start) ? 'has a name without double quotes' : NOT_JSON
}
