import { readFileSync } from 'node:fs'
import { Failure } from './options.ts'

/**
 * Returns the headers with the API key of TIDEMARK_API_KEY, or of the file that
 * TIDEMARK_API_KEY_FILE names; none without either. It is no option, because other users of the
 * computer see command lines.
 */
export function authorizationFrom(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const key = env.TIDEMARK_API_KEY || readKey(env.TIDEMARK_API_KEY_FILE)
  return key === undefined ? {} : { Authorization: `Bearer ${key}` }
}

function readKey(path: string | undefined): string | undefined {
  if (path === undefined || path === '') return undefined
  try {
    return readFileSync(path, 'utf8').trim() || undefined
  } catch (cause) {
    const { code = 'an error' } = cause as NodeJS.ErrnoException
    throw new Failure(`TIDEMARK_API_KEY_FILE names a file that cannot be read, ${path} (${code})`, { cause })
  }
}
