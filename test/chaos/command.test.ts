import { expect, test } from 'vitest'
import { renewedPartitions } from './command.ts'

test('reads which leases a renewal has extended', () => {
  const args = ['evalsha', 'sha', '3', 'chaos:{4}:lease', 'chaos:{10}:lease', 'chaos:{0}:lease', '1500', 'a', 'b', 'c']
  const command = { args: args.map(one => Buffer.from(one)), bytes: Buffer.alloc(0) }
  expect(renewedPartitions(command, Buffer.from('*3\r\n:1\r\n:0\r\n:1\r\n'))).toEqual([4, 0])
  expect(renewedPartitions(command, Buffer.from('-LOADING Redis is loading\r\n'))).toEqual([])
})
