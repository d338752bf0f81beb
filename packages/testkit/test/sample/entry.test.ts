import {
  addTrace,
  packTraces,
  SAMPLE_STRIDE,
  TRACES_MAX,
  unpackEntry,
  unpackTraces,
} from '@tidemark/shared/sample/entry'
import type { TraceContext } from '@tidemark/shared/sample/trace-context'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { packSamples } from '../../src/samples.ts'

const sample = fc.record({
  key: fc.string({ unit: 'grapheme', minLength: 1 }).filter(key => key.isWellFormed()),
  // The gateway converts -0 to 0, so no entry holds it.
  value: fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => value + 0),
  timestamp: fc.double({ noNaN: true, min: 0, max: 8.64e15 }),
})

test('packed samples are unpacked bit for bit', () => {
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

test('a thousand samples take less than 45 bytes per sample', () => {
  const samples = Array.from({ length: 1000 }, (_, i) => ({
    key: `edge-${i % 20}/rps`,
    value: i / 8,
    timestamp: 1_700_000_000_000 + i,
  }))
  expect(packSamples(samples).length / samples.length).toBeLessThan(45)
  expect(SAMPLE_STRIDE).toBe(3)
})

test('no content of a stream makes unpacking throw', () => {
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

describe('the traces of an entry', () => {
  const hex = (n: number, length: number): string => (n + 1).toString(16).padStart(length, '0')
  const trace = (n: number, isSampled: boolean): TraceContext => ({
    traceId: hex(n, 32),
    spanId: hex(n, 16),
    isSampled,
  })
  const gathered = (sampled: readonly boolean[]): TraceContext[] => {
    const traces: TraceContext[] = []
    for (const [n, isSampled] of sampled.entries()) addTrace(traces, trace(n, isSampled))
    return traces
  }

  test('are unpacked as they were packed, sampled ones first', () => {
    const traces = [trace(0, false), trace(1, true), trace(2, false), trace(3, true)]
    expect(unpackTraces(packTraces(traces))).toEqual([traces[1], traces[3], traces[0], traces[2]])
  })

  test('are limited, and a sampled one is dropped only for other sampled ones', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 40 }), sampled => {
        const traces = gathered(sampled)
        const recorded = sampled.filter(isSampled => isSampled).length
        expect(traces).toHaveLength(Math.min(sampled.length, TRACES_MAX))
        expect(traces.filter(({ isSampled }) => isSampled)).toHaveLength(Math.min(recorded, TRACES_MAX))
        expect(packTraces(traces).length).toBeLessThanOrEqual(TRACES_MAX * 56)
      }),
    )
  })

  test('are unpacked from any text, up to the limit', () => {
    const good = packTraces([trace(7, true)])
    expect(unpackTraces(`junk ${good} `)).toEqual([trace(7, true)])
    expect(unpackTraces(`${good} `.repeat(1000))).toHaveLength(TRACES_MAX)
    fc.assert(fc.property(fc.string(), text => unpackTraces(text).length <= TRACES_MAX))
  })
})
