/**
 * Characters that are not seen: they reorder what stands beside them, break lines, or make two keys
 * look alike. Joiners are not among them: emoji and some scripts need them.
 */
const HIDDEN = /[\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g

/** Writes characters that are not seen by their numbers: `<U+202E>`. */
export function visible(text: string): string {
  return text.replace(HIDDEN, character => `<${numberOf(character)}>`)
}

/** Returns the number of a character, as `U+202E`. */
export function numberOf(character: string): string {
  return `U+${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0')}`
}
