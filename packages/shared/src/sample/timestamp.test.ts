import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseTimestamp, toMilliseconds } from './timestamp.ts'

const NOW = 1_700_000_000_000

test.each([
  [0, 0],
  [-0, 0],
  [5, 5000],
  [1_700_000_000, NOW],
  [1_700_000_000.5, NOW + 500],
  [1_637_431_069.658508, 1_637_431_069_659],
  [99_999_999_999, 99_999_999_999_000],
  [1e11, 1e11],
  [1_700_000_000_123, NOW + 123],
  [1_700_000_000_123.7, NOW + 124],
  [99_999_999_999_999, 99_999_999_999_999],
  [1e14, 1e11],
  [1_700_000_000_123_456, NOW + 123],
  [1e17, 1e11],
  [1.700_000_000_123_456e18, NOW + 123],
  ['1700000000', NOW],
  ['+1700000000', NOW],
  [' 1700000000 ', NOW],
  ['1700000000.5', NOW + 500],
  ['1.7e9', NOW],
  ['1700000000123456789', NOW + 123],
])('the Unix time %j is %j ms', (given, ms) => {
  expect(parseTimestamp(given)).toBe(ms)
})

test.each([
  ['2023-11-14T22:13:20Z', NOW],
  ['2023-11-14T22:13:20.123Z', NOW + 123],
  ['2023-11-14T22:13:20,5Z', NOW + 500],
  ['2023-11-14T22:13:20.123999999Z', NOW + 123],
  ['2023-11-14T22:13:20.12345678901234567890Z', NOW + 123],
  ['2023-11-14T23:59:59.999999', 1_700_006_399_999],
  ['2023-11-14t22:13:20z', NOW],
  ['2023-11-14 22:13:20', NOW],
  ['2023-11-14 22:13:20Z', NOW],
  ['2023-11-14 22:13:20 Z', NOW],
  ['2023-11-14 22:13:20 UTC', NOW],
  ['2023-11-14 22:13:20 GMT', NOW],
  ['2023-11-14 22:13:20+00', NOW],
  ['2023-11-14 22:13:20.5 +0000', NOW + 500],
  ['2023-11-14 18:13:20-04', NOW],
  ['2023-11-15T00:13:20+02:00', NOW],
  ['2023-11-15T00:13:20+0200', NOW],
  ['2023-11-15 03:43:20+0530', NOW],
  ['2023-11-15T12:13:20+14:00', NOW],
  ['2023-11-15T13:13:20+15:00', NOW],
  ['2023-11-14T10:13:20-12', NOW],
  ['2023-11-14T22:13:20-00:00', NOW],
  ['2023-11-14T22:13', NOW - 20_000],
  ['2023-11-14T22:13Z', NOW - 20_000],
  ['2023-11-14T24:00:00Z', 1_700_006_400_000],
  ['20231114T221320Z', NOW],
  ['20231114T2213', NOW - 20_000],
  ['2023-11-14', 1_699_920_000_000],
  ['2024-02-29', Date.UTC(2024, 1, 29)],
  ['2000-02-29', Date.UTC(2000, 1, 29)],
  ['1970-01-01', 0],
  ['1970-01-01T00:00:00.5+00', 500],
  ['9999-12-31T23:59:59.999Z', 253_402_300_799_999],
  ['2016-12-31T23:59:60Z', Date.UTC(2017, 0, 1)],
  ['2017-01-01T05:29:60.5+05:30', Date.UTC(2017, 0, 1) + 500],
])('%s is %s ms', (given, ms) => {
  expect(parseTimestamp(given)).toBe(ms)
})

