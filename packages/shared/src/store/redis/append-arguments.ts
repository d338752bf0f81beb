import { bulkString, type EncodedArguments } from './script-call.ts'

/** Encodes an append's arguments. The samples, most of the bytes, are written once. */
export function appendArguments(samples: string, rest: readonly string[]): EncodedArguments {
  return {
    count: 1 + rest.length,
    after(head) {
      const samplesBytes = Buffer.byteLength(samples)
      const before = `${head}$${samplesBytes}\r\n`
      const behind = `\r\n${rest.map(bulkString).join('')}`
      const bytes = Buffer.allocUnsafe(Buffer.byteLength(before) + samplesBytes + Buffer.byteLength(behind))
      let end = bytes.write(before)
      end += bytes.write(samples, end)
      bytes.write(behind, end)
      return bytes
    },
  }
}
