import { readConfig } from '@tidemark/shared/runtime/config'
import { expect, test } from 'vitest'
import { analyzerSettings } from './config.ts'

const read = (settings: Readonly<Record<string, string>>) =>
  readConfig(analyzerSettings, { REDIS_URL: 'redis://localhost', ...settings })

test.each([
  [{ HEARTBEAT_MS: '10000' }, 'HEARTBEAT_MS: must be at most half of LEASE_TTL_MS'],
  [{ HEARTBEAT_MS: '500', LEASE_TTL_MS: '500' }, 'HEARTBEAT_MS: must be at most half of LEASE_TTL_MS'],
  [{ HEARTBEAT_MS: '501', LEASE_TTL_MS: '1000' }, 'HEARTBEAT_MS: must be at most half of LEASE_TTL_MS'],
  [{ WINDOW: '20' }, 'WINDOW_MIN: must be at most WINDOW'],
  [{ REDIS_URL: 'unix:///a', REDIS_CLUSTER: 'true' }, 'REDIS_URL: must name one Redis'],
  [{ WEBHOOK_URLS: 'https://h' }, 'WEBHOOK_SECRET: must be set with WEBHOOK_URLS'],
])('%j is impossible', (settings, sentence) => {
  expect(() => read(settings)).toThrow(sentence)
})

test.each([{}, { HEARTBEAT_MS: '500', LEASE_TTL_MS: '1000' }, { LEASE_TTL_MS: '500' }])('%j is possible', settings => {
  expect(() => read(settings)).not.toThrow()
})
