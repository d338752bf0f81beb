import {
  brotliDecompressSync,
  constants,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  type ZlibOptions,
  type ZstdOptions,
  zstdDecompressSync,
} from 'node:zlib'
import { RequestFault } from './problem.ts'
import { uncompressSnappy } from './snappy.ts'

/** Of the header Accept-Encoding. */
export const CODINGS = 'gzip, deflate, br, zstd'

/** Codings of one body. One on top of another saves nothing. */
const CODINGS_MAX = 3

/** log2 of the largest zstd window: 8 MiB, as RFC 8878 recommends. A frame can ask for 2 GiB. */
const ZSTD_WINDOW_LOG_MAX = 23

/** What clients write where nothing is compressed, names of charsets among them. */
const NO_CODING = /^(?:|identity|none|null|utf-?8|(?:us-)?ascii|iso-?8859-?1|latin1|binary|[78]bit|text|plain|json)$/

/** Returns what was compressed, and how many bytes of the input that took. */
type Decoder = (bytes: Buffer, bytesMax: number) => Decoded

interface Decoded {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}

/** Node's types leave out what the option `info` changes. */
function decoder(decompress: (bytes: Buffer, options: ZlibOptions & ZstdOptions) => unknown, params = {}): Decoder {
  return (bytes, bytesMax) => decompress(bytes, { maxOutputLength: bytesMax, info: true, ...params }) as Decoded
}

const inflate = decoder(inflateSync)
const inflateRaw = decoder(inflateRawSync)
const gunzip = decoder(gunzipSync)

/** Blocks of snappy, which are no Content-Encoding of HTTP: only a route can expect them. */
export const SNAPPY = 'snappy'

function decodeSnappy(bytes: Buffer, bytesMax: number): Decoded {
  return { buffer: uncompressSnappy(bytes, bytesMax), engine: { bytesWritten: bytes.byteLength } }
}

const HTTP_DECODERS: ReadonlyMap<string, Decoder> = new Map([
  ['gzip', gunzip],
  ['x-gzip', gunzip],
  // By RFC 9110 it has a zlib header; some clients leave that out.
  ['deflate', (bytes, bytesMax) => (hasZlibHeader(bytes) ? inflate : inflateRaw)(bytes, bytesMax)],
  ['br', decoder(brotliDecompressSync)],
  ['zstd', decoder(zstdDecompressSync, { params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX } })],
])

const DECODERS: ReadonlyMap<string, Decoder> = new Map([...HTTP_DECODERS, [SNAPPY, decodeSnappy]])

/** Codings whose streams can begin with any byte. */
const UNMARKED: ReadonlySet<string> = new Set(['br', SNAPPY])

/** Returns the codings of a Content-Encoding in the order they were applied; usually none. */
export function codingsOf(header: string | readonly string[] | undefined): readonly string[] {
  if (header === undefined) return []
  const names = String(header).split(',')
  const codings = names.map(name => name.trim().toLowerCase()).filter(name => !NO_CODING.test(name))
  const unknown = codings.find(coding => !HTTP_DECODERS.has(coding))
  if (unknown !== undefined) {
    const reason = `the Content-Encoding is not supported: use one of ${CODINGS}, or do not compress the body`
    throw new RequestFault({ kind: 'media-type-unsupported', reason, acceptEncoding: CODINGS })
  }
  if (codings.length > CODINGS_MAX) {
    const reason = `the body is compressed ${codings.length} times: at most ${CODINGS_MAX} codings are supported`
    throw new RequestFault({ kind: 'media-type-unsupported', reason, acceptEncoding: CODINGS })
  }
  return codings
}

/**
 * Returns the content of a body that may be compressed, also where a proxy or client lost the
 * header. It blocks for as long as parsing the content does, and so never holds the contents of
 * many bodies. Throws a RequestFault for a damaged body, and for one that is longer than `bytesMax`
 * at any step.
 */
export function decompress(bytes: Buffer, codings: readonly string[], bytesMax: number): Buffer {
  if (codings.length === 0) {
    const shown = codingShownBy(bytes)
    return shown === undefined ? bytes : decode(bytes, shown, bytesMax)
  }
  let content = bytes
  for (const coding of codings.toReversed()) content = decode(content, coding, bytesMax)
  return content
}

/** Decodes all members of a body: frames of zstd, and streams that were appended to each other. */
function decode(bytes: Buffer, coding: string, bytesMax: number): Buffer {
  const parts: Buffer[] = []
  let room = bytesMax
  for (let rest = bytes; rest.byteLength > 0; ) {
    const { buffer, engine } = decodeMember(rest, coding, room)
    parts.push(buffer)
    room -= buffer.byteLength
    if (engine.bytesWritten === 0) throw damaged(coding)
    rest = rest.subarray(engine.bytesWritten)
    if (isPadding(rest)) break
    if (room === 0 && rest.byteLength > 0) throw tooLarge(bytesMax)
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)

  function decodeMember(member: Buffer, name: string, outputMax: number): Decoded {
    try {
      // The bytes count for more than the header: clients confuse gzip and deflate.
      const shown = UNMARKED.has(name) ? undefined : codingShownBy(member)
      return (DECODERS.get(shown ?? name) as Decoder)(member, outputMax)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(bytesMax)
      // Node reads on after a member of gzip, and fails at a line end that a print put there.
      const trimmed = name === SNAPPY ? member : withoutLineEnds(member)
      if (trimmed.byteLength < member.byteLength) return decodeMember(trimmed, name, outputMax)
      throw damaged(name, code)
    }
  }
}

function tooLarge(bytesMax: number): RequestFault {
  return new RequestFault({ kind: 'body-too-large', bytesMax, isDecompressed: true })
}

function damaged(coding: string, code?: string): RequestFault {
  const [problem, remedy] =
    code === 'Z_BUF_ERROR'
      ? ['is cut off', 'Send the whole body again']
      : [`is damaged, or is not ${coding}`, 'Send a body that is not compressed without Content-Encoding']
  return new RequestFault({
    kind: 'body-malformed',
    reason: `the compressed body (${coding}) ${problem}: nothing of it is stored. ${remedy}`,
  })
}

/** Returns the coding that the first bytes of a body show; no JSON begins with them. */
function codingShownBy(bytes: Buffer): string | undefined {
  const [first, second, third] = bytes
  if (first === 0x1f && second === 0x8b && third === 8) return 'gzip'
  if (first === 0x28 && second === 0xb5 && third === 0x2f && bytes[3] === 0xfd) return 'zstd'
  return first === 0x78 && (second === 0x01 || second === 0x9c || second === 0xda) ? 'deflate' : undefined
}

function withoutLineEnds(bytes: Buffer): Buffer {
  return bytes.subarray(0, bytes.findLastIndex(byte => byte !== 0x0a && byte !== 0x0d) + 1)
}

/** Whether a rest is what clients send after a compressed body, such as the line end of a print. */
function isPadding(rest: Buffer): boolean {
  return rest.every(byte => byte === 0 || byte === 0x0a || byte === 0x0d)
}

/** Of RFC 1950: the method is 8, and the first two bytes as a number are a multiple of 31. */
function hasZlibHeader(bytes: Buffer): boolean {
  return bytes.byteLength >= 2 && ((bytes[0] as number) & 0x0f) === 8 && bytes.readUInt16BE(0) % 31 === 0
}
