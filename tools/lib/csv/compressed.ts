import { pipeline, Readable, type Transform } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { CsvProblem } from './problem.ts'

/** Compressed formats, by the first bytes of a file. */
const FORMATS = [
  { name: 'gzip', bytes: [0x1f, 0x8b], open: (): Transform => createGunzip() },
  { name: 'zstd', bytes: [0x28, 0xb5, 0x2f, 0xfd], open: (): Transform => createZstdDecompress() },
] as const

/** Yields the bytes of a file, decompressed if they are compressed, whatever the file's name. */
export async function* decompressed(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const source = chunks[Symbol.asyncIterator]()
  const first = await source.next()
  const all = (async function* () {
    try {
      for (let next = first; next.done !== true; next = await source.next()) yield next.value
    } finally {
      await source.return?.()
    }
  })()
  const format = FORMATS.find(({ bytes }) => bytes.every((byte, index) => first.value?.[index] === byte))
  if (format === undefined) {
    yield* all
    return
  }
  const output = format.open()
  // The error is thrown to the reader below.
  pipeline(Readable.from(all), output, () => {})
  try {
    yield* output as AsyncIterable<Uint8Array>
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CsvProblem(`its ${format.name} data is damaged: ${reason}`, { cause: error })
  }
}
