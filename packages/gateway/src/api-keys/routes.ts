import { z } from '@hono/zod-openapi'
import { type ApiKey, createApiKey } from '@tidemark/shared/access/api-key'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { KeyInForce, KeySource, KeyTable } from '../access/key-table.ts'
import { BODY_PROBLEMS, json, jsonBody, PROBLEMS, problem } from '../http/documentation.ts'
import { callerOf, noteChange } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { idParameter, noQuery } from '../http/query.ts'
import { createRoute, createRouter, type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { changedKeySchema, createdSchema, listSchema, newKeySchema, viewSchema } from './schemas.ts'

const KEY_ID = idParameter('The id of the API key: the part between its underscores.', '0123456789ab')
const KEY_UNKNOWN = { 404: problem('No API key with this id: it may have been revoked.', 'api-key-unknown') }
const IN_FILE = { 409: problem('The API key comes from API_KEYS_FILE.', 'api-key-in-file') }

const createKeyRoute = createRoute({
  method: 'post',
  path: '/api-keys',
  access: 'admin',
  operationId: 'createApiKey',
  summary: 'Creates an API key, whose token is in the response and nowhere else',
  description: 'It is in force on every gateway within 2 s.',
  request: {
    query: noQuery,
    body: jsonBody(newKeySchema(0), { name: 'edge-17', scopes: ['ingest'], key_prefix: 'edge-17/', expires_at: '90d' }),
  },
  responses: {
    201: json('Created.', createdSchema),
    ...BODY_PROBLEMS,
    409: problem('There are too many API keys.', 'api-keys-too-many'),
  },
})

const listRoute = createRoute({
  method: 'get',
  path: '/api-keys',
  access: 'admin',
  operationId: 'apiKeys',
  summary: 'All API keys, without their secrets, the oldest first',
  request: { query: noQuery },
  responses: { 200: json('The API keys.', listSchema), ...PROBLEMS },
})

const keyRoute = createRoute({
  method: 'get',
  path: '/api-keys/{id}',
  access: 'admin',
  operationId: 'apiKey',
  summary: 'One API key, without its secret',
  request: { params: KEY_ID, query: noQuery },
  responses: { 200: json('The API key.', viewSchema), ...PROBLEMS, ...KEY_UNKNOWN },
})

const changeRoute = createRoute({
  method: 'patch',
  path: '/api-keys/{id}',
  access: 'admin',
  operationId: 'changeApiKey',
  summary: 'Changes the name, the limits or the expiry of an API key',
  description: 'Members that are absent stay as they are. It is in force on every gateway within 2 s.',
  request: { params: KEY_ID, query: noQuery, body: jsonBody(changedKeySchema(0), { name: 'edge-17, new firmware' }) },
  responses: { 200: json('Changed.', viewSchema), ...BODY_PROBLEMS, ...KEY_UNKNOWN, ...IN_FILE },
})

const revokeRoute = createRoute({
  method: 'delete',
  path: '/api-keys/{id}',
  access: 'admin',
  operationId: 'revokeApiKey',
  summary: 'Revokes an API key',
  description: 'No gateway accepts it after 2 s.',
  request: { params: KEY_ID, query: noQuery },
  responses: {
    200: json('Revoked.', z.strictObject({ revoked: z.string() }), { revoked: { revoked: '0123456789ab' } }),
    ...PROBLEMS,
    ...KEY_UNKNOWN,
    ...IN_FILE,
  },
})

interface ApiKeysOptions extends RoutesOptions {
  readonly keyTable: KeyTable
  readonly refreshKeys: () => Promise<void>
}

/** `/api-keys`: how administrators create, list, change and revoke API keys. */
export function apiKeysRoutes({ services, readFields, keyTable, refreshKeys, now }: ApiKeysOptions): Router {
  const router = createRouter('API keys')

  /** The keys in force, of the store's as they are now. */
  async function readKeys(store: Store) {
    const [{ keys }, uses] = await Promise.all([store.apiKeys.load(), store.apiKeys.uses()])
    const ofFile = keyTable.list().filter(({ source }) => source === 'file')
    const filed = new Set(ofFile.map(({ record }) => record.id))
    const stored = keys.filter(({ id }) => !filed.has(id))
    const view = (record: ApiKey, source: KeySource) => keyView(record, source, uses, keyTable.find(record.id))
    return [...ofFile.map(({ record }) => view(record, 'file')), ...stored.map(record => view(record, 'store'))]
  }

  function refuseFiled(id: string): void {
    if (keyTable.find(id)?.source === 'file') throw new RequestFault({ kind: 'api-key-in-file' })
  }

  serve(router, createKeyRoute, async c => {
    const { store } = services()
    const at = now()
    const fields = await readFields(c, newKeySchema(at))
    const { token, record } = createApiKey({ ...fields, created_at: at, created_by: callerOf(c).name })
    const outcome = await store.apiKeys.add(record)
    if (outcome === 'full') throw new RequestFault({ kind: 'api-keys-too-many' })
    if (outcome === 'exists') throw new Error('a new API key has an id that exists')
    noteChange(c, { subject: record.id, after: decided(record) })
    await refreshKeys()
    return c.json({ ...keyView(record, 'store', new Map(), undefined), token }, 201, { 'Cache-Control': 'no-store' })
  })

  serve(router, listRoute, async c => {
    const keys = await readKeys(services().store)
    return c.json({ keys: keys.toSorted((a, b) => (a.created_at ?? 0) - (b.created_at ?? 0)) })
  })

  serve(router, keyRoute, async c => {
    const { id } = c.req.valid('param')
    const key = (await readKeys(services().store)).find(key => key.id === id)
    if (key === undefined) throw new RequestFault({ kind: 'api-key-unknown' })
    return c.json(key)
  })

  serve(router, changeRoute, async c => {
    const { store } = services()
    const { id } = c.req.valid('param')
    const fields = await readFields(c, changedKeySchema(now()))
    refuseFiled(id)
    let before: ApiKey | undefined
    const changed = await store.apiKeys.update(id, key => {
      before = key
      const { name = key.name, limits = key.limits, expires_at = key.expires_at } = fields
      return { ...key, name, limits, expires_at }
    })
    if (changed === undefined) throw new RequestFault({ kind: 'api-key-unknown' })
    noteChange(c, { before: before && decided(before), after: decided(changed) })
    await refreshKeys()
    return c.json(keyView(changed, 'store', await store.apiKeys.uses(), keyTable.find(id)))
  })

  serve(router, revokeRoute, async c => {
    const { store } = services()
    const { id } = c.req.valid('param')
    refuseFiled(id)
    if (!(await store.apiKeys.remove(id))) throw new RequestFault({ kind: 'api-key-unknown' })
    const revoked = keyTable.find(id)?.record
    noteChange(c, { before: revoked && decided(revoked) })
    await refreshKeys()
    return c.json({ revoked: id })
  })

  return router
}

/** What an operator decided about an API key. */
function decided({ name, scopes, key_prefix, limits, expires_at }: ApiKey) {
  return { name, scopes, key_prefix, limits, expires_at }
}

/** An API key in a response: everything but its digest. */
function keyView(record: ApiKey, source: KeySource, uses: ReadonlyMap<string, number>, key: KeyInForce | undefined) {
  const { id, name, scopes, key_prefix, limits, expires_at, created_at, created_by } = record
  const usedAt = Math.max(uses.get(id) ?? 0, key?.usedAt ?? 0)
  const members = { id, name, scopes, key_prefix, limits, expires_at, created_at, created_by }
  return { ...members, last_used_at: usedAt === 0 ? null : usedAt, source }
}
