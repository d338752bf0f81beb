import { KeyTemplate } from '@tidemark/shared/sample/key-template'
import { fuzzRuns } from '@tidemark/testkit/fuzz-runs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Batch } from '../src/ingest/formats/batch.ts'
import { decodeRequest } from '../src/ingest/protocols/otlp/messages.ts'
import { readMetrics } from '../src/ingest/protocols/otlp/metrics.ts'
import { SeriesIndex } from '../src/ingest/protocols/remote-write/series.ts'
import { SeriesRules } from '../src/ingest/protocols/remote-write/series-rules.ts'
import { readWriteRequest } from '../src/ingest/protocols/remote-write/write-request.ts'
import { wireReason } from '../src/ingest/protocols/wire.ts'
import { NOW } from './support/fixture.ts'
import { encodeMetrics } from './support/otlp.ts'
import { encodeWriteRequest, type SentSeries } from './support/write-request.ts'

const LIMITS = { samplesMax: 1000, keyBytesMax: 200, valueAbsMax: 1e100, futureMaxMs: 86_400_000 }
const RUNS = fuzzRuns(300)

const template = (text: string, name: string): KeyTemplate => new KeyTemplate(text, [name])

function createBatch(): Batch {
  return new Batch({ ...LIMITS, template: template('{metric}{tags}', 'metric') }, NOW)
}

/** Samples that were taken in, rejected and skipped. */
function total({ samples, rejections, skipped }: Batch): number {
  return samples.length + rejections.length + [...skipped.values()].reduce((sum, count) => sum + count, 0)
}

const series = new SeriesIndex({
  template: template('{__name__}{tags}', '__name__'),
  counters: 'suffix',
  rules: new SeriesRules(),
})

function readWrite(bytes: Uint8Array): { batch: Batch; fault: string | undefined } {
  const batch = createBatch()
  return { batch, fault: readWriteRequest(Buffer.from(bytes), series, batch)?.kind }
}

const OTLP = { template: template('{metric}{tags}', 'metric'), resourceAttributes: ['service.name'] }

function readOtlp(request: unknown): { batch: Batch; fault: string | undefined } {
  const batch = createBatch()
  return { batch, fault: readMetrics(request, OTLP, batch)?.kind }
}

const samplesOf = ({ samples }: Batch) => samples.map(({ key, value, timestamp }) => [key, value, timestamp])

/** Changes, removes and repeats bytes. */
const damages = fc.array(fc.tuple(fc.nat(), fc.nat(255), fc.constantFrom('set', 'cut', 'repeat')), { maxLength: 6 })

function damage(bytes: Buffer, changes: readonly (readonly [number, number, string])[]): Buffer {
  let result = bytes
  for (const [where, byte, how] of changes) {
    const at = where % (result.length + 1)
    if (how === 'set') result = Buffer.concat([result.subarray(0, at), Buffer.from([byte]), result.subarray(at + 1)])
    else if (how === 'cut') result = Buffer.concat([result.subarray(0, at), result.subarray(at + (byte % 9))])
    else result = Buffer.concat([result.subarray(0, at), result.subarray(Math.max(0, at - byte))])
  }
  return result
}

const text = fc.oneof(
  fc.constantFrom('', '__name__', 'a', 'job', 'x_total', 'é', ',', '=', '%2C', '\u0000'),
  fc.string(),
)
const value = fc.oneof(fc.double(), fc.constantFrom(0, -0, 1, Number.NaN, Infinity, 1e200))
const timestamp = fc.oneof(fc.constantFrom(0, -1, NOW, NOW + 1e12, 2 ** 62), fc.integer({ min: NOW - 1e6, max: NOW }))

const sentSeries: fc.Arbitrary<SentSeries> = fc.record({
  labels: fc.array(fc.tuple(text, text), { maxLength: 5 }),
  samples: fc.array(fc.tuple(value, timestamp), { maxLength: 4 }),
  exemplars: fc.nat(2),
  histograms: fc.nat(2),
})

