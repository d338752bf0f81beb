import { crc32 } from 'node:zlib'
import { partitionOf } from '@tidemark/shared/sample/partition'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NASTY_KEYS } from '../../src/nasty-keys.ts'

test('the partition of any key is the crc32 of its UTF-8 bytes', () => {
  const key = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({ maxLength: 60 }),
    fc.constantFrom(...NASTY_KEYS),
  )
  fc.assert(
    fc.property(key, fc.integer({ min: 1, max: 1024 }), (key, partitions) => {
      expect(partitionOf(key, partitions)).toBe(crc32(Buffer.from(key)) % partitions)
    }),
  )
})
