/** What systems print for a number that does not exist, Microsoft's C library among them. */
const NAN = /^[+-]?(?:[sq]?nan|1\.#(?:ind|qnan|snan))/i
const INFINITE = /^[+-]?(?:inf|1\.#inf|\u221e)/i
const NOTHING = /^(?:none|null|nil|undefined|n\/a|na|)$/i

/** A string, or what stands between punctuation. Each match goes forward: it takes linear time. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"?|[^\s,:{}[\]"]+/gs

/** Returns what a token that is not JSON stands for; undefined if it may be anything else. */
export function noNumberOf(token: string): 'nan' | 'infinite' | 'nothing' | undefined {
  if (NAN.test(token)) return 'nan'
  if (INFINITE.test(token)) return 'infinite'
  return NOTHING.test(token) ? 'nothing' : undefined
}

/** Replaces bare NaN, Infinity and the like by null, as JSON has no such numbers. */
export function nullNoNumbers(text: string): string {
  return text.replace(TOKENS, token => (token.startsWith('"') || noNumberOf(token) === undefined ? token : 'null'))
}
