import { expect, test } from 'vitest'
import { withoutSecret } from './redis.ts'

test.each([
  ['redis://user:secret@host:6379/0', 'redis://user:***@host:6379/0'],
  ['redis://:secret@a:1,redis://:secret@b:2', 'redis://:***@a:1,redis://:***@b:2'],
  ['redis://localhost:6379', 'redis://localhost:6379'],
  ['unix:///run/redis.sock', 'unix:///run/redis.sock'],
])('%s is shown as %s', (url, shown) => {
  expect(withoutSecret(url)).toBe(shown)
})
