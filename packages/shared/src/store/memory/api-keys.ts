import { API_KEYS_MAX, formatApiKey, parseApiKey } from '../../access/api-key.ts'
import type { ApiKeyStore } from '../ports/api-keys.ts'
import type { Data } from './data.ts'

export function apiKeysOn({ apiKeys }: Data): ApiKeyStore {
  const revision = (): string => (apiKeys.revision === 0 ? '' : String(apiKeys.revision))
  return {
    revision: async () => revision(),
    async load() {
      const keys = [...apiKeys.records.values()].map(parseApiKey).filter(key => key !== undefined)
      return { keys, revision: revision() }
    },
    async add(key) {
      if (apiKeys.records.has(key.id)) return 'exists'
      if (apiKeys.records.size >= API_KEYS_MAX) return 'full'
      apiKeys.records.set(key.id, formatApiKey(key))
      apiKeys.revision++
      return 'added'
    },
    async update(id, change) {
      const key = parseApiKey(apiKeys.records.get(id) ?? '')
      if (key === undefined) return undefined
      const after = change(key)
      apiKeys.records.set(id, formatApiKey(after))
      apiKeys.revision++
      return after
    },
    async remove(id) {
      if (!apiKeys.records.delete(id)) return false
      apiKeys.uses.delete(id)
      apiKeys.revision++
      return true
    },
    async noteUses(uses) {
      for (const [id, at] of uses) apiKeys.uses.set(id, at)
    },
    uses: async () => new Map(apiKeys.uses),
  }
}
