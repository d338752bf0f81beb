import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { authorizationFrom } from './api-key.ts'

test('the API key comes from the environment, else from a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-key-'))
  try {
    const file = join(folder, 'key')
    writeFileSync(file, 'tmk_file\n')
    expect(authorizationFrom({})).toEqual({})
    expect(authorizationFrom({ TIDEMARK_API_KEY: '', TIDEMARK_API_KEY_FILE: '' })).toEqual({})
    expect(authorizationFrom({ TIDEMARK_API_KEY_FILE: file })).toEqual({ Authorization: 'Bearer tmk_file' })
    const both = { TIDEMARK_API_KEY: 'tmk_env', TIDEMARK_API_KEY_FILE: file }
    expect(authorizationFrom(both)).toEqual({ Authorization: 'Bearer tmk_env' })
    expect(() => authorizationFrom({ TIDEMARK_API_KEY_FILE: join(folder, 'none') })).toThrow(/cannot be read.*ENOENT/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
