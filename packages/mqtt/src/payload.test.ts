import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readPayload } from './payload.ts'

const T = 1_700_000_000_000

function read(payload: unknown) {
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload)
  const found = readPayload(Buffer.from(text))
  return found && { ...found, readings: found.readings.map(r => [r.field, r.value, r.timestamp]) }
}

describe('a payload', () => {
  test.each([
    ['21.5', 21.5],
    [' -3e2\n', -300],
    ['.5', 0.5],
    ['+7', 7],
    ['ON', 1],
    ['off', 0],
    ['true', 1],
    ['"21.5"', 21.5],
    ['-0', 0],
  ])('%j is one value', (text, value) => {
    expect(read(text)).toEqual({ readings: [['', value, undefined]], skipped: 0 })
  })

  test.each(['', 'NaN', 'Infinity', '1,5', '21.5 °C', 'online', '{"a":', '0x1f', '1e999'])('%j is none', text => {
    const found = read(text)
    expect(found === undefined || (found.readings.length === 0 && found.skipped > 0)).toBe(true)
  })

  test('of bytes that are not UTF-8 is none', () => {
    expect(readPayload(Buffer.from([0xff, 0xfe, 0x31]))).toBeUndefined()
  })

  test.each([
    [
      'zigbee2mqtt',
      { temperature: 21.5, humidity: 40, battery: 97, linkquality: 120, update: { state: 'idle' }, occupancy: true },
      [
        ['temperature', 21.5, undefined],
        ['humidity', 40, undefined],
        ['battery', 97, undefined],
        ['linkquality', 120, undefined],
        ['occupancy', 1, undefined],
      ],
      1,
    ],
    [
      'Tasmota, whose time has no zone',
      { Time: '2023-11-14T23:13:20', ENERGY: { Power: 5, Voltage: 230 }, TempUnit: 'C' },
      [
        ['ENERGY.Power', 5, undefined],
        ['ENERGY.Voltage', 230, undefined],
      ],
      1,
    ],
    [
      'Shelly',
      { id: 0, output: true, aenergy: { total: 5.1, by_minute: [1, 2], minute_ts: 1_700_000_000 } },
      [
        ['id', 0, undefined],
        ['output', 1, undefined],
        ['aenergy.total', 5.1, undefined],
        ['aenergy.by_minute.0', 1, undefined],
        ['aenergy.by_minute.1', 2, undefined],
        ['aenergy.minute_ts', 1_700_000_000, undefined],
      ],
      0,
    ],
    ['a value with its description', { value: 3, unit: 'bar', ts: T }, [['', 3, T]], 1],
    [
      'a time in seconds',
      { timestamp: T / 1000, a: 1, b: { c: 2 } },
      [
        ['a', 1, T],
        ['b.c', 2, T],
      ],
      0,
    ],
    ['a time with its zone', { time: '2023-11-15T00:13:20+02:00', a: 1 }, [['a', 1, T]], 0],
    [
      'a duration named time',
      { time: 12.5, a: 1 },
      [
        ['time', 12.5, undefined],
        ['a', 1, undefined],
      ],
      0,
    ],
    [
      'several reports',
      [
        { ts: T, a: 1 },
        { ts: T + 1, a: 2 },
      ],
      [
        ['0.a', 1, T],
        ['1.a', 2, T + 1],
      ],
      0,
    ],
    ['nulls', { a: null, b: 1 }, [['b', 1, undefined]], 1],
  ])('of %s', (_, payload, readings, skipped) => {
    expect(read(payload)).toEqual({ readings, skipped })
  })

  test.each([
    ['{"t": NaN, "h": 41}', [['h', 41, undefined]], 1],
    [
      '{"ts": 1700000000, "a": {"b": -Infinity, "c": 2}, "d": [nan, 3]}',
      [
        ['a.c', 2, T],
        ['d.1', 3, T],
      ],
      2,
    ],
    ['{"t": NaN, "note": "NaN, \\"NaN\\""}', [], 2],
    ['[NaN]', [], 1],
    ['null', [], 1],
  ])('%s keeps the numbers beside those that JSON does not have', (text, readings, skipped) => {
    expect(read(text)).toEqual({ readings, skipped })
  })

  test('never throws, and counts each leaf as a reading or as skipped', () => {
    const leaf = fc.oneof(fc.double(), fc.boolean(), fc.constant(null), fc.string())
    const json = fc.object({ values: [leaf], maxDepth: 4, key: fc.constantFrom('a', 'b', 'value', 'x.y') })
    fc.assert(
      fc.property(json, object => {
        const text = JSON.stringify(object)
        const found = readPayload(Buffer.from(text))
        let leaves = 0
        JSON.parse(text, (_, value) => {
          if (typeof value !== 'object' || value === null) leaves++
          return value
        })
        expect((found?.readings.length ?? 0) + (found?.skipped ?? 0)).toBe(leaves)
      }),
    )
    fc.assert(fc.property(fc.uint8Array(), bytes => void readPayload(bytes)))
  })

  test('nested without end is skipped', () => {
    expect(read(`${'['.repeat(5000)}1${']'.repeat(5000)}`)).toEqual({ readings: [], skipped: 1 })
  })
})
