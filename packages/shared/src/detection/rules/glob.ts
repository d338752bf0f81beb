import { GlobAutomaton, type Token } from './glob-automaton.ts'

/** Thrown for an invalid pattern. The message completes a sentence that begins with its name. */
export class GlobError extends Error {}

/** What has a meaning in a pattern, outside of a set. */
const SPECIAL = /[*?[\]{}\\]/

/** The maximum length of a pattern: the bytes of the longest key, and some for braces. */
const PATTERN_LENGTH_MAX = 400

export const ALTERNATIVES_MAX = 64

const WILDCARDS_AND_BRACES = new Map<string, Token>([
  ['*', { kind: 'run', text: '*' }],
  ['?', { kind: 'one', text: '?' }],
  ['{', { kind: 'open', text: '{' }],
  [',', { kind: 'comma', text: ',' }],
  ['}', { kind: 'close', text: '}' }],
])

/** A compiled pattern without braces; a pattern with braces is expanded to several. */
export interface Glob {
  readonly text: string
  /** The characters before the first wildcard and after the last; without any, the pattern. */
  readonly prefix: string
  readonly suffix: string
  /** The number of literal characters, and of wildcards of each kind. */
  readonly literals: number
  readonly classes: number
  readonly ones: number
  readonly runs: number
  /**
   * What matching costs, in characters of the pattern; 0 if literal texts and * are all it has,
   * which are searched for at once.
   */
  readonly work: number
  /** Whether the whole key matches. Takes a time that is linear in the key. */
  matches(key: string): boolean
}

/**
 * Compiles a pattern. `*` matches any run of characters (code points), `?` any one, `[abc]`,
 * `[0-9]` and `[!abc]` one of a set, `{a,b}` one of several patterns. A backslash escapes any of
 * these. Others, including slash and dot, are literal. Returns all alternatives.
 */
export function compileGlob(pattern: string): readonly Glob[] {
  // A pattern is compiled once to validate it, and again to use it.
  if (lastCompiled?.pattern !== pattern) lastCompiled = { pattern, globs: compile(pattern) }
  return lastCompiled.globs
}

/** Returns the pattern that matches one key alone. */
export function literalPattern(key: string): string {
  const quoted = [...key].map(character => quote(character, SPECIAL)).join('')
  // Otherwise a rule would take it for a regular expression.
  return quoted.replace(/^\^/, '\\^')
}

let lastCompiled: { readonly pattern: string; readonly globs: readonly Glob[] } | undefined

function compile(pattern: string): Glob[] {
  if (pattern.length === 0) throw new GlobError('must not be empty')
  if (pattern.length > PATTERN_LENGTH_MAX) throw new GlobError(`must be at most ${PATTERN_LENGTH_MAX} characters long`)
  if (!pattern.isWellFormed()) throw new GlobError('must not contain lone surrogates')
  const tokens = tokenize(pattern)
  const { ways, next } = expandBraces(tokens, 0, false)
  if (next < tokens.length) throw new GlobError('has a } without a {; write \\} for the character')
  if (ways.length === 1) return ways.map(way => toGlob(way))
  // No alternative matches if the pattern does not, which one test shows for all of them.
  const whole = lastOf(automatonTest(tokens))
  return ways.map(way => toGlob(way, whole))
}

function tokenize(pattern: string): Token[] {
  const characters = [...pattern]
  const tokens: Token[] = []
  let depth = 0
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i] as string
    if (character === '{') depth++
    if (character === '}') depth--
    if (character === ']') throw new GlobError('has a ] without a [; write \\] for the character')
    if (character === '[') {
      const { token, last } = readClass(characters, i)
      tokens.push(token)
      i = last
    } else if (character === '\\') {
      const escaped = characters[++i]
      if (escaped === undefined) throw new GlobError('ends in a backslash; write \\\\ for the character')
      tokens.push(literal(escaped))
    } else {
      const isLiteralComma = character === ',' && depth <= 0
      tokens.push((isLiteralComma ? undefined : WILDCARDS_AND_BRACES.get(character)) ?? literal(character))
    }
  }
  if (depth > 0) throw new GlobError('has a { without a }; write \\{ for the character')
  return tokens
}

function literal(character: string): Token {
  return { kind: 'literal', text: quote(character, SPECIAL), code: character.codePointAt(0) as number }
}

function quote(character: string, special: RegExp): string {
  return special.test(character) ? `\\${character}` : character
}

function readClass(characters: readonly string[], open: number): { token: Token; last: number } {
  let i = open + 1
  const isNegated = characters[i] === '!' || characters[i] === '^'
  if (isNegated) i++
  const read = (): string => {
    const character = characters[i++]
    const taken = character === '\\' ? characters[i++] : character
    if (taken === undefined) throw new GlobError('has a [ without a ]; write \\[ for the character')
    return taken
  }
  const ranges: (readonly [number, number])[] = []
  let text = isNegated ? '[!' : '['
  while (characters[i] !== ']') {
    const from = read()
    // A dash before the closing bracket is literal.
    const isRange = characters[i] === '-' && characters[i + 1] !== ']' && characters[i + 1] !== undefined
    if (isRange) i++
    const to = isRange ? read() : from
    const range = [from.codePointAt(0) as number, to.codePointAt(0) as number] as const
    if (range[0] > range[1]) throw new GlobError(`has the range ${from}-${to}, whose ends are reversed`)
    ranges.push(range)
    text += [...new Set([from, to])].map(end => quote(end, /[\]\\!^-]/)).join('-')
  }
  if (ranges.length === 0) throw new GlobError('has an empty []; write \\[\\] for the characters')
  const has = (code: number): boolean => ranges.some(([from, to]) => from <= code && code <= to) !== isNegated
  return { token: { kind: 'class', text: `${text}]`, has }, last: i }
}

