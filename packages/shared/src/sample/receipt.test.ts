import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareEntryIds, entryTimeMs, formatReceipt, parseReceipt } from './receipt.ts'

test('a receipt is parsed as it was written', () => {
  fc.assert(
    fc.property(fc.nat(1023), fc.nat(), fc.nat(), (partition, ms, sequence) => {
      const receipt = { partition, id: `${ms}-${sequence}` }
      expect(parseReceipt(formatReceipt(receipt))).toEqual(receipt)
    }),
  )
})

test.each([
  '',
  '3',
  '3:',
  ':1-0',
  '3:1',
  '3:1-',
  '-1:1-0',
  '3:1-0 ',
  '3:1-0-0',
  '3:x-0',
  '12345:1-0',
  '3:99999999999999999-0',
])('%j is no receipt', text => {
  expect(parseReceipt(text)).toBeUndefined()
})

test('entry ids are compared as two numbers', () => {
  const ids = ['10-0', '9-10', '9-9', '9-0', '0-1']
  expect(ids.toSorted(compareEntryIds)).toEqual(['0-1', '9-0', '9-9', '9-10', '10-0'])
  expect(compareEntryIds('5-5', '5-5')).toBe(0)
})

test('an entry id holds the milliseconds of its append', () => {
  expect(entryTimeMs('1700000000123-7')).toBe(1_700_000_000_123)
})
