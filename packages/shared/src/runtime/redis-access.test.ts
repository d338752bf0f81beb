import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { checkRedisRules, commonSettings, readConfig } from './config.ts'
import { currentRedisAccess, readRedisAccess } from './redis-access.ts'

const folder = mkdtempSync(join(tmpdir(), 'tidemark-access-'))
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const schema = z.object(commonSettings).superRefine(checkRedisRules)
const read = (env: Readonly<Record<string, string>>) =>
  readRedisAccess(readConfig(schema, { REDIS_URL: 'redis://h:6379', ...env }))

describe('the access to Redis', () => {
  test('is nothing besides the URL by default', () => {
    expect(read({})).toEqual({})
    expect(read({ REDIS_URL: 'unix:///tmp/redis.sock' })).toEqual({})
  })

  test.each(['s3cret', 's3cret\n', 's3cret\r\n'])('has the user and the password of a file: %j', text => {
    const settings = { REDIS_USERNAME: 'gateway', REDIS_PASSWORD_FILE: file('password', text) }
    expect(read(settings)).toEqual({ username: 'gateway', password: 's3cret' })
  })

  test('may be in the URL and in a file if they are the same', () => {
    const url = { REDIS_URL: 'redis://gateway:a%23b@h:6379', REDIS_USERNAME: 'gateway' }
    expect(read({ ...url, REDIS_PASSWORD_FILE: file('same', 'a#b') })).toEqual({ username: 'gateway', password: 'a#b' })
  })

  test.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['another user', { REDIS_URL: 'redis://ada:x@h', REDIS_USERNAME: 'bob' }, /REDIS_USERNAME: is another user than/],
    [
      'another password',
      { REDIS_URL: 'redis://:other@h', REDIS_PASSWORD_FILE: file('one', 's3cret') },
      /REDIS_PASSWORD_FILE: has another password than REDIS_URL/,
    ],
    ['no file', { REDIS_PASSWORD_FILE: join(folder, 'none') }, /REDIS_PASSWORD_FILE: names a file .*none \(ENOENT\)/],
    ['a folder', { REDIS_PASSWORD_FILE: folder }, /cannot be read, .* \(EISDIR\)/],
    ['an empty file', { REDIS_PASSWORD_FILE: file('empty', '\n') }, /names an empty file/],
    ['two lines', { REDIS_PASSWORD_FILE: file('lines', 's3cret\nmore\n') }, /one line, the password/],
    ['a CA without TLS', { REDIS_CA_FILE: '/ca' }, /REDIS_CA_FILE: is for TLS: write rediss:/],
    [
      'a CA that is none',
      { REDIS_URL: 'rediss://h', REDIS_CA_FILE: file('ca', 's3cret') },
      /REDIS_CA_FILE: .*PEM format/,
    ],
    [
      'a certificate without a key',
      { REDIS_URL: 'rediss://h', REDIS_CERT_FILE: '/cert' },
      /REDIS_KEY_FILE: must be set too/,
    ],
    [
      'a key without a certificate',
      { REDIS_URL: 'rediss://h', REDIS_KEY_FILE: '/k' },
      /REDIS_CERT_FILE: must be set too/,
    ],
  ])('%s is named in a sentence that has no secret', (_, env, sentence) => {
    expect(() => read(env)).toThrow(sentence)
    expect(() => read(env)).not.toThrow(/s3cret/)
  })

  test('a key of another certificate is named', () => {
    const make = (name: string) => {
      const paths = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.crt`)]
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
      execFileSync('openssl', ['req', '-x509', ...key, ...paths, '-subj', `/CN=${name}`], { stdio: 'ignore' })
    }
    make('a')
    make('b')
    const at = (name: string) => join(folder, name)
    const url = { REDIS_URL: 'rediss://h', REDIS_CERT_FILE: at('a.crt') }
    expect(read({ ...url, REDIS_KEY_FILE: at('a.key') }).tls?.cert).toContain('BEGIN CERTIFICATE')
    expect(() => read({ ...url, REDIS_KEY_FILE: at('b.key') })).toThrow(
      /REDIS_KEY_FILE: is not the key of the certificate/,
    )
  })

  test('is what the file has now; while that is wrong, what it had last', () => {
    const path = file('rotated', 'first')
    const failures: string[] = []
    const settings = readConfig(schema, { REDIS_URL: 'redis://h', REDIS_PASSWORD_FILE: path })
    const access = currentRedisAccess(settings, error => failures.push(error.message))
    expect(access().password).toBe('first')
    writeFileSync(path, '')
    expect(access().password).toBe('first')
    expect(failures).toEqual([expect.stringContaining('names an empty file')])
    writeFileSync(path, 'second')
    expect(access().password).toBe('second')
  })
})
