import { fuzzRuns } from '@tidemark/testkit/fuzz-runs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { uncompressSnappy } from '../src/http/snappy.ts'
import { snappy } from './support/write-request.ts'

const MAX = 1_000_000

const outcome = (block: Uint8Array, bytesMax = MAX): string | Buffer => {
  try {
    return uncompressSnappy(Buffer.from(block), bytesMax)
  } catch (error) {
    return String((error as { code?: string }).code)
  }
}

test('what another library compresses is read back', () => {
  /** Texts that repeat, so that blocks have copies near and far. */
  const repetitive = fc
    .array(fc.tuple(fc.constantFrom('a', 'label', '__name__', 'http_requests_total', 'é'), fc.nat(2000)))
    .map(parts => Buffer.from(parts.map(([text, count]) => text.repeat(count % 97) + count).join('')))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 3000 }), repetitive), bytes => {
      expect(outcome(snappy(bytes))).toEqual(Buffer.from(bytes))
    }),
  )
  const large = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * i) % 251))
  expect(outcome(snappy(large))).toEqual(large)
})

test.each<[string, number[], string]>([
  ['no length', [], 'Z_BUF_ERROR'],
  ['a length that is cut off', [0x80], 'Z_BUF_ERROR'],
  ['a length of more than 5 bytes', [0x80, 0x80, 0x80, 0x80, 0x80, 0x01], 'Z_DATA_ERROR'],
  ['more than is allowed', [0xc1, 0x84, 0x3d], 'ERR_BUFFER_TOO_LARGE'],
  ['4 GiB', [0xff, 0xff, 0xff, 0xff, 0x0f], 'ERR_BUFFER_TOO_LARGE'],
  ['less content than its length', [5, 0x04, 97, 98], 'Z_BUF_ERROR'],
  ['more content than its length', [1, 0x04, 97, 98], 'Z_DATA_ERROR'],
  ['a literal that is cut off', [5, 0x10, 97], 'Z_BUF_ERROR'],
  ['a long literal without its length', [70, 0xf0], 'Z_BUF_ERROR'],
  // A library reads this length as negative, goes back, and never ends.
  ['a literal of 4 GiB', [70, 0xfc, 0xfa, 0xff, 0xff, 0xff], 'Z_BUF_ERROR'],
  ['a copy of nothing', [5, 0x01, 0x01], 'Z_DATA_ERROR'],
  ['a copy from before the beginning', [8, 0x00, 97, 0x05, 0x09], 'Z_DATA_ERROR'],
  ['a copy with offset 0', [8, 0x00, 97, 0x05, 0x00], 'Z_DATA_ERROR'],
  ['a copy beyond its length', [2, 0x00, 97, 0x0d, 0x01], 'Z_DATA_ERROR'],
  ['a copy that is cut off', [8, 0x00, 97, 0x0e], 'Z_BUF_ERROR'],
])('%s is refused', (_, block, code) => {
  expect(outcome(Buffer.from(block))).toBe(code)
})

test('any bytes end in content of the declared length, or in an error', () => {
  const operations = fc
    .tuple(fc.nat(300), fc.array(fc.nat(255), { maxLength: 200 }))
    .map(([length, rest]) => Buffer.from([(length & 0x7f) | 0x80, length >> 7, ...rest]))
  fc.assert(
    fc.property(fc.oneof(operations, fc.uint8Array({ maxLength: 100 })), block => {
      const result = outcome(block, 4096)
      if (typeof result === 'string') expect(['Z_BUF_ERROR', 'Z_DATA_ERROR', 'ERR_BUFFER_TOO_LARGE']).toContain(result)
      else expect(result.byteLength).toBeLessThanOrEqual(4096)
    }),
    fuzzRuns(2000),
  )
})
