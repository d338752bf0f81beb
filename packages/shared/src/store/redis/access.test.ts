import { expect, test } from 'vitest'
import { accessAdvice } from './access.ts'

test.each([
  ['WRONGPASS invalid username-password pair or user is disabled.', '(WRONGPASS)'],
  ['ERR invalid password', '(WRONGPASS)'],
  ['NOAUTH Authentication required.', '(NOAUTH)'],
  ['NOAUTH HELLO must be called with the client already authenticated', '(NOAUTH)'],
  ["NOPERM this user has no permissions to run the 'info' command", 'the command INFO'],
  ["NOPERM User app has no permissions to run the 'config|get' command", '+config|get'],
  ['NOPERM this user has no permissions to run the command evalsha', 'the command EVALSHA'],
  ['DENIED Redis is running in protected mode because protected mode is enabled', 'give its users a password'],
  ['NOPERM this user has no permissions to access one of the keys used as arguments', 'denies a key'],
  ["ERR The user executing the script can't run this command or subcommand script: abc", 'a command of a script'],
  ["ERR The user executing the script can't access at least one of the keys mentioned", 'denies a key'],
  ['ERR This instance has cluster support disabled', 'set REDIS_CLUSTER to false'],
  ['C0:error:0A00010B:SSL routines:ssl3_get_record:wrong version number', 'redis:// instead of rediss://'],
])('%s: %s', (message, advice) => {
  expect(accessAdvice(new Error(message))).toContain(advice)
  expect(accessAdvice(new Error(message))).toMatch(/^[A-Z].*\.$/)
})

test.each([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_HAS_EXPIRED',
])('a certificate with %s is not trusted', code => {
  expect(accessAdvice(Object.assign(new Error('self-signed'), { code }))).toContain('NODE_EXTRA_CA_CERTS')
})

test.each([
  new Error('connect ECONNREFUSED'),
  new Error('LOADING Redis is loading'),
  new Error('OOM command not allowed'),
  'WRONGPASS',
])('%s needs no advice', error => {
  expect(accessAdvice(error)).toBeUndefined()
})
