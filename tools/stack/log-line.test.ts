import { expect, test } from 'vitest'
import { parseLogLine } from './log-line.ts'

test('a line of the logger has a message, and perhaps a port', () => {
  const line = parseLogLine('{"level":"info","msg":"listening","port":8080}')
  expect(line).toEqual({ isWarning: false, message: 'listening', port: 8080, text: 'listening' })
})

test('an error is told with the message', () => {
  const { isWarning, text } = parseLogLine('{"level":"warn","msg":"waiting for Redis","err":{"message":"refused"}}')
  expect([isWarning, text]).toEqual([true, 'waiting for Redis: refused'])
})

test.each(['Error: boom', '{not json', '{"level":"info"}', '{}'])(
  '%s is no line of the logger and means trouble',
  line => {
    expect(parseLogLine(line)).toEqual({ isWarning: true, message: undefined, port: undefined, text: line })
  },
)
