import { expect, test } from 'vitest'
import { redact, secretsIn } from './secrets.ts'

test.each([
  [{ REDIS_URL: 'redis://:hunter2hunter@h:6379' }, 'AUTH default hunter2hunter'],
  [{ REDIS_URL: 'redis://app:hunter2%23x@h:6379' }, 'AUTH app hunter2#x'],
  [{ REDIS_URL: 'redis://:57#Wc903z@h:6379' }, 'Invalid URL redis://:57#Wc903z@h:6379'],
  [{ REDIS_URL: 'redis://:p@ssw0rd@h:6379' }, 'AUTH p@ssw0rd'],
  [{ REDIS_URL: 'redis://:quote"\\sign@h' }, JSON.stringify({ args: ['quote"\\sign'] })],
  [{ REDIS_URL: 'redis://:first-one@a:1,redis://:second-one@b:2' }, 'AUTH second-one'],
  [
    { WEBHOOK_URLS: 'https://hooks.example/services/T0/B0/0123456789abcdefXYZ' },
    'POST /services/T0/B0/0123456789abcdefXYZ',
  ],
  [{ WEBHOOK_URLS: 'https://h/in?token=0123456789abcdefXYZ&x=1' }, 'token=0123456789abcdefXYZ'],
  [{ ALERTMANAGER_URLS: 'http://u:secret-word@am:9093' }, `Authorization: Basic ${btoa('u:secret-word')}`],
  [{ WEBHOOK_SECRET: 'whsec_AAAABBBBCCCC,whsec_DDDDEEEEFFFF' }, 'whsec_DDDDEEEEFFFF'],
  [{ OTEL_EXPORTER_OTLP_HEADERS: 'x-api-key=abcdef123456' }, 'x-api-key: abcdef123456'],
])('%j: its secrets are redacted', (env, line) => {
  const clean = redact(line, secretsIn(env))
  expect(clean).toContain('[redacted]')
  for (const secret of secretsIn(env)) expect(clean).not.toContain(secret)
})

test('hosts, users, ports and other settings stay', () => {
  const env = { REDIS_URL: 'redis://user:hunter2hunter@redis:6379', ALERTMANAGER_URLS: 'http://am:9093/alertmanager' }
  const line = 'connect ECONNREFUSED redis:6379 as user, http://am:9093/alertmanager'
  expect(redact(line, secretsIn({ ...env, LOG_LEVEL: 'info', REDIS_PREFIX: 'tidemark' }))).toBe(line)
})

test('the secret of an API key is redacted without being a setting; its id stays', () => {
  const secret = 'A'.repeat(49)
  expect(redact(`Authorization: Bearer tmk_0123456789ab_${secret}, again tmk_0123456789ab_${secret}.`, [])).toBe(
    'Authorization: Bearer tmk_0123456789ab_[redacted], again tmk_0123456789ab_[redacted].',
  )
})
