export interface Sample {
  readonly key: string
  /** Finite, never -0. */
  readonly value: number
  /** When it was measured: Unix time in whole milliseconds, or marked as arrival (arrival.ts). */
  readonly timestamp: number
}

/** C0 and C1 control characters and DEL. They break logs and terminals. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it must find them
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f]/

/** Returns why a key is invalid, as the end of a sentence; undefined for a valid key. */
export function keyFault(key: string, bytesMax: number): string | undefined {
  if (key.length === 0) return 'must not be empty'
  // A UTF-16 unit is at most 3 bytes of UTF-8, so the bytes of most keys need not be counted.
  if (key.length * 3 > bytesMax && Buffer.byteLength(key) > bytesMax)
    return `must be at most ${bytesMax} bytes of UTF-8`
  if (CONTROL_CHARACTER.test(key)) return 'must not contain control characters'
  if (!key.isWellFormed()) return 'must not contain lone surrogates or bytes that are not UTF-8'
  return undefined
}