/** Returns all alternatives of the tokens from `start` to the end of an alternative. */
function expandBraces(tokens: readonly Token[], start: number, isInside: boolean): { ways: Token[][]; next: number } {
  let ways: Token[][] = [[]]
  let i = start
  for (; i < tokens.length; i++) {
    const token = tokens[i] as Token
    if (token.kind === 'close' || (token.kind === 'comma' && isInside)) break
    if (token.kind !== 'open') {
      for (const way of ways) way.push(token)
      continue
    }
    const inside: Token[][] = []
    let alternatives = 0
    do {
      const alternative = expandBraces(tokens, i + 1, true)
      alternatives++
      inside.push(...alternative.ways)
      i = alternative.next
    } while (tokens[i]?.kind === 'comma')
    if (alternatives < 2) throw new GlobError('has braces with one alternative; write \\{ and \\} for the characters')
    if (ways.length * inside.length > ALTERNATIVES_MAX) {
      throw new GlobError(`has braces that expand to more than ${ALTERNATIVES_MAX} patterns`)
    }
    ways = ways.flatMap(way => inside.map(rest => [...way, ...rest]))
  }
  return { ways, next: i }
}

/** `whole` returns whether any alternative of the pattern matches a key. */
function toGlob(tokens: readonly Token[], whole?: (key: string) => boolean): Glob {
  // Adjacent runs are equal to one.
  const distinct = tokens.filter((token, i) => token.kind !== 'run' || tokens[i - 1]?.kind !== 'run')
  const counts = { literal: 0, one: 0, run: 0, class: 0, open: 0, comma: 0, close: 0 }
  for (const { kind } of distinct) counts[kind]++
  const pieces = literalPieces(distinct)
  const prefix = pieces[0] as string
  const suffix = pieces.at(-1) as string
  const isGeneral = counts.one + counts.class > 0
  const matchesAll = lastOf(automatonTest(distinct))
  const matches = (key: string): boolean => {
    if (pieces.length === 1) return key === prefix
    // This rejects nearly every key: most patterns have a piece that the key lacks.
    if (!hasPieces(key, pieces)) return false
    return !isGeneral || (whole?.(key) !== false && matchesAll(key))
  }
  return {
    text: distinct.map(({ text }) => text).join(''),
    prefix,
    suffix,
    literals: counts.literal,
    classes: counts.class,
    ones: counts.one,
    runs: counts.run,
    work: isGeneral ? distinct.length : 0,
    matches,
  }
}

/** Returns the literal texts before, between and after the wildcards; '' where there is none. */
function literalPieces(tokens: readonly Token[]): string[] {
  const pieces = ['']
  for (const { kind, code } of tokens) {
    if (kind === 'literal') pieces.push(`${pieces.pop()}${String.fromCodePoint(code as number)}`)
    else pieces.push('')
  }
  return pieces
}

/**
 * Whether the key begins and ends with the outer pieces, and has the others in between in their
 * order. That is all that a pattern without other wildcards than * requires.
 */
function hasPieces(key: string, pieces: readonly string[]): boolean {
  const prefix = pieces[0] as string
  const suffix = pieces.at(-1) as string
  let at = prefix.length
  const end = key.length - suffix.length
  if (at > end || !key.startsWith(prefix) || !key.endsWith(suffix)) return false
  for (let i = 1; i < pieces.length - 1; i++) {
    const piece = pieces[i] as string
    if (piece === '') continue
    const found = key.indexOf(piece, at)
    at = found + piece.length
    if (found < 0 || at > end) return false
  }
  return true
}

/** Returns a test of keys by an automaton that is made with the first key. */
function automatonTest(tokens: readonly Token[]): (key: string) => boolean {
  let automaton: GlobAutomaton | undefined
  return key => {
    automaton ??= new GlobAutomaton(tokens)
    return automaton.matches(codesOf(key))
  }
}

/** Keeps the last result of a test: alternatives are tried on one key after the other. */
function lastOf(test: (key: string) => boolean): (key: string) => boolean {
  let last: { readonly key: string; readonly result: boolean } | undefined
  return key => {
    if (last?.key !== key) last = { key, result: test(key) }
    return last.result
  }
}

let lastCodes: { readonly key: string; readonly codes: readonly number[] } = { key: '', codes: [] }

/** Returns the code points of a key, kept for the next pattern that is tried on it. */
function codesOf(key: string): readonly number[] {
  if (lastCodes.key !== key) {
    lastCodes = { key, codes: Array.from(key, character => character.codePointAt(0) as number) }
  }
  return lastCodes.codes
}
