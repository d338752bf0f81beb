/** One part of a pattern: a character, a test of one, a run of any, or a mark of braces. */
export interface Token {
  readonly kind: 'literal' | 'one' | 'run' | 'class' | 'open' | 'comma' | 'close'
  readonly text: string
  /** Of a literal. */
  readonly code?: number
  /** Of a class: whether a code point is in it. */
  readonly has?: (code: number) => boolean
}

/** Masks that an automaton keeps, for the characters that it met last. */
const MASKS_KEPT = 48

/**
 * Matches keys against a pattern, braces included, in linear time: it follows all ways through the
 * pattern at once, 32 of them in one operation (Baeza-Yates and Gonnet, "A new approach to text
 * searching", 1992). State i means that the tokens before i have matched, the last that all have.
 * A key of n characters takes n * (states / 32) steps, and a few for each brace and star.
 */
export class GlobAutomaton {
  readonly #tokens: readonly Token[]
  readonly #words: number
  /** Reached without a character. */
  readonly #start: Uint32Array
  /** States that any character leaves as they are. */
  readonly #runs: Uint32Array
  /** Runs before a plain token: reaching one also reaches the next state. */
  readonly #shifted: Uint32Array
  /** Other states from which more are reached without a character: marks of braces, and runs. */
  readonly #passed: Uint32Array
  readonly #marks: Uint32Array
  readonly #reached: readonly (Uint32Array | undefined)[]
  /** By the code point of each of the last characters, its offset in `masks`. */
  readonly #offsets = new Map<number, number>()
  /** For each of these characters the states that it moves on. Made with the first match. */
  #masks: Uint32Array | undefined
  #active: Uint32Array
  #next: Uint32Array

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
    const words = (tokens.length >> 5) + 1
    const empty = (): Uint32Array => new Uint32Array(words)
    this.#words = words
    this.#runs = empty()
    this.#shifted = empty()
    this.#passed = empty()
    this.#marks = empty()
    this.#active = empty()
    this.#next = empty()
    const reached = reachedStates(tokens, words)
    this.#reached = reached
    for (const [i, { kind }] of tokens.entries()) {
      if (reached[i] === undefined) continue
      add(kind === 'run' ? this.#runs : this.#marks, i)
      add(kind === 'run' && reached[i + 1] === undefined ? this.#shifted : this.#passed, i)
    }
    this.#start = reached[0] ?? empty()
    if (reached[0] === undefined) add(this.#start, 0)
  }

  /** Whether all of the characters, given by their code points, match. */
  matches(codes: readonly number[]): boolean {
    const words = this.#words
    const last = this.#tokens.length
    this.#active.set(this.#start)
    for (const code of codes) {
      const active = this.#active
      const next = this.#next
      const offset = this.#offsets.get(code) ?? this.#addMask(code)
      const masks = this.#masks as Uint32Array
      let carry = 0
      let carryShifted = 0
      let isAlive = 0
      let passed = 0
      for (let w = 0; w < words; w++) {
        const before = active[w] as number
        const moved = before & (masks[offset + w] as number)
        const plain = (moved << 1) | carry | (before & (this.#runs[w] as number))
        const shifted = plain & (this.#shifted[w] as number)
        const now = plain | (shifted << 1) | carryShifted
        carry = moved >>> 31
        carryShifted = shifted >>> 31
        next[w] = now
        isAlive |= now
        passed |= now & (this.#passed[w] as number)
      }
      if (isAlive === 0) return false
      if (passed !== 0) this.#pass(next)
      this.#active = next
      this.#next = active
    }
    return ((this.#active[last >> 5] as number) & (1 << (last & 31))) !== 0
  }

  /** Adds the states that are reached without a character, and removes the marks. */
  #pass(states: Uint32Array): void {
    for (let w = 0; w < this.#words; w++) {
      let passed = (states[w] as number) & (this.#passed[w] as number)
      states[w] = (states[w] as number) & ~(this.#marks[w] as number)
      while (passed !== 0) {
        const bit = 31 - Math.clz32(passed)
        passed &= ~(1 << bit)
        const reached = this.#reached[w * 32 + bit] as Uint32Array
        for (let r = w; r < this.#words; r++) states[r] = (states[r] as number) | (reached[r] as number)
      }
    }
  }

  #addMask(code: number): number {
    if (this.#offsets.size === MASKS_KEPT) this.#offsets.clear()
    this.#masks ??= new Uint32Array(MASKS_KEPT * this.#words)
    const offset = this.#offsets.size * this.#words
    const mask = this.#masks.subarray(offset, offset + this.#words).fill(0)
    for (const [i, token] of this.#tokens.entries()) {
      if (token.kind === 'one' || token.code === code || token.has?.(code) === true) add(mask, i)
    }
    this.#offsets.set(code, offset)
    return offset
  }
}

/**
 * Returns for each run and mark the states that are reached from it without a character, except
 * marks; undefined for other tokens.
 */
function reachedStates(tokens: readonly Token[], words: number): (Uint32Array | undefined)[] {
  const reached = new Array<Uint32Array | undefined>(tokens.length + 1)
  const addAll = (to: Uint32Array, state: number): void => {
    const states = reached[state]
    if (states === undefined) add(to, state)
    else for (const [w, word] of states.entries()) to[w] = (to[w] as number) | word
  }
  /** Of the braces that are open, from the innermost: where they close, and their commas. */
  const braces: { readonly close: number; readonly commas: number[] }[] = []
  for (let i = tokens.length - 1; i >= 0; i--) {
    const { kind } = tokens[i] as Token
    if (kind === 'literal' || kind === 'one' || kind === 'class') continue
    const states = new Uint32Array(words)
    if (kind === 'comma') {
      const inner = braces.at(-1) as (typeof braces)[number]
      addAll(states, inner.close)
      inner.commas.push(i)
    } else {
      if (kind === 'run') add(states, i)
      if (kind === 'close') braces.push({ close: i, commas: [] })
      if (kind === 'open') for (const comma of braces.pop()?.commas ?? []) addAll(states, comma + 1)
      addAll(states, i + 1)
    }
    reached[i] = states
  }
  return reached
}

function add(states: Uint32Array, state: number): void {
  states[state >> 5] = (states[state >> 5] as number) | (1 << (state & 31))
}
