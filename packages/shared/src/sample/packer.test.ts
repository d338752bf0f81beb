import fc from 'fast-check'
import { expect, test } from 'vitest'
import { packSubBatches, unpackSamples } from './entry.ts'
import { SamplePacker } from './packer.ts'
import { partitionOf } from './partition.ts'

const PARTITIONS = 4

const decimal = fc.tuple(fc.maxSafeInteger(), fc.nat(8)).map(([n, places]) => n / 10 ** places)
const number = fc.oneof(decimal, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer(), fc.maxSafeInteger())
const key = fc.oneof(
  fc.constantFrom('edge-1/rps', 'a"b', 'a\\b', 'é', '😀', '\u2028', '\u007f', '__proto__'),
  fc.string({ unit: 'grapheme-ascii', minLength: 1 }),
  fc.string({ unit: 'grapheme', minLength: 1 }).filter(text => text.isWellFormed()),
)
// The gateway converts -0 to 0, so the packer never sees it.
const sample = fc.record({ key, value: number.map(n => n + 0), timestamp: number.map(n => Math.abs(n)) })

test('packed samples are unpacked bit for bit, in their partitions and in order', () => {
  const packer = new SamplePacker(PARTITIONS)
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 60 }), samples => {
      for (const one of samples) packer.add(partitionOf(one.key, PARTITIONS), one)
      const expected = Array.from({ length: PARTITIONS }, (_, partition) => ({
        partition,
        samples: samples.filter(one => partitionOf(one.key, PARTITIONS) === partition),
      })).filter(one => one.samples.length > 0)
      const packed = packer.take().map(({ partition, samples: text, count }) => ({
        partition,
        count,
        unpacked: unpackSamples(packSubBatches([text])),
      }))
      expect(packed).toEqual(
        expected.map(({ partition, samples: own }) => ({
          partition,
          count: own.length,
          unpacked: { kind: 'samples', samples: own.flatMap(one => [one.key, one.value, one.timestamp]) },
        })),
      )
    }),
    { numRuns: 2000 },
  )
})

test('values of typical sensors are written as short as in JSON', () => {
  const packer = new SamplePacker(1)
  const values = [0, 1, -1, 0.1, 0.05, 99.9, -12.34, 1e9, 1e21, 5e-324, 1.005, 123456789.12, 1_700_000_000_000]
  for (const value of values) packer.add(0, { key: 'edge-1/rps', value, timestamp: 1_700_000_000_000 })
  const flat = values.flatMap(value => ['edge-1/rps', value, 1_700_000_000_000])
  expect(packer.take()).toEqual([{ partition: 0, count: values.length, samples: JSON.stringify(flat).slice(1, -1) }])
})

test('the samples of a partition are one text, and are taken once', () => {
  const packer = new SamplePacker(1)
  for (let i = 0; i < 10_000; i++) packer.add(0, { key: `edge-${i}/rps`, value: i / 8, timestamp: i })
  const [packed] = packer.take()
  expect(packed?.count).toBe(10_000)
  expect(unpackSamples(packSubBatches([packed?.samples ?? ''])).kind).toBe('samples')
  expect(packer.take()).toEqual([])
})
