import { Client } from '@tidemark/client/client'
import type * as wire from '@tidemark/client/types'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { describe, expect, expectTypeOf, test } from 'vitest'
import type { z } from 'zod'
import type { groupsPageSchema } from '../src/alerts/groups.ts'
import type { alertsPageSchema } from '../src/alerts/schemas.ts'
import type { deadPageSchema } from '../src/dead-letters/routes.ts'
import type { problemSchema } from '../src/http/documentation.ts'
import type { ingestResultSchema } from '../src/ingest/routes.ts'
import type { rebalancesSchema } from '../src/overview/rebalances.ts'
import type { keysPageSchema, overviewSchema } from '../src/overview/schemas.ts'
import type { changesSchema, explanationSchema, previewSchema, ruleSchema, rulesSchema } from '../src/rules/schemas.ts'
import type { callerSchema } from '../src/sessions/routes.ts'
import type {
  aggregatesSchema,
  analysisSchema,
  anomaliesPageSchema,
  historySchema,
  pageSchema,
} from '../src/verdicts/schemas.ts'
import { testKey } from './support/api-keys.ts'
import { analyseAll, createTestApp, type TestAppOptions } from './support/fixture.ts'

function createClient(options: TestAppOptions = {}, apiKey?: string) {
  const store = createMemoryStore({ partitions: 4 })
  const test = createTestApp({ store, ...options })
  const client = new Client({
    url: 'http://localhost',
    retryForMs: 5000,
    ...(apiKey === undefined ? {} : { apiKey }),
    fetch: async (input, init) => test.app.request(String(input), init),
  })
  return { ...test, store, client }
}

/** What JSON makes of a type: optional members are absent, never undefined. */
type Json<T> = T extends readonly (infer E)[]
  ? readonly Json<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Json<Exclude<T[K], undefined>> }
    : T
type Body<S extends z.ZodType> = Json<z.output<S>>

describe('the types of the client', () => {
  test('are those of the OpenAPI document', () => {
    expectTypeOf<wire.Analysis>().toEqualTypeOf<Body<typeof analysisSchema>>()
    expectTypeOf<wire.AnalysesPage>().toEqualTypeOf<Body<typeof pageSchema>>()
    expectTypeOf<wire.Aggregates>().toEqualTypeOf<Body<typeof aggregatesSchema>>()
    expectTypeOf<wire.History>().toEqualTypeOf<Body<typeof historySchema>>()
    expectTypeOf<wire.IngestResult>().toEqualTypeOf<Body<typeof ingestResultSchema>>()
    expectTypeOf<wire.Caller>().toEqualTypeOf<Body<typeof callerSchema>>()
    expectTypeOf<wire.AnomaliesPage>().toEqualTypeOf<Body<typeof anomaliesPageSchema>>()
    expectTypeOf<wire.KeysPage>().toEqualTypeOf<Body<typeof keysPageSchema>>()
    expectTypeOf<wire.Rebalances>().toEqualTypeOf<Body<typeof rebalancesSchema>>()
    expectTypeOf<wire.Overview>().toEqualTypeOf<Body<typeof overviewSchema>>()
    expectTypeOf<wire.DeadLettersPage>().toEqualTypeOf<Body<typeof deadPageSchema>>()
    // Parts of them: the client needs no more.
    expectTypeOf<Body<typeof alertsPageSchema>>().toExtend<wire.AlertsPage>()
    expectTypeOf<Body<typeof groupsPageSchema>>().toExtend<wire.AlertGroupsPage>()
    expectTypeOf<Body<typeof explanationSchema>>().toExtend<wire.RuleExplanation>()
    expectTypeOf<Body<typeof rulesSchema>>().toExtend<wire.Rules>()
    expectTypeOf<Body<typeof ruleSchema>>().toExtend<wire.Rule>()
    expectTypeOf<Body<typeof changesSchema>>().toExtend<wire.RuleChangesPage>()
    expectTypeOf<Body<typeof previewSchema>>().toExtend<wire.RulePreview>()
    expectTypeOf<Body<typeof problemSchema>>().toExtend<wire.Problem>()
  })
})

describe('the client with a gateway', () => {
  test('previews, puts, changes and deletes rules', async () => {
    const { client } = createClient()
    const note = { who: 'mira', why: 'a test' }
    const rule = { id: 'a b?', pattern: 'edge-*' }
    await expect(client.putRule(rule, note)).rejects.toMatchObject({ status: 422 })
    const named = { ...rule, id: 'edge' }
    expect((await client.previewRule({ rule: named, samples_max: 0 })).rules_version).toBe(0)
    expect(await client.putRule(named, { ...note, version: 0 })).toMatchObject({ rule: named, version: 1 })
    await expect(client.putRule(named, { ...note, version: 0 })).rejects.toMatchObject({ status: 412 })
    expect((await client.rules()).rules.map(one => one.rule)).toEqual([named])
    await client.deleteRule('edge', { ...note, version: 1 })
    expect((await client.ruleChanges()).changes.map(({ kind }) => kind)).toEqual(['rule_deleted', 'rule_put'])
    await client.mute('m', { ...note, pattern: 'edge-*', until: '1h' })
    await client.endMute('m', note)
    expect((await client.rules()).mutes).toEqual([])
    await expect(client.endSnooze('x', note)).rejects.toMatchObject({ status: 404 })
    await expect(client.markAlert('x', true)).rejects.toMatchObject({ status: 404 })
  })

  test('stores samples, and gets the verdict on its receipt', async () => {
    const { client, store } = createClient()
    const { accepted, rejected, receipts } = await client.ingest([
      { key: 'edge-17/rps', value: 420 },
      { key: '', value: 1 },
    ])
    expect([accepted, rejected.map(({ index }) => index), receipts.length]).toEqual([1, [1], 1])
    await analyseAll(store)
    const [receipt = ''] = receipts
    expect(await client.verdicts(receipt)).toMatchObject([{ key: 'edge-17/rps', value: 420, id: receipt }])
    expect(await client.analyze('edge-17/rps', { after: receipt })).toMatchObject({ value: 420, id: receipt })
    expect((await client.analyses({ prefix: 'edge-', limit: 1 })).analyses).toHaveLength(1)
    await expect(client.analyze('unknown')).rejects.toMatchObject({ status: 404, kind: 'key-unknown' })
  })

  test('stores nothing twice if responses are lost', async () => {
    const { app, store } = createClient()
    let attempts = 0
    const client = new Client({
      url: 'http://localhost',
      fetch: async (input, init) => {
        const response = await app.request(String(input), init)
        if (++attempts < 3) throw new TypeError('fetch failed')
        return response
      },
    })
    const samples = Array.from({ length: 20 }, (_, i) => ({ key: `k${i}`, value: i }))
    expect(await client.ingest(samples)).toMatchObject({ accepted: 20, rejected: [] })
    expect(attempts).toBe(3)
    const progress = await store.gateway.progress([0, 1, 2, 3])
    expect(progress.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(20)
  })

  test('authenticates with an API key', async () => {
    const { token, record } = testKey({ scopes: ['read'] })
    const { client } = createClient({ keys: [record] }, token)
    expect(await client.session()).toMatchObject({ scopes: ['read'], via: 'api-key' })
    await expect(client.ingest({ key: 'a', value: 1 })).rejects.toMatchObject({ status: 403, kind: 'scope-missing' })
    const { client: stranger } = createClient({ keys: [record] })
    await expect(stranger.session()).rejects.toMatchObject({ status: 401, kind: 'unauthenticated' })
  })
})
