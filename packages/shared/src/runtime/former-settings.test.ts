import { expect, test } from 'vitest'
import { commonSettings } from './config.ts'
import { formerSettings } from './former-settings.ts'

test('a former name leads to the setting, without its value', () => {
  const found = formerSettings({ REDIS_ADDR: 'redis:6379', WINDOW_SIZE: '50', REDIS_PASSWORD: 's3cret', PORT: '80' })
  expect(found).toEqual([
    'REDIS_ADDR is not read: set REDIS_URL (such as redis://HOST:6379) instead',
    'REDIS_PASSWORD is not read: set REDIS_PASSWORD_FILE (or the password in REDIS_URL) instead',
    'WINDOW_SIZE is not read: set WINDOW instead',
  ])
})

test('nothing is said of what is unset, empty, a setting, or a variable of Kubernetes', () => {
  const settings = Object.fromEntries(Object.keys(commonSettings).map(name => [name, 'x']))
  expect(formerSettings({ ...settings, WINDOW_SIZE: '', REDIS_PORT: 'tcp://10.0.0.7:6379' })).toEqual([])
})
