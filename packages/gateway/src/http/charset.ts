import { isUtf8 } from 'node:buffer'
import { RequestFault } from './problem.ts'

const REPLACEMENT = '\ufffd'

/** Stands for a byte that is not UTF-8. It can be in no text that was encoded correctly. */
export const UNREADABLE = '\udc80'

const UTF_8: ReadonlySet<string> = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii'])

/** Returns the charset parameter of a media type, or undefined where it is UTF-8 or absent. */
export function charsetOf(parameters: readonly string[]): string | undefined {
  const parameter = parameters.find(text => /^charset\s*=/.test(text))
  if (parameter === undefined) return undefined
  const name = parameter.slice(parameter.indexOf('=') + 1).replaceAll(/["'\s]/g, '')
  if (name === '' || UTF_8.has(name)) return undefined
  for (const label of [name, name.replaceAll('_', '-')]) {
    if (isEncoding(label)) return label
  }
  throw new RequestFault({ kind: 'media-type-unsupported', reason: 'the charset is unknown: send the body as UTF-8' })
}

function isEncoding(label: string): boolean {
  try {
    new TextDecoder(label)
    return true
  } catch {
    return false
  }
}

/**
 * Returns the text of a body. What the bytes show counts for more than the header: a byte order
 * mark, and the zero bytes of UTF-16. Bytes that are not in the charset become lone surrogates,
 * which no key may contain, so that only the samples that have them are rejected.
 */
export function decodeText(bytes: Buffer, charset: string | undefined): string {
  const utf16 = utf16In(bytes)
  const isUnmarked = charset === undefined || charset.startsWith('utf-16') || hasUtf8Mark(bytes)
  if (utf16 === undefined && isUnmarked && isUtf8(bytes)) return withoutMark(bytes.toString('utf8'))
  const text = new TextDecoder(utf16 ?? (isUnmarked ? 'utf-8' : charset)).decode(bytes)
  return withoutMark(text).replaceAll(REPLACEMENT, UNREADABLE)
}

/** Recognizes UTF-16 by its mark, or by the zero byte of its first character, which is ASCII. */
function utf16In(bytes: Buffer): string | undefined {
  const first = bytes[0]
  const second = bytes[1]
  if ((first === 0xff && second === 0xfe) || (second === 0 && first !== 0)) return 'utf-16le'
  if ((first === 0xfe && second === 0xff) || (first === 0 && second !== 0 && second !== undefined)) return 'utf-16be'
  return undefined
}

function hasUtf8Mark(bytes: Buffer): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
}

/** Windows clients begin a file with a byte order mark, which is not part of the text. */
function withoutMark(text: string): string {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}