test.each([
  [-1, 'before 1970'],
  [-1e300, 'before 1970'],
  ['-1700000000', 'before 1970'],
  ['1969-12-31T23:59:59Z', 'before 1970'],
  ['1970-01-01T00:00:00+01', 'before 1970'],
  ['0000-01-01', 'before 1970'],
  ['0099-01-01', 'before 1970'],
  [1e20, 'must be'],
  [Number.NaN, 'must be'],
  [Number.POSITIVE_INFINITY, 'must be'],
  ['1e400', 'must be'],
  ['', 'must be'],
  [' ', 'must be'],
  ['now', 'must be'],
  ['NaN', 'must be'],
  ['0x6553F100', 'must be'],
  ['1_700_000_000', 'must be'],
  ['1700000000,5', 'must be'],
  ['1700000000Z', 'must be'],
  ['Nov 14 2023', 'must be'],
  ['Tue, 14 Nov 2023 22:13:20 GMT', 'must be'],
  ['2023-11', 'must be'],
  ['2023-1-1', 'must be'],
  ['2023-1114', 'must be'],
  ['2023-11-14T22', 'must be'],
  ['2023-11-14T2213:20', 'must be'],
  ['2023-11-14T22:13:20.Z', 'must be'],
  ['2023-11-14T22:13:20+5', 'must be'],
  ['2023-11-14T22:13:20 CET', 'must be'],
  ['+010000-01-01T00:00:00Z', 'must be'],
  ['10000-01-01', 'must be'],
  ['٢٠٢٣-11-14', 'must be'],
  [`2023-11-14T22:13:20.${'1'.repeat(100)}`, 'must be'],
  ['2023-02-29', 'does not exist'],
  ['2023-02-30T00:00:00Z', 'does not exist'],
  ['1900-02-29', 'does not exist'],
  ['2023-04-31', 'does not exist'],
  ['2023-00-10', 'does not exist'],
  ['2023-13-01', 'does not exist'],
  ['2023-11-00', 'does not exist'],
  ['2023-11-14T25:00Z', 'does not exist'],
  ['2023-11-14T24:00:01Z', 'does not exist'],
  ['2023-11-14T24:00:00.001Z', 'does not exist'],
  ['2023-11-14T22:60Z', 'does not exist'],
  ['2023-11-14T22:13:61Z', 'does not exist'],
  ['2023-11-14T22:13:60Z', 'does not exist'],
  ['2016-12-31T23:59:60+01:00', 'does not exist'],
  ['2023-11-14T22:13:20+24:00', 'does not exist'],
  ['2023-11-14T22:13:20+01:60', 'does not exist'],
  [20240101, 'may be a date'],
  ['20240101', 'may be a date'],
  ['19991231', 'may be a date'],
  [202401311200, 'may be a date'],
  ['20240131120000', 'may be a date'],
  [20240131120000, 'may be a date'],
  ['20240131120000123', 'may be a date'],
])('%j is refused: %s', (given, fault) => {
  expect(parseTimestamp(given)).toContain(fault)
  expect(toMilliseconds(given)).toBeUndefined()
})

test('digits that are no date are a Unix time', () => {
  expect(parseTimestamp(20241301)).toBe(20_241_301_000)
  expect(parseTimestamp(202413311200)).toBe(202_413_311_200)
  expect(parseTimestamp(22000101)).toBe(22_000_101_000)
})

test('every millisecond from 1973 to 5138 is read from each of its forms', () => {
  const offset = fc.integer({ min: -23 * 60 - 59, max: 23 * 60 + 59 })
  fc.assert(
    fc.property(fc.integer({ min: 1e11, max: 1e14 - 1 }), offset, (ms, minutes) => {
      const local = new Date(ms + minutes * 60_000).toISOString().slice(0, -1)
      const size = Math.abs(minutes)
      const zone = [Math.trunc(size / 60), size % 60].map(part => String(part).padStart(2, '0'))
      const sign = minutes < 0 ? '-' : '+'
      for (const form of [
        String(ms / 1000),
        `${ms}000`,
        `${ms}000000`,
        new Date(ms).toISOString(),
        `${local}${sign}${zone.join(':')}`,
        `${local.replace('T', ' ').replace('.', ',')}999 ${sign}${zone.join('')}`,
        local.replaceAll(/[-:]/g, '').concat(sign, ...zone),
      ]) {
        // Digits of a date are refused, whatever the unit.
        if (!/^(?:19|20|21)\d+(?:000)?$/.test(form)) expect([form, parseTimestamp(form)]).toEqual([form, ms])
      }
    }),
  )
})

test('nothing but whole milliseconds from 1970 or a reason comes out', () => {
  fc.assert(
    fc.property(fc.oneof(fc.double(), fc.string(), fc.stringMatching(/^[-+0-9TtZz:., ]{1,32}$/)), given => {
      const ms = parseTimestamp(given)
      if (typeof ms === 'number') expect(Number.isSafeInteger(ms) && ms >= 0).toBe(true)
      else expect(ms).not.toBe('')
    }),
  )
})
