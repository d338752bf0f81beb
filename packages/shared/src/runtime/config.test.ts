import { expect, test } from 'vitest'
import { z } from 'zod'
import { commonSettings, decimal, integer, isRedisPossible, readConfig, redisNodes } from './config.ts'

const schema = z.object({
  ...commonSettings,
  COUNT: integer({ min: 1, max: 10 }).default(3),
  SHARE: decimal({ min: 0, max: 1 }).optional(),
})
const URL = { REDIS_URL: 'redis://localhost' }

test('unset and empty settings have their defaults', () => {
  expect(readConfig(schema, { ...URL, COUNT: '', PARTITIONS: '' })).toMatchObject({
    COUNT: 3,
    REDIS_CLUSTER: false,
    REDIS_PREFIX: 'tm',
    LOG_LEVEL: 'info',
  })
})

test('settings are parsed from text', () => {
  const read = readConfig(schema, {
    ...URL,
    COUNT: '7',
    SHARE: '2.5e-1',
    REDIS_CLUSTER: 'true',
    PARTITIONS: '8',
    OTHER: 'x',
  })
  expect(read).toMatchObject({ COUNT: 7, SHARE: 0.25, REDIS_CLUSTER: true, PARTITIONS: 8 })
  expect(read).not.toHaveProperty('OTHER')
})

test('every missing or invalid setting is named', () => {
  expect(() => readConfig(schema, { COUNT: 'many', SHARE: '1e5', PARTITIONS: '0' })).toThrow(
    /REDIS_URL: must be set\n.*PARTITIONS: .*\n.*COUNT: must be an integer\n.*SHARE: /s,
  )
})

test.each(['1.5', '1e3', ' 1', '11', '-1', '0x1', 'NaN'])('%j is not an integer from 1 to 10', COUNT => {
  expect(() => readConfig(schema, { ...URL, COUNT })).toThrow(/COUNT: /)
})

test.each(['redis.example:6379', 'http://redis', 'REDIS://x'])('%j is not a URL of Redis', REDIS_URL => {
  expect(() => readConfig(schema, { REDIS_URL })).toThrow(/must start with redis:/)
})

test.each([
  'redis://localhost',
  'redis://localhost:6379/0',
  'redis://[::1]:6379',
  'redis://:57%23Wc903z@h:6379',
  'redis://user:p@ss,word@h:6379',
  'rediss://h:6380?family=6',
  'unix:///run/redis.sock',
  'redis://:a@h:1,redis://:a@i:2',
  'redis://h:1,i:2',
])('%j is a URL of Redis', REDIS_URL => {
  expect(readConfig(schema, { REDIS_URL })).toMatchObject({ REDIS_URL })
})

test.each([
  ['redis://:57#Wc903z@h:6379', 'write # as %23'],
  ['redis://user:57#Wc903z@h:6379', 'write # as %23'],
  ['redis://h:6379#Wc903z', 'write # as %23'],
  ['redis://:57/Wc903z@h:6379', 'write # as %23, and here %2F'],
  ['redis://:57?Wc903z@h:6379', 'here %3F'],
  ['redis://:57 Wc903z@h:6379', 'here %20'],
  ['redis://:57\\Wc903z@h:6379', 'here %5C'],
  ['redis://:57%Wc903z@h:6379', 'write % as %25'],
  ['redis://:Wc903z%ff@h:6379', 'not percent-encoded UTF-8'],
  ['redis://:Wc903z@', 'must be redis://HOST:PORT'],
  ['redis://:Wc903z@h:port', 'must be redis://HOST:PORT'],
  ['redis://:Wc903z@h:1,redis://:57#Wc903z@i:2', 'write # as %23'],
  ['unix://Wc903z', 'absolute path'],
])('%j is refused with what to write, and without its password', (REDIS_URL, sentence) => {
  expect(() => readConfig(schema, { REDIS_URL })).toThrow(sentence)
  expect(() => readConfig(schema, { REDIS_URL })).not.toThrow('Wc903z')
})

test('the nodes of a cluster are separated by commas, which a password may have too', () => {
  expect(redisNodes('redis://:a,b@h:1,redis://:a,b@i:2')).toEqual(['redis://:a,b@h:1', 'redis://:a,b@i:2'])
  expect(redisNodes('rediss://u:p@h:1, i:2')).toEqual(['rediss://u:p@h:1', 'rediss://i:2'])
})

test.each([
  ['redis://a,redis://b', false, false],
  ['redis://a,redis://b', true, true],
  ['redis://a', true, true],
  ['unix:///a', true, false],
  ['unix:///a', false, true],
])('%s with REDIS_CLUSTER=%s: %s', (REDIS_URL, REDIS_CLUSTER, isPossible) => {
  expect(isRedisPossible({ REDIS_URL, REDIS_CLUSTER })).toBe(isPossible)
})
