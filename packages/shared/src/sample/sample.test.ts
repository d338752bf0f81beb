import { describe, expect, test } from 'vitest'
import { keyFault } from './sample.ts'

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
    ['\ud800', 'must not contain lone surrogates or bytes that are not UTF-8'],
    ['a\udc00b', 'must not contain lone surrogates or bytes that are not UTF-8'],
  ])('%j is invalid', (key, fault) => {
    expect(keyFault(key, 200)).toBe(fault)
  })
})
