import { describe, expect, test } from 'vitest'
import { keyFault, toMilliseconds } from './sample.ts'

describe('a timestamp', () => {
  test.each([
    [1_700_000_000, 1_700_000_000_000],
    [1_700_000_000.5, 1_700_000_000_500],
    [1_700_000_000_123, 1_700_000_000_123],
    [0, 0],
    [99_999_999_999, 99_999_999_999_000],
    [100_000_000_000, 100_000_000_000],
    ['2023-11-14T22:13:20Z', 1_700_000_000_000],
    ['2023-11-14T22:13:20.123Z', 1_700_000_000_123],
    ['2023-11-14T22:13:20,5Z', 1_700_000_000_500],
    ['2023-11-15T00:13:20+02:00', 1_700_000_000_000],
    ['2023-11-15T00:13:20+0200', 1_700_000_000_000],
    ['2023-11-14t22:13:20z', 1_700_000_000_000],
    ['2023-11-14 22:13:20Z', 1_700_000_000_000],
    ['2023-11-14T22:13:20', 1_700_000_000_000],
    ['2023-11-14T22:13', 1_699_999_980_000],
    ['2023-11-14', 1_699_920_000_000],
  ])('%s is %s ms', (given, ms) => {
    expect(toMilliseconds(given)).toBe(ms)
  })

  test.each([
    -1,
    8.64e15 + 1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    '',
    'now',
    '1700000000',
    'Nov 14 2023',
    '2023-13-01',
    '2023-11-14T25:00Z',
  ])('%s is not a timestamp', given => {
    expect(toMilliseconds(given)).toBeUndefined()
  })
})

describe('a key', () => {
  test.each([
    'k',
    'edge-17/rps',
    '{17}',
    '__proto__',
    'constructor',
    'ключ ☃ 🌊',
    ' spaces ',
    'quote"\'\\',
    'a'.repeat(200),
    'é'.repeat(100),
  ])('%s is valid', key => {
    expect(keyFault(key, 200)).toBeUndefined()
  })

  test.each([
    ['', 'must not be empty'],
    ['a'.repeat(201), 'must be at most 200 bytes of UTF-8'],
    ['é'.repeat(101), 'must be at most 200 bytes of UTF-8'],
    ['a\nb', 'must not contain control characters'],
    ['a\u0000', 'must not contain control characters'],
    ['\u007f', 'must not contain control characters'],
    ['\u0085', 'must not contain control characters'],
    ['\ud800', 'must not contain lone surrogates'],
    ['a\udc00b', 'must not contain lone surrogates'],
  ])('%j is invalid', (key, fault) => {
    expect(keyFault(key, 200)).toBe(fault)
  })
})
