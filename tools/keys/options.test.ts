import { expect, test } from 'vitest'
import { readOptions } from './options.ts'

test('an API key to create has its name, scopes, prefix and limits', () => {
  const args = ['create', '--name', 'a', '--scopes', 'ingest,read', '--prefix', 'a/', '--samples-per-s', '2.5']
  expect(readOptions([...args, '--expires', '2099-01-31T18:00:00Z'])).toMatchObject({
    action: 'create',
    url: 'http://127.0.0.1:8080',
    key: {
      name: 'a',
      scopes: ['ingest', 'read'],
      key_prefix: 'a/',
      limits: { samples_per_s: 2.5 },
      expires_at: Date.parse('2099-01-31T18:00:00Z'),
    },
  })
})

test.each([
  [[], 'Say what to do'],
  [['delete'], 'Say what to do'],
  [['create', '--name', 'a'], 'create requires --name and --scopes'],
  [['create', '--name', 'a', '--scopes', 'write'], '--scopes must be'],
  [['create', '--name', 'a', '--scopes', 'admin', '--prefix', 'a/'], '--prefix must be empty for the scope admin'],
  [['create', '--name', 'a', '--scopes', 'read', '--expires', '0d'], '--expires must be'],
  [['create', '--name', 'a', '--scopes', 'read', '--expires', 'tomorrow'], '--expires must be'],
  [['revoke'], 'requires the id'],
  [['revoke', 'a', 'b'], "Unexpected argument 'b'"],
  [['list', 'a'], "Unexpected argument 'a'"],
  [['list', '--file', 'a', '--url', 'b'], '--file or --url'],
])('%j: %s', (args, message) => {
  expect(() => readOptions(args)).toThrow(message)
})
