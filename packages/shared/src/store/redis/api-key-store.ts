import { randomUUID } from 'node:crypto'
import { API_KEYS_MAX, type ApiKey, formatApiKey, parseApiKey } from '../../access/api-key.ts'
import type { ApiKeyStore } from '../ports/api-keys.ts'
import { inOneWrite } from './connection.ts'
import { withStoreErrors } from './errors.ts'
import type { StoreContext } from './scripts.ts'

export function createApiKeyStore({ client, keys: names, options }: StoreContext): ApiKeyStore {
  const { apiKeys, apiKeysRevision, apiKeyUses } = names

  // A random revision, not a number: Redis may lose changes, and must not repeat a revision then.
  const change = (id: string, mode: 'add' | 'replace' | 'remove', before = '', record = ''): Promise<unknown> => {
    const keys = [apiKeys, apiKeysRevision, apiKeyUses]
    return client.changeApiKey(...keys, id, mode, before, record, randomUUID(), API_KEYS_MAX)
  }

  function parse(id: string, text: string): ApiKey[] {
    const key = parseApiKey(text)
    if (key?.id === id) return [key]
    options.onFailure(new Error(`the stored API key ${id} cannot be read; it is not in force`))
    return []
  }

  return withStoreErrors<ApiKeyStore>({
    revision: async () => (await client.hget(apiKeysRevision, 'revision')) ?? '',

    async load() {
      const [revision, found] = await inOneWrite(client, () =>
        Promise.all([client.hget(apiKeysRevision, 'revision'), client.hgetall(apiKeys)]),
      )
      return { keys: Object.entries(found).flatMap(([id, text]) => parse(id, text)), revision: revision ?? '' }
    },

    async add(key) {
      const done = await change(key.id, 'add', '', formatApiKey(key))
      return done === 1 ? 'added' : done === 0 ? 'exists' : 'full'
    },

    async update(id, changed) {
      for (;;) {
        const text = await client.hget(apiKeys, id)
        const [key] = text === null ? [] : parse(id, text)
        if (text === null || key === undefined) return undefined
        const after = changed(key)
        // Another gateway can only win so often: each time, an operator has changed the key.
        if ((await change(id, 'replace', text, formatApiKey(after))) === 1) return after
      }
    },

    remove: async id => (await change(id, 'remove')) === 1,

    async noteUses(uses) {
      if (uses.size > 0) await client.hset(apiKeyUses, new Map(uses))
    },

    async uses() {
      const found = await client.hgetall(apiKeyUses)
      return new Map(Object.entries(found).map(([id, ms]) => [id, Number(ms)]))
    },
  })
}
