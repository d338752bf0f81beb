import { expect, test } from 'vitest'
import { warningIn } from './stack.ts'

test.each([
  ['{"level":"info","msg":"listening","port":8080}', undefined],
  ['{"level":"warn","msg":"waiting for Redis"}', 'waiting for Redis'],
  ['{"level":"error","msg":"no Redis","err":{"message":"refused"}}', 'no Redis: refused'],
])('the warning in %s is %j', (line, warning) => {
  expect(warningIn(line)).toBe(warning)
})

test.each(['Error: boom', '{not json', '{"level":"info"}', '{}', '7'])(
  '%s is not from the logger and is a warning as it is',
  line => {
    expect(warningIn(line)).toBe(line)
  },
)
