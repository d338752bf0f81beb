import { expect, test } from 'vitest'
import { keysOf, parseInput } from './parse.ts'

test.each([
  ['{"key":"a","value":1}', [{ key: 'a', value: 1 }]],
  [
    '[{"key":"a","value":1},{"key":"b","value":2}]',
    [
      { key: 'a', value: 1 },
      { key: 'b', value: 2 },
    ],
  ],
  [
    '{"key":"a","value":1}\n{"key":"b","value":2}\n',
    [
      { key: 'a', value: 1 },
      { key: 'b', value: 2 },
    ],
  ],
  ['a,1', [{ key: 'a', value: 1 }]],
  [
    'key,value,timestamp\na,1.5,1700000000\n"b, c",-2,2026-01-01T00:00:00Z',
    [
      { key: 'a', value: 1.5, timestamp: 1_700_000_000 },
      { key: 'b, c', value: -2, timestamp: '2026-01-01T00:00:00Z' },
    ],
  ],
  [`curl -H 'X-API-Key: k' http://h/ingest -d '{"key":"a","value":1}'`, [{ key: 'a', value: 1 }]],
  ['curl http://h/ingest --json "{\\"key\\":\\"a\\",\\"value\\":1}"', [{ key: 'a', value: 1 }]],
])('%s is read', (text, items) => {
  expect(parseInput(text)).toEqual({ items })
})

test.each([
  ['', 'nothing to send'],
  ['{"key":', 'not JSON'],
  ['hello', 'Line 1 is no sample'],
  ['a,1\nb,x', 'Line 2 is no sample'],
  ['curl http://h/ingest', 'no body'],
])('%s has a reason', (text, reason) => {
  expect(parseInput(text)).toEqual({ problem: expect.stringContaining(reason) })
})

test('keys are those that the gateway makes', () => {
  const items = [{ key: 'a', value: 1 }, { device: 'd', metrics: { x: 1, y: 2 } }, { rps: 3 }]
  expect(keysOf(items)).toEqual(['a', 'd/x', 'd/y', 'default/rps'])
})
