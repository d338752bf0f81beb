import { fuzzRuns } from '@tidemark/testkit/fuzz-runs'
import fc from 'fast-check'
import { get } from 'sparkplug-payload'
import { describe, expect, test } from 'vitest'
import { TopicTemplate } from './key-template.ts'
import { type MessageContent, MessageReader } from './message-reader.ts'

const MEBIBYTE = 1024 * 1024
const T = 1_700_000_000_000

type Payload = Parameters<NonNullable<ReturnType<typeof get>>['encodePayload']>[0]
const encode = (payload: Payload) => (get('spBv1.0') as NonNullable<ReturnType<typeof get>>).encodePayload(payload)

const create = (template = '{topic}') => new MessageReader(new TopicTemplate(template), MEBIBYTE)
const read = (payload: Uint8Array | string, topic = 'a/b', template?: string) =>
  create(template).read(topic, typeof payload === 'string' ? Buffer.from(payload) : payload)
const skippedOf = (payload: Uint8Array | string, topic?: string, template?: string) =>
  Object.fromEntries(read(payload, topic, template).skipped)

/** Values that are samples, and those that are counted. */
function total({ samples, skipped }: MessageContent): number {
  return samples.length + [...skipped.values()].reduce((sum, count) => sum + count, 0)
}

function expectReadable({ samples }: MessageContent): void {
  for (const { key, value, timestamp } of samples) {
    expect(Number.isFinite(value) && key.length <= 1024).toBe(true)
    expect(timestamp === undefined || Number.isFinite(timestamp)).toBe(true)
  }
}

describe('what becomes no sample is counted', () => {
  test.each([
    ['online', 'a', undefined, { unreadable: 1 }],
    ['x'.repeat(MEBIBYTE + 1), 'a', undefined, { too_large: 1 }],
    ['{"a":"on line","b":null,"c":[]}', 'a', undefined, { no_number: 2 }],
    ['{"a":1,"b":2}', 'a', '{2}', { no_level: 2 }],
    [`{"${'x'.repeat(1025)}":1,"b":2}`, 'a', undefined, { key_too_long: 1 }],
    ['1', 'x'.repeat(1025), undefined, { key_too_long: 1 }],
    ['{}', 'a', undefined, { empty: 1 }],
    ['', 'spBv1.0/g/NDATA/n', undefined, { empty: 1 }],
    ['online', 'spBv1.0/g/NDATA/n', undefined, { unreadable: 1 }],
    ['', 'spBv1.0/g/NDEATH/n', undefined, { control: 1 }],
  ])('%.20j under %.20j', (payload, topic, template, skipped) => {
    expect(skippedOf(payload, topic, template)).toEqual(skipped)
  })

  test('a node is asked for names that are not known', () => {
    const payload = encode({ timestamp: T, metrics: [{ alias: 7, type: 'Double', value: 1 }] })
    const content = read(payload, 'spBv1.0/g/NDATA/n')
    expect([Object.fromEntries(content.skipped), content.commandTopic]).toEqual([{ unnamed: 1 }, 'spBv1.0/g/NCMD/n'])
  })
})

const text = fc.oneof(fc.string(), fc.constantFrom('value', 'ts', 'time', '__proto__', 'a.b', '/', '%2F', 'é', 'on'))
const leaf = fc.oneof(fc.double(), fc.boolean(), fc.constant(null), text)
const json = fc.letrec<{ node: unknown }>(tie => ({
  node: fc.oneof(
    { depthSize: 'small', maxDepth: 6 },
    leaf,
    fc.array(tie('node'), { maxLength: 4 }),
    fc.dictionary(text, tie('node'), { maxKeys: 4 }),
  ),
})).node

const metric = fc.record(
  {
    name: text,
    alias: fc.nat(5),
    type: fc.constantFrom('Double', 'Int32', 'UInt64', 'Boolean', 'String', 'DateTime', 'Float', 'Bytes'),
    value: fc.constantFrom(1, 0, null),
    timestamp: fc.constantFrom(T, 0),
  },
  { requiredKeys: ['type', 'value'] },
)

/** Gives a metric a value of its type. */
function typed({ value, ...rest }: { type: string; value: number | null }): object {
  if (value === null) return { ...rest, value }
  const values: Record<string, unknown> = { Boolean: value === 1, String: 'on', Bytes: new Uint8Array(3) }
  return { ...rest, value: values[rest.type] ?? value }
}

