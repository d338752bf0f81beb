import { createApiKey } from '@tidemark/shared/access/api-key'
import { describe, expect, test } from 'vitest'
import type { OpenStore } from './harness.ts'

const FIELDS = {
  name: 'edge "17" ☃',
  scopes: ['ingest' as const],
  key_prefix: 'edge-17/',
  limits: { samples_per_s: 10 },
  expires_at: null,
  created_at: 1_700_000_000_000,
  created_by: 'mira',
}

export function describeApiKeys(open: OpenStore): void {
  describe('API keys', () => {
    test('there is none before the first is added', async () => {
      await using under = await open()
      expect(await under.store.apiKeys.load()).toEqual({ keys: [], revision: '' })
      expect(await under.store.apiKeys.revision()).toBe('')
      expect(await under.store.apiKeys.uses()).toEqual(new Map())
    })

    test('are added, replaced and removed for every process, each time with a new revision', async () => {
      await using under = await open()
      await using other = await under.connect()
      const { record } = createApiKey(FIELDS)
      const revisions = new Set([await other.apiKeys.revision()])
      const noted = async (): Promise<void> => void revisions.add(await other.apiKeys.revision())
      expect(await under.store.apiKeys.add(record)).toBe('added')
      await noted()
      expect(await other.apiKeys.load()).toEqual({ keys: [record], revision: await under.store.apiKeys.revision() })
      const renamed = { ...record, name: 'another' }
      expect(await other.apiKeys.update(record.id, key => ({ ...key, name: 'another' }))).toEqual(renamed)
      await noted()
      expect((await under.store.apiKeys.load()).keys).toEqual([renamed])
      expect(await under.store.apiKeys.remove(record.id)).toBe(true)
      await noted()
      expect((await other.apiKeys.load()).keys).toEqual([])
      expect(revisions.size).toBe(4)
    })

    test('a change of a key that does not exist, or exists already, has no effect and no revision', async () => {
      await using under = await open()
      const { apiKeys } = under.store
      const { record } = createApiKey(FIELDS)
      await apiKeys.add(record)
      const revision = await apiKeys.revision()
      expect(await apiKeys.add({ ...record, name: 'twice' })).toBe('exists')
      expect(await apiKeys.remove('0123456789ab')).toBe(false)
      expect(await apiKeys.update('0123456789ab', key => key)).toBeUndefined()
      expect(await apiKeys.load()).toEqual({ keys: [record], revision })
    })

    test('simultaneous changes of one key all have their effect', async () => {
      await using under = await open()
      await using other = await under.connect()
      const { record } = createApiKey(FIELDS)
      await under.store.apiKeys.add(record)
      await Promise.all([
        under.store.apiKeys.update(record.id, key => ({ ...key, name: 'renamed' })),
        other.apiKeys.update(record.id, key => ({ ...key, expires_at: 5 })),
        under.store.apiKeys.update(record.id, key => ({ ...key, limits: {} })),
      ])
      const { keys } = await other.apiKeys.load()
      expect(keys).toEqual([{ ...record, name: 'renamed', expires_at: 5, limits: {} }])
    })

    test('have a time of their last use, which is no change and ends with the key', async () => {
      await using under = await open()
      await using other = await under.connect()
      const { apiKeys } = under.store
      const { record } = createApiKey(FIELDS)
      await apiKeys.add(record)
      const revision = await apiKeys.revision()
      await apiKeys.noteUses(new Map())
      await apiKeys.noteUses(new Map([[record.id, 5]]))
      await apiKeys.noteUses(new Map([[record.id, 7]]))
      expect(await other.apiKeys.uses()).toEqual(new Map([[record.id, 7]]))
      expect(await apiKeys.revision()).toBe(revision)
      await apiKeys.remove(record.id)
      expect(await apiKeys.uses()).toEqual(new Map())
    })
  })
}
