import { readScript } from '@tidemark/shared/store/redis/lua-source'
import { expect, test } from 'vitest'
import { CommandNames, renewedPartitions } from './command.ts'
import type { RawCommand } from './resp.ts'

function raw(...args: readonly string[]): RawCommand {
  return { args: args.map(one => Buffer.from(one)), bytes: Buffer.from(args.join(' ')) }
}

test('EXEC is the commit that it executes', () => {
  const { lua, sha } = readScript('commit')
  const names = new CommandNames()
  const next = (...args: string[]) => names.next(raw(...args))
  const [check, apply, all] = ['check', 'apply', 'all'].map(step => ['1', 'chaos:{4}:samples', 'token', '1-1', step])
  expect(next('watch', 'chaos:{4}:lease').name).toBe('watch')
  expect(next('evalsha', sha, ...(check ?? [])).name).toBe('check')
  expect(next('multi').name).toBe('multi')
  const queued = next('eval', lua, ...(apply ?? []))
  expect(queued.name).toBe('queued')
  expect(next('exec')).toEqual({ name: 'commit', partition: 4, args: queued.args, bytes: Buffer.from('exec') })
  expect(next('exec').name).toBe('exec')
  next('eval', lua, ...(apply ?? []))
  expect(next('discard').name).toBe('discard')
  expect(next('exec').name).toBe('exec')
  expect(next('evalsha', sha, ...(all ?? [])).name).toBe('commit')
})

test('reads which leases a renewal has extended', () => {
  const args = ['evalsha', 'sha', '3', 'chaos:{4}:lease', 'chaos:{10}:lease', 'chaos:{0}:lease', '1500', 'a', 'b', 'c']
  const command = { args: args.map(one => Buffer.from(one)), bytes: Buffer.alloc(0) }
  expect(renewedPartitions(command, Buffer.from('*3\r\n:1\r\n:0\r\n:1\r\n'))).toEqual([4, 0])
  expect(renewedPartitions(command, Buffer.from('-LOADING Redis is loading\r\n'))).toEqual([])
})
