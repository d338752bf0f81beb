import { readConfig } from '@tidemark/shared/runtime/config'
import { STORE_LIMITS } from '@tidemark/shared/store/ports/store'
import { expect, test } from 'vitest'
import { configSchema } from './config.ts'
import { keyedRequestsPerS } from './ingest/idempotency.ts'

const read = (settings: Readonly<Record<string, string>>) =>
  readConfig(configSchema, { REDIS_URL: 'redis://localhost', ...settings })

test.each([
  [{ WINDOW: '20' }, 'WINDOW_MIN: must be at most WINDOW'],
  [{ WINDOW_MIN: '60' }, 'WINDOW_MIN: must be at most WINDOW'],
  [{ DRAIN_DELAY_MS: '15001' }, 'DRAIN_DELAY_MS: must be at most 15000: the process exits 20 s after SIGTERM'],
  [{ DRAIN_DELAY_MS: '60000' }, 'DRAIN_DELAY_MS: must be at most 15000'],
  [{ BODY_BYTES_MAX: '2000000', BODIES_BYTES_MAX: '1048576' }, 'BODY_BYTES_MAX: must be at most BODIES_BYTES_MAX'],
  [{ PORT: '9464' }, 'METRICS_PORT: must not be PORT'],
  [{ REDIS_URL: 'redis://a,redis://b' }, 'REDIS_URL: must name one Redis, or with REDIS_CLUSTER=true'],
  [{ REDIS_URL: 'unix:///a', REDIS_CLUSTER: 'true' }, 'REDIS_URL: must name one Redis'],
  [{ DURABILITY: 'eternal' }, 'DURABILITY: '],
  [{ FUTURE_MAX_MS: '-1' }, 'FUTURE_MAX_MS: '],
])('%j is impossible', (settings, sentence) => {
  expect(() => read(settings)).toThrow(sentence)
})

test.each([
  {},
  { WINDOW: '20', WINDOW_MIN: '20' },
  { DRAIN_DELAY_MS: '15000' },
  { PORT: '0', METRICS_PORT: '0' },
  { SAMPLES_MAX: '10000', QUEUE_SAMPLES_MAX: '100' },
  { REDIS_URL: 'redis://a,redis://b', REDIS_CLUSTER: 'true' },
])('%j is possible', settings => {
  expect(() => read(settings)).not.toThrow()
})

test('every rule that is broken is named', () => {
  expect(() => read({ WINDOW: '20', DRAIN_DELAY_MS: '60000' })).toThrow(/WINDOW_MIN: .*\n.*DRAIN_DELAY_MS: /)
})

test('the defaults allow 100 requests a second with an Idempotency-Key', () => {
  const { IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_TTL_MS } = read({})
  expect(IDEMPOTENCY_KEYS_MAX).toBe(STORE_LIMITS.requestsMax)
  const rate = keyedRequestsPerS(IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_TTL_MS)
  expect(rate).toBeGreaterThanOrEqual(99.5)
  expect(rate).toBeLessThan(101)
})