const sparkplugTopic = fc.constantFrom('NBIRTH', 'NDATA', 'DBIRTH', 'DDATA').map(type => `spBv1.0/g/${type}/n/d`)
const encoded = fc.array(metric, { maxLength: 6 }).map(metrics => ({
  count: metrics.length,
  bytes: Buffer.from(encode({ timestamp: T, metrics: metrics.map(typed) } as Payload)),
}))

/** Changes, removes and repeats bytes. */
const damages = fc.array(fc.tuple(fc.nat(), fc.nat(255), fc.constantFrom('set', 'cut', 'repeat')), { maxLength: 6 })

function damage(bytes: Buffer, changes: readonly (readonly [number, number, string])[]): Buffer {
  let result = bytes
  for (const [where, byte, how] of changes) {
    const at = where % (result.length + 1)
    const rest = how === 'set' ? at + 1 : how === 'cut' ? at + (byte % 9) : Math.max(0, at - byte)
    const between = how === 'set' ? [byte] : []
    result = Buffer.concat([result.subarray(0, at), Buffer.from(between), result.subarray(rest)])
  }
  return result
}

describe('of any payload', () => {
  test('a plain number is one sample, or counted', () => {
    fc.assert(
      fc.property(fc.oneof(fc.double(), fc.integer()), value => {
        const { samples, skipped } = read(String(value))
        if (Number.isFinite(value)) expect(samples).toEqual([{ key: 'a/b', value: value + 0 }])
        else expect(Object.fromEntries(skipped)).toEqual({ unreadable: 1 })
      }),
      fuzzRuns(1000),
    )
  })

  test('each value of JSON is a sample or counted, but for times of measurement', () => {
    fc.assert(
      fc.property(json, value => {
        const written = JSON.stringify(value)
        let leaves = 0
        let times = 0
        JSON.parse(written, (name, member) => {
          if (typeof member === 'object' && member !== null) return member
          leaves++
          if (['ts', 'time'].includes(name)) times++
          return member
        })
        const content = read(written)
        expectReadable(content)
        expect(total(content)).toBeGreaterThanOrEqual(Math.max(1, leaves - times))
        expect(total(content)).toBeLessThanOrEqual(Math.max(1, leaves))
      }),
      fuzzRuns(2000),
    )
  })

  test('each metric of Sparkplug is a sample or counted', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(sparkplugTopic, encoded), { maxLength: 4 }), messages => {
        const reader = create()
        for (const [topic, { count, bytes }] of messages) {
          const content = reader.read(topic, bytes)
          expectReadable(content)
          expect(total(content)).toBe(Math.max(1, count))
        }
      }),
      fuzzRuns(500),
    )
  })

  test('damaged bytes are read to an end, and something is counted', () => {
    const sent = fc.oneof(
      fc.tuple(
        fc.constant('a/b'),
        json.map(value => Buffer.from(JSON.stringify(value))),
      ),
      fc.tuple(
        sparkplugTopic,
        encoded.map(({ bytes }) => bytes),
      ),
      fc.tuple(fc.oneof(fc.constant('a/b'), sparkplugTopic), fc.uint8Array({ maxLength: 200 }).map(Buffer.from)),
    )
    fc.assert(
      fc.property(sent, damages, ([topic, bytes], changes) => {
        const content = read(damage(bytes, changes), topic)
        expectReadable(content)
        expect(total(content)).toBeGreaterThan(0)
      }),
      fuzzRuns(2000),
    )
  })

  test.each([
    '1',
    '[',
    '{"a":',
    '[[],',
    '"',
    '1e',
    '\\',
    ' ',
    '{"ts":"1',
    '[1,',
    '-',
    '\u0012\u0000',
    '\u000b',
    '\u001b',
  ])('a mebibyte of %j takes linear time', piece => {
    for (const [topic, end] of [
      ['a/b', ''],
      ['a/b', 'x'],
      ['spBv1.0/g/NBIRTH/n', ''],
    ] as const) {
      const start = performance.now()
      const payload = piece.repeat(MEBIBYTE / piece.length - 1) + end
      expectReadable(read(payload, topic))
      // Quadratic would be minutes.
      expect(performance.now() - start).toBeLessThan(10_000)
    }
  })

  test('a long name before many values takes little memory', () => {
    const members = Array.from({ length: 40_000 }, (_, i) => `"k${i}":1`)
    const before = process.memoryUsage().heapUsed
    const { samples, skipped } = read(`{"${'n'.repeat(MEBIBYTE / 2)}":{${members}}}`)
    expect([samples.length, skipped.get('key_too_long')]).toEqual([0, members.length])
    // Each value has a key of half a mebibyte: 20 GiB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 * MEBIBYTE)
  })
})
