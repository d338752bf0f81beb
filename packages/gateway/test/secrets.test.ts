import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseKeyFile } from '@tidemark/shared/access/key-file'
import { digestOfToken } from '@tidemark/shared/access/token'
import { expect, test } from 'vitest'
import { formatUsers, REDIS_USERS } from '../src/secrets/deployment-secrets.ts'

const MAIN = fileURLToPath(new URL('../src/secrets/main.ts', import.meta.url))

test('the secrets of compose.yaml are made once, and files for others have digests only', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-secrets-'))
  try {
    const run = () => execFileSync(process.execPath, [MAIN, folder], { encoding: 'utf8' })
    const read = () =>
      Object.fromEntries(readdirSync(folder).map(name => [name, readFileSync(join(folder, name), 'utf8')]))
    expect(run()).toContain('has new secrets')
    const files = read()
    expect(run()).toContain('stay as they are')
    expect(read()).toEqual(files)

    const keys = parseKeyFile(files['api-keys.json'] ?? '')
    const operator = files['api-key']?.trim() ?? ''
    expect(keys.map(({ name, scopes }) => [name, scopes.join()])).toEqual([
      ['operator', 'ingest,read,operate,admin'],
      ['canary', 'ingest,read'],
      ['load-test', 'ingest,read'],
    ])
    expect(keys.map(({ key_prefix }) => key_prefix)).toEqual(['', 'tidemark/', ''])
    expect(keys[0]?.sha256).toBe(digestOfToken(operator).toString('hex'))
    expect(files['api-keys.json']).not.toContain(operator)
    for (const user of ['gateway', 'analyzer', 'admin', 'probe']) {
      expect(files[`redis-${user}`]).toMatch(/^[0-9a-f]{64}$/)
      expect(files['users.acl']).not.toContain(files[`redis-${user}`])
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('the file of users has one line for each, with the keys of the prefix, and turns off the default user', () => {
  const passwords = Object.fromEntries(REDIS_USERS.map(user => [user, user])) as Parameters<typeof formatUsers>[0]
  const lines = formatUsers(passwords, 'other').trimEnd().split('\n')
  expect(lines.map(line => line.split(' ')[1])).toEqual(['default', ...REDIS_USERS])
  expect(lines[0]).toBe('user default off ~* &* +@all')
  expect(lines.join('\n')).not.toMatch(/tm:|#(?![0-9a-f]{64} )/)
  expect(lines[1]).toContain(' ~other:* ')
})
