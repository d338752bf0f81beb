const LITERAL = 0
const COPY_1 = 1
const COPY_2 = 2

/** Lengths of literals above this are in the bytes after the tag. */
const SHORT_LITERAL_MAX = 60

/** Codes that node:zlib has too, so that both are mapped alike. */
class SnappyError extends Error {
  readonly code: string

  constructor(code: string) {
    super(`snappy: ${code}`)
    this.code = code
  }
}

/**
 * Decompresses one block of snappy (not its framing format). Throws an Error with the code
 * ERR_BUFFER_TOO_LARGE if the content is longer than `bytesMax`, else with one of zlib's. The
 * content that the block declares is allocated, and nothing more.
 */
export function uncompressSnappy(block: Buffer, bytesMax: number): Buffer {
  let at = 0
  let length = 0
  for (let factor = 1; ; factor *= 128) {
    if (at >= block.length) throw new SnappyError('Z_BUF_ERROR')
    const byte = block[at++] as number
    length += (byte & 0x7f) * factor
    if (byte < 0x80) break
    if (at === 5) throw new SnappyError('Z_DATA_ERROR')
  }
  if (length > bytesMax) throw new SnappyError('ERR_BUFFER_TOO_LARGE')
  const content = Buffer.allocUnsafe(length)
  let end = 0
  while (at < block.length) {
    const tag = block[at++] as number
    const kind = tag & 3
    if (kind === LITERAL) {
      let size = (tag >> 2) + 1
      if (size > SHORT_LITERAL_MAX) {
        const bytes = size - SHORT_LITERAL_MAX
        if (at + bytes > block.length) throw new SnappyError('Z_BUF_ERROR')
        size = block.readUIntLE(at, bytes) + 1
        at += bytes
      }
      if (at + size > block.length) throw new SnappyError('Z_BUF_ERROR')
      if (end + size > length) throw new SnappyError('Z_DATA_ERROR')
      if (size < 32) for (let i = 0; i < size; i++) content[end + i] = block[at + i] as number
      else content.set(block.subarray(at, at + size), end)
      at += size
      end += size
      continue
    }
    const bytes = kind === COPY_1 ? 1 : kind === COPY_2 ? 2 : 4
    if (at + bytes > block.length) throw new SnappyError('Z_BUF_ERROR')
    const size = kind === COPY_1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1
    const offset = block.readUIntLE(at, bytes) + (kind === COPY_1 ? (tag >> 5) << 8 : 0)
    at += bytes
    if (offset === 0 || offset > end || end + size > length) throw new SnappyError('Z_DATA_ERROR')
    // It may repeat what it writes, so the bytes are copied one by one.
    for (let i = 0; i < size; i++) content[end + i] = content[end - offset + i] as number
    end += size
  }
  if (end !== length) throw new SnappyError('Z_BUF_ERROR')
  return content
}
