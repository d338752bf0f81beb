import { describe, expect, test } from 'vitest'
import { toCommand } from './command.ts'
import { CommandReader, ReplyReader } from './resp.ts'

const COMMANDS = '*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*3\r\n$3\r\nSET\r\n$2\r\n\r\n\r\n$0\r\n\r\n'
const REPLIES = [
  '+OK\r\n',
  '$-1\r\n',
  '$2\r\n\r\n\r\n',
  '*2\r\n:1\r\n*-1\r\n',
  '%1\r\n+a\r\n,1.5\r\n',
  '_\r\n',
  '>2\r\n+x\r\n+y\r\n',
]

describe('the protocol readers', () => {
  test('find commands and replies wherever the bytes are split', () => {
    for (let cut = 0; cut <= COMMANDS.length; cut++) {
      const reader = new CommandReader()
      const found = [COMMANDS.slice(0, cut), COMMANDS.slice(cut)].flatMap(part => reader.push(Buffer.from(part)))
      expect(found.map(({ args }) => args.map(String))).toEqual([
        ['GET', 'k'],
        ['SET', '\r\n', ''],
      ])
      expect(Buffer.concat(found.map(({ bytes }) => bytes)).toString()).toBe(COMMANDS)
    }
    const all = REPLIES.join('')
    for (let cut = 0; cut <= all.length; cut++) {
      const reader = new ReplyReader()
      const found = [all.slice(0, cut), all.slice(cut)].flatMap(part => reader.push(Buffer.from(part)))
      expect(found.map(({ bytes }) => bytes.toString())).toEqual(REPLIES)
      expect(found.map(({ isPush }) => isPush)).toEqual(REPLIES.map(text => text.startsWith('>')))
    }
  })

  test('a stream read gets its name from the requested id and its partition from the key', () => {
    const read = (id: string): ReturnType<typeof toCommand> =>
      toCommand({
        args: ['XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'tm:{5}:samples', id].map(text => Buffer.from(text)),
        bytes: Buffer.alloc(0),
      })
    expect(read('>')).toMatchObject({ name: 'read', partition: 5 })
    expect(read('0-0')).toMatchObject({ name: 'pending', partition: 5 })
  })
})
