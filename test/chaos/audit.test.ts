import { readScript } from '@tidemark/shared/store/redis/lua-source'
import { expect, test } from 'vitest'
import { Audit } from './audit.ts'
import { CommandNames } from './command.ts'

function exchange(script: string, keys: readonly string[], values: readonly string[], reply?: string) {
  const args = ['evalsha', readScript(script).sha, String(keys.length), ...keys, ...values].map(one => Buffer.from(one))
  const command = new CommandNames().next({ args, bytes: Buffer.alloc(0) })
  return { command, reply: reply === undefined ? undefined : Buffer.from(reply) } as Parameters<Audit['replied']>[0]
}

function keysOf(partition: number): string[] {
  return ['samples', 'accepted', 'checkpoint'].map(name => `chaos:{${partition}}:${name}`)
}

const TWO = ['9000', '["a",1,1,"b",2,1]', '2', 'nonce', '', '["c",3,1]', '1', 'nonce', 'traces'] as const

test('counts what an append of several partitions has stored', () => {
  const audit = new Audit()
  const reply = '*2\r\n*2\r\n$12\r\nbacklog-full\r\n:9000\r\n*2\r\n$6\r\nstored\r\n$3\r\n7-1\r\n'
  const appended = exchange('append', [...keysOf(3), ...keysOf(12)], TWO, reply)
  audit.forwarding(appended)
  expect([...audit.appended]).toEqual([
    [3, { samples: 0, unconfirmed: 2, lastId: '0-0' }],
    [12, { samples: 0, unconfirmed: 1, lastId: '0-0' }],
  ])
  audit.replied(appended)
  expect([...audit.appended]).toEqual([
    [3, { samples: 0, unconfirmed: 0, lastId: '0-0' }],
    [12, { samples: 1, unconfirmed: 0, lastId: '7-1' }],
  ])
})

test('counts nothing of an append that Redis refused, and not twice what it knew', () => {
  const audit = new Audit()
  const once = [...keysOf(3), 'chaos:{3}:requests', 'chaos:{3}:request-times']
  const values = [...TWO.slice(0, 5), 'batch:r', '60000', '1000']
  for (const reply of [
    '*2\r\n$6\r\nstored\r\n$3\r\n7-1\r\n',
    '*2\r\n$5\r\nknown\r\n$3\r\n7-1\r\n',
    '-OOM command\r\n',
  ]) {
    const appended = exchange('append-once', once, values, reply)
    audit.forwarding(appended)
    audit.replied(appended)
    expect([...audit.appended]).toEqual([[3, { samples: 2, unconfirmed: 0, lastId: '7-1' }]])
  }
})