describe('remote write', () => {
  test('accepts, rejects or skips every sample of a request', () => {
    fc.assert(
      fc.property(fc.array(sentSeries, { maxLength: 6 }), sent => {
        const { batch, fault } = readWrite(encodeWriteRequest({ series: sent, types: { x: 1 } }))
        expect(fault).toBeUndefined()
        const count = sent.map(
          ({ samples = [], exemplars = 0, histograms = 0 }) => samples.length + exemplars + histograms,
        )
        expect(total(batch)).toBe(count.reduce((sum, one) => sum + one, 0))
      }),
      RUNS,
    )
  })

  test('reads any bytes to an end, and nothing of what is no message', () => {
    fc.assert(
      fc.property(fc.array(sentSeries, { maxLength: 4 }), damages, (sent, changes) => {
        const { fault } = readWrite(damage(encodeWriteRequest({ series: sent }), changes))
        expect([undefined, 'malformed', 'too-many']).toContain(fault)
      }),
      RUNS,
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => void readWrite(bytes)),
      RUNS,
    )
  })

  test('of many series remembers some only', () => {
    const index = new SeriesIndex({
      template: template('{__name__}{tags}', '__name__'),
      counters: 'off',
      rules: new SeriesRules(),
    })
    const pad = 'x'.repeat(100_000)
    for (let i = 0; i < 500; i++) {
      const labels = { __name__: `m${i}`, pad }
      readWriteRequest(encodeWriteRequest({ series: [{ labels, samples: [[1, NOW]] }] }), index, createBatch())
    }
    expect(index.size).toBeLessThanOrEqual((8 * 1024 * 1024) / pad.length + 2)
  })
})

const attributes = fc.array(
  fc.record({
    key: text,
    value: fc.oneof(
      fc.record({ stringValue: text }),
      fc.record({ intValue: fc.integer() }),
      fc.record({ boolValue: fc.boolean() }),
    ),
  }),
  { maxLength: 4 },
)
const times = {
  startTimeUnixNano: fc.constantFrom(0, (NOW - 5000) * 1e6),
  timeUnixNano: fc.constantFrom(0, NOW * 1e6, (NOW + 1e12) * 1e6),
}
const point = fc.record({ ...times, attributes, asDouble: value, flags: fc.constantFrom(0, 1) }, { requiredKeys: [] })
const counted = fc.record({ ...times, attributes, count: fc.nat(9), sum: value }, { requiredKeys: ['count'] })
const data = (points: fc.Arbitrary<unknown>) =>
  fc.record({
    dataPoints: fc.array(points, { maxLength: 3 }),
    aggregationTemporality: fc.nat(3),
    isMonotonic: fc.boolean(),
  })
const metric = fc.oneof(
  fc.record({ name: text, gauge: data(point) }),
  fc.record({ name: text, sum: data(point) }),
  fc.record({ name: text, histogram: data(counted) }),
  fc.record({ name: text, exponentialHistogram: data(counted) }),
  fc.record({ name: text, summary: data(counted) }),
)
const request = fc
  .array(fc.array(metric, { maxLength: 4 }), { maxLength: 2 })
  .map(resources => ({ resourceMetrics: resources.map(metrics => ({ scopeMetrics: [{ metrics }] })) }))

describe('OTLP', () => {
  test('means the same in JSON and in protobuf, and no point is lost', () => {
    fc.assert(
      fc.property(request, sent => {
        const json = readOtlp(sent)
        const protobuf = readOtlp(decodeRequest(encodeMetrics(sent)))
        expect(protobuf.fault).toBe(json.fault)
        expect(samplesOf(protobuf.batch)).toEqual(samplesOf(json.batch))
        expect(protobuf.batch.rejections).toEqual(json.batch.rejections)
        const points = sent.resourceMetrics.flatMap(({ scopeMetrics }) =>
          scopeMetrics.flatMap(({ metrics }) => metrics),
        )
        const count = points.map(
          one => Object.values(one).flatMap(part => (typeof part === 'string' ? [] : part.dataPoints)).length,
        )
        expect(total(json.batch)).toBeGreaterThanOrEqual(count.reduce((sum, one) => sum + one, 0))
      }),
      RUNS,
    )
  })

  test('reads any bytes and any JSON to an end', () => {
    const decode = (bytes: Uint8Array): void => {
      try {
        readOtlp(decodeRequest(Buffer.from(bytes)))
      } catch (error) {
        // Rethrows what is a bug.
        wireReason(error)
      }
    }
    fc.assert(
      fc.property(request, damages, (sent, changes) => decode(damage(encodeMetrics(sent), changes))),
      RUNS,
    )
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), decode), RUNS)
    fc.assert(
      fc.property(fc.jsonValue(), body => void readOtlp(body)),
      RUNS,
    )
    const inner = fc.oneof(fc.jsonValue(), metric)
    fc.assert(
      fc.property(fc.array(inner), metrics => void readOtlp({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] })),
      RUNS,
    )
  })
})
