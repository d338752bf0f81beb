import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createApiKey } from '@tidemark/shared/access/api-key'
import { formatKeyFile } from '@tidemark/shared/access/key-file'

const { token, record } = createApiKey({
  name: 'chaos',
  scopes: ['ingest', 'read', 'operate'],
  key_prefix: '',
  limits: {},
  expires_at: null,
  created_at: Date.now(),
  created_by: 'chaos',
})

/** The header with which all clients of a run authenticate. */
export const AUTHORIZATION = { authorization: `Bearer ${token}` }

/** Writes the API key of all runs into a folder. Returns the settings of gateways. */
export function requireApiKey(folder: string): Record<string, string> {
  const path = join(folder, 'api-keys.json')
  writeFileSync(path, formatKeyFile([record]))
  return { AUTH: 'on', API_KEYS_FILE: path }
}
