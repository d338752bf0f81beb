import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { readCsv, readHeader, readRow } from './csv.ts'

const COLUMNS = { timestamp: 0, value: 1, key: undefined }

async function rowsOf(text: string) {
  const rows = []
  for await (const row of readCsv(Readable.from([text]), 'file')) rows.push(row)
  return rows
}

describe('the header of a CSV file', () => {
  test.each([
    [['timestamp', 'value'], { timestamp: 0, value: 1, key: undefined }],
    [['time', 'key', 'value'], { timestamp: 0, value: 2, key: 1 }],
    [['Value', 'Metric', 'Time'], { timestamp: 2, value: 0, key: 1 }],
    [['when', 'rps'], { timestamp: 0, value: 1, key: undefined }],
    [['timestamp', 'value', 'label'], { timestamp: 0, value: 1, key: undefined }],
    [['rps', 'timestamp'], { timestamp: 1, value: 0, key: undefined }],
  ])('%j names the columns', (row, columns) => {
    expect(readHeader(row)).toEqual(columns)
  })

  test.each([[['1700000000', '420']], [['2024-01-01', 'x']], [['x', '1.5', 'edge/cpu']], [['lonely']]])(
    '%j is not a header',
    row => {
      expect(readHeader(row)).toBeUndefined()
    },
  )
})

describe('a row of a CSV file', () => {
  test.each([
    ['1700000000', 1_700_000_000_000],
    ['1700000000.5', 1_700_000_000_500],
    ['1700000000123', 1_700_000_000_123],
    ['2023-11-14T22:13:20Z', 1_700_000_000_000],
    ['2023-11-14 22:13:20', 1_700_000_000_000],
    ['0', 0],
  ])('with the timestamp %s has the time %d', (text, timestamp) => {
    expect(readRow([text, '1.5e3'], COLUMNS, 'rps')).toEqual({
      kind: 'sample',
      sample: { key: 'rps', value: 1500, timestamp },
    })
  })

  test.each([
    [['1'], 'second column'],
    [['yesterday', '1'], '"yesterday"'],
    [['', '1'], 'timestamp'],
    [['-5', '1'], 'timestamp'],
    [['1', ''], 'value'],
    [['1', 'NaN'], '"NaN"'],
    [['1', 'Infinity'], 'value'],
    [['1', '1e999'], 'value'],
    [['1', '0x10'], 'value'],
    [['1', '1,5'], 'value'],
  ])('%j is rejected with the reason', (row, part) => {
    expect(readRow(row, COLUMNS, 'rps')).toEqual({ kind: 'refused', reason: expect.stringContaining(part) })
  })

  test('without a key in its key column is rejected', () => {
    expect(readRow(['1', '2', ''], { ...COLUMNS, key: 2 }, 'rps')).toMatchObject({
      reason: 'the key must not be empty',
    })
  })
})

describe('a CSV file', () => {
  test('with a header counts its lines as an editor does', async () => {
    const rows = await rowsOf('timestamp,value\n1,10\n\noops\n2,20\n')
    expect(rows.map(row => [row.line, row.kind])).toEqual([
      [2, 'sample'],
      [4, 'refused'],
      [5, 'sample'],
    ])
  })

  test('without a header has the key in the third column', async () => {
    const rows = await rowsOf('1;10;edge/a\n2;20;edge/b')
    expect(rows.map(row => row.kind === 'sample' && row.sample.key)).toEqual(['edge/a', 'edge/b'])
  })

  test('may have a byte order mark, Windows line ends and quoted cells', async () => {
    const rows = await rowsOf('\ufefftime,key,value\r\n"1","a ""b"", c","2.5"\r\n')
    expect(rows).toMatchObject([{ kind: 'sample', sample: { key: 'a "b", c', value: 2.5, timestamp: 1000 } }])
  })

  test('reports the bytes that were read', async () => {
    const text = 'timestamp,value\n1,10\n2,20\n'
    expect((await rowsOf(text)).at(-1)?.bytes).toBe(text.length)
  })

  test('that is empty has no rows', async () => {
    expect(await rowsOf('')).toEqual([])
  })
})
