/** Thrown for an invalid pattern. The message completes a sentence that begins with its name. */
export class GlobError extends Error {}

/** The maximum length of a pattern: the bytes of the longest key, and some for braces. */
const PATTERN_LENGTH_MAX = 400

export const ALTERNATIVES_MAX = 64

/** One step of matching: a literal character, a test of one, or undefined for any run. */
type Step = string | ((character: string) => boolean) | undefined

interface Token {
  readonly kind: 'literal' | 'one' | 'run' | 'class' | 'open' | 'comma' | 'close'
  readonly text: string
  readonly step: Step
}

const WILDCARDS_AND_BRACES = new Map<string, Token>([
  ['*', { kind: 'run', text: '*', step: undefined }],
  ['?', { kind: 'one', text: '?', step: () => true }],
  ['{', { kind: 'open', text: '{', step: undefined }],
  [',', { kind: 'comma', text: ',', step: undefined }],
  ['}', { kind: 'close', text: '}', step: undefined }],
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
  /** Whether the whole key matches. Takes at most key length times pattern length steps. */
  matches(key: string): boolean
}

/**
 * Compiles a pattern. `*` matches any run of characters (code points), `?` any one, `[abc]`,
 * `[0-9]` and `[!abc]` one of a set, `{a,b}` one of several patterns. A backslash escapes any of
 * these. Others, including slash and dot, are literal. Returns all alternatives.
 */
export function compileGlob(pattern: string): Glob[] {
  if (pattern.length === 0) throw new GlobError('must not be empty')
  if (pattern.length > PATTERN_LENGTH_MAX) throw new GlobError(`must be at most ${PATTERN_LENGTH_MAX} characters long`)
  if (!pattern.isWellFormed()) throw new GlobError('must not contain lone surrogates')
  const tokens = tokenize(pattern)
  const { ways, next } = expandBraces(tokens, 0, false)
  if (next < tokens.length) throw new GlobError('has a } without a {; write \\} for the character')
  return ways.map(toGlob)
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
  return { kind: 'literal', text: quote(character, /[*?[\]{}\\]/), step: character }
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
  const ranges: (readonly [string, string])[] = []
  let text = isNegated ? '[!' : '['
  while (characters[i] !== ']') {
    const from = read()
    // A dash before the closing bracket is literal.
    const isRange = characters[i] === '-' && characters[i + 1] !== ']' && characters[i + 1] !== undefined
    if (isRange) i++
    const to = isRange ? read() : from
    if (compareCharacters(from, to) > 0) throw new GlobError(`has the range ${from}-${to}, whose ends are reversed`)
    ranges.push([from, to])
    text += [...new Set([from, to])].map(end => quote(end, /[\]\\!^-]/)).join('-')
  }
  if (ranges.length === 0) throw new GlobError('has an empty []; write \\[\\] for the characters')
  const isIn = (character: string): boolean =>
    ranges.some(([from, to]) => compareCharacters(from, character) <= 0 && compareCharacters(character, to) <= 0)
  return { token: { kind: 'class', text: `${text}]`, step: character => isIn(character) !== isNegated }, last: i }
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

function toGlob(tokens: readonly Token[]): Glob {
  // Adjacent runs are equal to one.
  const distinct = tokens.filter((token, i) => token.kind !== 'run' || tokens[i - 1]?.kind !== 'run')
  const steps = distinct.map(({ step }) => step)
  const firstWild = steps.findIndex(step => typeof step !== 'string')
  const lastWild = steps.findLastIndex(step => typeof step !== 'string')
  const literals = (from: number, to?: number): string => steps.slice(from, to).join('')
  const count = (kind: Token['kind']): number => distinct.filter(token => token.kind === kind).length
  const isExact = firstWild === -1
  const prefix = isExact ? literals(0) : literals(0, firstWild)
  const suffix = isExact ? prefix : literals(lastWild + 1)
  const pieces = literalPieces(steps)
  // These tests reject nearly every key: most patterns have a piece that the key lacks.
  const mayMatch = (key: string): boolean =>
    key.startsWith(prefix) && key.endsWith(suffix) && pieces.every(piece => key.includes(piece))
  return {
    text: distinct.map(({ text }) => text).join(''),
    prefix,
    suffix,
    literals: count('literal'),
    classes: count('class'),
    ones: count('one'),
    runs: count('run'),
    matches: key => (isExact ? key === prefix : mayMatch(key) && matchSteps(steps, key)),
  }
}

/** Returns the literal texts between wildcards, before the first and after the last. */
function literalPieces(steps: readonly Step[]): string[] {
  const pieces = ['']
  for (const step of steps) {
    if (typeof step === 'string') pieces.push(`${pieces.pop() ?? ''}${step}`)
    else if (pieces.at(-1) !== '') pieces.push('')
  }
  return pieces.filter(piece => piece !== '')
}

/** Matches greedily: only the last run ever grows, so no pattern takes exponential time. */
function matchSteps(steps: readonly Step[], key: string): boolean {
  let step = 0
  let at = 0
  let runStep = -1
  let runEnd = 0
  while (at < key.length) {
    const character = String.fromCodePoint(key.codePointAt(at) as number)
    const wanted = steps[step]
    if (step < steps.length && wanted === undefined) {
      runStep = step++
      runEnd = at
    } else if (typeof wanted === 'string' ? wanted === character : wanted?.(character) === true) {
      step++
      at += character.length
    } else if (runStep >= 0) {
      runEnd += String.fromCodePoint(key.codePointAt(runEnd) as number).length
      at = runEnd
      step = runStep + 1
    } else return false
  }
  while (step < steps.length && steps[step] === undefined) step++
  return step === steps.length
}

/** Compares code points. Compared by UTF-16 unit, an emoji would come before U+E000. */
function compareCharacters(a: string, b: string): number {
  return (a.codePointAt(0) as number) - (b.codePointAt(0) as number)
}
