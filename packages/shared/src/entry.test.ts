import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packSamples, SAMPLE_STRIDE, unpackEntry } from './entry.ts'

const sample = fc.record({
  key: fc.string({ unit: 'grapheme', minLength: 1 }).filter(key => key.isWellFormed()),
  // -0 is made 0 at the door, so it never stands in an entry.
  value: fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => value + 0),
  timestamp: fc.double({ noNaN: true, min: 0, max: 8.64e15 }),
})

test('samples come out of an entry as they went in, bit for bit', () => {
  fc.assert(
    fc.property(fc.array(sample), samples => {
      const unpacked = unpackEntry({ id: '1-0', samples: packSamples(samples), count: samples.length, offset: 0 })
      expect(unpacked).toEqual({
        kind: 'samples',
        samples: samples.flatMap(({ key, value, timestamp }) => [key, value, timestamp]),
      })
    }),
  )
})

test('a thousand samples take less than 45 bytes each', () => {
  const samples = Array.from({ length: 1000 }, (_, i) => ({
    key: `edge-${i % 20}/rps`,
    value: i / 8,
    timestamp: 1_700_000_000_000 + i,
  }))
  expect(packSamples(samples).length / samples.length).toBeLessThan(45)
  expect(SAMPLE_STRIDE).toBe(3)
})

test('nothing that stands in a stream stops its reader', () => {
  fc.assert(
    fc.property(
      fc.option(fc.oneof(fc.string(), fc.json()), { nil: undefined }),
      fc.option(fc.nat(5), { nil: undefined }),
      fc.option(fc.nat(5), { nil: undefined }),
      (samples, count, offset) => {
        const unpacked = unpackEntry({ id: '1-0', samples, count, offset })
        if (unpacked.kind === 'unreadable') expect(unpacked.reason).toMatch(/^(its|it|sample) /)
        else expect(unpacked.samples.length).toBe(SAMPLE_STRIDE * (count ?? -1))
      },
    ),
  )
})
