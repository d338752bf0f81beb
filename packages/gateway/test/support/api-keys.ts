import { type ApiKey, createApiKey } from '@tidemark/shared/access/api-key'
import { SCOPES } from '@tidemark/shared/access/scope'

/** Creates an API key that may do everything, except for `fields`. */
export function testKey(fields: Partial<ApiKey> = {}) {
  const { token, record } = createApiKey({
    name: 'mira',
    scopes: [...SCOPES],
    key_prefix: '',
    limits: {},
    expires_at: null,
    created_at: 1_600_000_000_000,
    created_by: 'a test',
    ...fields,
  })
  return { token, record, headers: { Authorization: `Bearer ${token}` } }
}
