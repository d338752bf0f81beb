import { expect, test } from 'vitest'
import { z } from 'zod'
import { commonSettings, decimal, integer, readConfig } from './config.ts'

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
