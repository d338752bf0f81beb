import { expect, test } from 'vitest'
import { decodeWindow } from './window-row.ts'

function bytes(...numbers: number[]): Uint8Array {
  return new Uint8Array(Float64Array.from(numbers).buffer)
}

test.each([1, 7, 8, 15, 17, 24])('%d bytes are not a window', length => {
  expect(decodeWindow({ row: new Uint8Array(length), tail: null })).toBeUndefined()
})

test('a window whose counts contradict its length is none', () => {
  for (const row of [bytes(1, 2, 20, 5), bytes(2, 0, 20, 5)]) expect(decodeWindow({ row, tail: null })).toBeUndefined()
  expect(decodeWindow({ row: bytes(5, 1, 20, 5), tail: null })).toMatchObject({
    count: 5,
    values: [20],
    timestamps: [5],
  })
})

test('a tail replaces the oldest of its row, and one that does not follow it is nothing', () => {
  const row = bytes(9, 9, 1, 11, 2, 12, 3, 13)
  const newer = { count: 11, pushed: 11, rowPushed: 9, values: [3, 4, 5], timestamps: [13, 14, 15] }
  expect(decodeWindow({ row, tail: bytes(11, 11, 4, 14, 5, 15) })).toEqual(newer)
  // It may begin before the row ends.
  expect(decodeWindow({ row, tail: bytes(11, 11, 3, 13, 4, 14, 5, 15) })).toEqual(newer)
  const older = [bytes(9, 9, 7, 7), bytes(3, 3, 7, 7)]
  const beyond = bytes(12, 12, 4, 14, 5, 15)
  for (const tail of [...older, beyond, new Uint8Array(7)]) {
    expect(decodeWindow({ row, tail })).toMatchObject({ count: 9, values: [1, 2, 3] })
  }
})
