import { readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { type ApiKey, createApiKey } from '@tidemark/shared/access/api-key'
import { formatKeyFile, KeyFileError, parseKeyFile } from '@tidemark/shared/access/key-file'
import { Failure } from '../lib/options.ts'
import type { KeysOptions } from './options.ts'

/** Adds an API key to a file, which is created if it does not exist. */
export async function createInFile(path: string, { key }: KeysOptions) {
  const keys = await readKeys(path, [])
  const by = `npm run keys, by ${userInfo().username}`
  const { token, record } = createApiKey({ ...key, created_at: Date.now(), created_by: by })
  await writeKeys(path, [...keys, record])
  return { token, id: record.id }
}

export function listInFile(path: string): Promise<ApiKey[]> {
  return readKeys(path)
}

export async function revokeInFile(path: string, id: string): Promise<void> {
  const keys = await readKeys(path)
  const rest = keys.filter(key => key.id !== id)
  if (rest.length === keys.length) throw new Failure(`${path} has no API key with the id ${id}`)
  await writeKeys(path, rest)
}

async function readKeys(path: string, fallback?: ApiKey[]): Promise<ApiKey[]> {
  try {
    return parsed(path, await readFile(path, 'utf8'))
  } catch (error) {
    if (error instanceof Failure) throw error
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' && fallback !== undefined) return fallback
    throw new Failure(`${path} cannot be read (${code})`, { cause: error })
  }
}

function parsed(path: string, text: string): ApiKey[] {
  try {
    return parseKeyFile(text)
  } catch (error) {
    if (!(error instanceof KeyFileError)) throw error
    throw new Failure(`${path} ${error.message}`, { cause: error })
  }
}

/** Writes in place, not by renaming: the file may be mounted into a container by itself. */
async function writeKeys(path: string, keys: readonly ApiKey[]): Promise<void> {
  const text = formatKeyFile(keys)
  // A gateway would refuse the file.
  parsed(path, text)
  await writeFile(path, text)
}
