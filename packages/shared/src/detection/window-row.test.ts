import { expect, test } from 'vitest'
import { createRow, rowShape } from './key-row.ts'
import { decodeWindow, encodeMemory, encodeRow, encodeTail, fillRow, mustStoreMemory } from './window-row.ts'

const SHAPE = rowShape(3, 'zscore', false)
/** The shape of a row with all state 0, no silence, detector number 0 and a capacity of 3. */
const WORD = 3 * 2 ** 32

function bytes(...numbers: number[]): Uint8Array {
  return new Uint8Array(Float64Array.from(numbers).buffer)
}

test.each([1, 7, 8, 15, 17, 24, 32])('%d bytes are not a window', length => {
  expect(decodeWindow({ row: new Uint8Array(length), tail: null })).toBeUndefined()
})

test('a row of a counter is that of its detector, and another row where the detector has learned rates', () => {
  expect(rowShape(3, 'zscore', false, true)).toBe(SHAPE)
  const row = createRow(rowShape(3, 'ewma', false, true))
  const encoded = new Float64Array(20)
  const end = encodeRow(row, encoded, 0)
  const shape = decodeWindow({ row: new Uint8Array(encoded.slice(0, end).buffer), tail: null })?.shape
  expect(shape).toBe(row.shape)
  expect(shape).not.toBe(rowShape(3, 'ewma', false))
  // Unknown to the first version, which starts such a key again.
  expect(Math.floor((encoded[2] ?? 0) / 2 ** 24) % 256).toBe(129)
})

test('a window whose counts contradict its length is rejected', () => {
  for (const row of [bytes(1, 2, WORD, 20, 5), bytes(2, 0, WORD, 20, 5), bytes(5, 2, WORD, 20, 5)]) {
    expect(decodeWindow({ row, tail: null })).toBeUndefined()
  }
  expect(decodeWindow({ row: bytes(5, 1, WORD, 20, 5), tail: null })).toMatchObject({
    count: 5,
    values: [20],
    timestamps: [5],
    shape: SHAPE,
  })
})

test.each([
  ['not an integer', 0.5],
  ['negative', -WORD],
  ['without a capacity', 0],
  ['with too large a capacity', 501 * 2 ** 32],
  ['with an unknown detector', WORD + 200 * 2 ** 24],
  ['with state that its layout does not have', WORD + 2 ** 22],
])('a shape that is %s is rejected', (_, word) => {
  expect(decodeWindow({ row: bytes(1, 1, word, 20, 5), tail: null })).toBeUndefined()
})

test('a tail replaces the oldest samples of its row, and is ignored if it does not follow the row', () => {
  const row = bytes(9, 9, WORD, 1, 11, 2, 12, 3, 13)
  const newer = { count: 11, pushed: 11, rowPushed: 9, values: [3, 4, 5], timestamps: [13, 14, 15] }
  expect(decodeWindow({ row, tail: bytes(11, 11, WORD, 4, 14, 5, 15) })).toMatchObject(newer)
  // A tail may overlap the row.
  expect(decodeWindow({ row, tail: bytes(11, 11, WORD, 3, 13, 4, 14, 5, 15) })).toMatchObject(newer)
  const older = [bytes(9, 9, WORD, 7, 7), bytes(3, 3, WORD, 7, 7)]
  const beyond = bytes(12, 12, WORD, 4, 14, 5, 15)
  const ofAnotherShape = bytes(10, 10, 4 * 2 ** 32, 4, 14)
  for (const tail of [...older, beyond, ofAnotherShape, new Uint8Array(7)]) {
    expect(decodeWindow({ row, tail })).toMatchObject({ count: 9, values: [1, 2, 3] })
  }
})

test('a tail may extend a row that was not full, and may be empty', () => {
  const row = bytes(1, 1, WORD, 1, 11)
  expect(decodeWindow({ row, tail: bytes(2, 2, WORD, 2, 12) })).toMatchObject({ count: 2, values: [1, 2] })
  expect(decodeWindow({ row, tail: bytes(2, 1, WORD) })).toMatchObject({ count: 2, pushed: 1, values: [1] })
})

test('state that is 0 is not written', () => {
  const row = createRow(SHAPE)
  row.rows.set([4, 2], 0)
  row.rows[5] = -7
  row.rows.set([20, 21], SHAPE.valuesAt)
  row.rows.set([1, 2], SHAPE.timesAt)
  const target = new Float64Array(20)
  expect(encodeRow(row, target, 1)).toBe(9)
  expect([...target.subarray(1, 9)]).toEqual([4, 2, WORD + 2 ** 3, -7, 20, 1, 21, 2])
  expect(encodeTail(row, 1, target, 1)).toBe(7)
  const content = decodeWindow({ row: new Uint8Array(target.buffer.slice(8, 56)), tail: null })
  expect(content).toBeUndefined()
  encodeRow(row, target, 0)
  const read = decodeWindow({ row: new Uint8Array(target.buffer.slice(0, 64)), tail: null })
  const other = createRow(SHAPE)
  if (read !== undefined) fillRow(other, read)
  expect(other).toEqual(row)
})

test('a row of the first habit keeps its window, count and alert, but not the state of the detector', () => {
  const state = 2 ** 3
  const row = bytes(9, 3, WORD + 5 * 2 ** 24 + state, 7, ...Array<number>(189).fill(0.5), 1, 11, 2, 12, 3, 13)
  const content = decodeWindow({ row, tail: null })
  expect(content).toMatchObject({ count: 9, pushed: 3, values: [1, 2, 3], timestamps: [11, 12, 13] })
  expect(content?.state[3]).toBe(7)
  expect(content?.shape.detector).toBe('zscore')
  const short = bytes(9, 3, WORD + 5 * 2 ** 24, ...Array<number>(188).fill(0.5), 1, 11, 2, 12, 3, 13)
  expect(decodeWindow({ row: short, tail: null })).toBeUndefined()
})

test.each(['habit', 'step'] as const)('the state of %s is beside its row, which is one with the z-score', name => {
  const row = createRow(rowShape(3, name, false))
  const encoded = new Float64Array(400)
  const encodedRow = new Uint8Array(encoded.buffer, 0, 8 * encodeRow(row, encoded, 0))
  row.rows[row.shape.detectorAt] = 9
  const memory = new Uint8Array(encoded.buffer, 800, 8 * (encodeMemory(row, encoded, 100) - 100))
  expect(mustStoreMemory(row, -1)).toBe(true)
  expect(decodeWindow({ row: encodedRow, tail: null })?.shape).toBe(SHAPE)
  const content = decodeWindow({ row: encodedRow, tail: null, memory })
  expect(content?.shape).toBe(row.shape)
  expect(content?.detectorState[0]).toBe(9)
  for (const cut of [0, 7, 24, memory.length - 8]) {
    expect(decodeWindow({ row: encodedRow, tail: null, memory: memory.subarray(0, cut) })?.shape).toBe(SHAPE)
  }
})
