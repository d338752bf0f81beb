import fc from 'fast-check'
import { get } from 'sparkplug-payload'
import { describe, expect, test } from 'vitest'
import { Sparkplug } from './sparkplug.ts'

const T = 1_700_000_000_000
type Payload = Parameters<NonNullable<ReturnType<typeof get>>['encodePayload']>[0]
const encode = (payload: Payload) => (get('spBv1.0') as NonNullable<ReturnType<typeof get>>).encodePayload(payload)
const double = (name: string | undefined, value: number | null, more = {}) => ({
  ...(name !== undefined && { name }),
  type: 'Double' as const,
  value,
  ...more,
})

describe('Sparkplug B', () => {
  test('data name their metrics by the aliases of the birth', () => {
    const sparkplug = new Sparkplug()
    const birth = encode({ timestamp: T, metrics: [double('temp', 20, { alias: 1 }), double('bdSeq', 3)] })
    expect(sparkplug.read('spBv1.0/plant/DBIRTH/node/dev', birth)?.readings).toEqual([
      { field: 'temp', value: 20, timestamp: T },
    ])
    const data = encode({ timestamp: T, metrics: [double(undefined, 21, { alias: 1, timestamp: T + 5 })] })
    expect(sparkplug.read('spBv1.0/plant/DDATA/node/dev', data)).toEqual({
      topic: 'spBv1.0/plant/node/dev',
      readings: [{ field: 'temp', value: 21, timestamp: T + 5 }],
      skipped: 0,
      unnamed: 0,
      control: 0,
      commandTopic: 'spBv1.0/plant/NCMD/node',
    })
  })

  test('a metric without a known name is counted, also after another birth', () => {
    const sparkplug = new Sparkplug()
    const data = encode({ timestamp: T, metrics: [double(undefined, 21, { alias: 7 })] })
    expect(sparkplug.read('spBv1.0/g/NDATA/n', data)).toMatchObject({ readings: [], unnamed: 1 })
    sparkplug.read('spBv1.0/g/NBIRTH/n', encode({ timestamp: T, metrics: [double('a', 1, { alias: 7 })] }))
    expect(sparkplug.read('spBv1.0/g/NDATA/n', data)).toMatchObject({ unnamed: 0 })
    sparkplug.read('spBv1.0/g/NBIRTH/n', encode({ timestamp: T, metrics: [] }))
    expect(sparkplug.read('spBv1.0/g/NDATA/n', data)).toMatchObject({ unnamed: 1 })
  })

  test('numbers of every type are read, other values skipped', () => {
    const metrics: Payload['metrics'] = [
      { name: 'i8', type: 'Int8', value: -3 },
      { name: 'i64', type: 'Int64', value: -5_000_000_000 },
      { name: 'u64', type: 'UInt64', value: 5_000_000_000 },
      { name: 'f', type: 'Float', value: 0.5 },
      { name: 'b', type: 'Boolean', value: true },
      { name: 's', type: 'String', value: 'on' },
      { name: 'd', type: 'DateTime', value: T },
      { name: 'null', type: 'Int32', value: null },
      { name: 'Node Control/Rebirth', type: 'Boolean', value: false },
    ]
    const found = new Sparkplug().read('spBv1.0/g/NBIRTH/n', encode({ timestamp: T, metrics }))
    expect(found?.readings.map(({ field, value }) => [field, value])).toEqual([
      ['i8', -3],
      ['i64', -5_000_000_000],
      ['u64', 5_000_000_000],
      ['f', 0.5],
      ['b', 1],
    ])
    expect([found?.skipped, found?.control]).toEqual([3, 1])
  })

  test.each(['spBv1.0/g/NDEATH/n', 'spBv1.0/g/NCMD/n', 'spBv1.0/STATE/host'])('%s has no samples', topic => {
    expect(new Sparkplug().read(topic, Buffer.from('{"online":true}'))).toMatchObject({
      readings: [],
      skipped: 0,
      control: 1,
    })
  })

  test('the names of all births take a bounded memory, and the newest are known', () => {
    const sparkplug = new Sparkplug()
    const name = 'n'.repeat(1_000_000)
    const birth = (value: number) => encode({ timestamp: T, metrics: [double(name, value, { alias: 1 })] })
    for (let i = 0; i < 200; i++) sparkplug.read(`spBv1.0/g/NBIRTH/n${i}`, birth(i))
    const data = encode({ timestamp: T, metrics: [double(undefined, 21, { alias: 1 })] })
    const unnamed = Array.from({ length: 200 }, (_, i) => sparkplug.read(`spBv1.0/g/NDATA/n${i}`, data)?.unnamed)
    expect(unnamed).toEqual(Array.from({ length: 200 }, (_, i) => (i < 200 - 67 ? 1 : 0)))
  })

  test('what is no payload is none, whatever it is', () => {
    expect(new Sparkplug().read('spBv1.0/g/NDATA/n', Buffer.from('21.5'))).toBeUndefined()
    fc.assert(fc.property(fc.uint8Array(), bytes => void new Sparkplug().read('spBv1.0/g/NBIRTH/n', bytes)))
  })
})
