import { createRoute, z } from '@hono/zod-openapi'
import type { KeySelection } from '@tidemark/shared/store/ports/keys'
import type { Principal } from '../access/principal.ts'
import type { GatewayConfig } from '../config.ts'
import { json, PAGE_PROBLEMS, problem, timeMember } from '../http/documentation.ts'
import { createLimiter, PAGE_LIMITS } from '../http/limiter.ts'
import { keyForbidden, mayUse, requireKey } from '../http/own-keys.ts'
import { exchangeOf } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { keyParameter, optionalInteger } from '../http/query.ts'
import { createRouter, type Router, serve } from '../http/router.ts'
import type { Share } from '../limits/fair-budget.ts'
import type { RoutesOptions } from '../services.ts'
import { countPrefixes, readBirths, readOwners } from './cardinality.ts'
import { countKeys, deleteKeys, isKnown } from './deletion.ts'

/** How long a result of `GET /keys/cardinality` is used again, and how many are kept. */
const CARDINALITY_KEPT_MS = 5000
const CARDINALITIES_MAX = 100

const dryRun = z
  .enum(['true', 'false'], 'must be true or false')
  .default('false')
  .openapi({ description: 'true: only counts the keys that would be deleted.', default: 'false' })

const deletionSchema = z
  .strictObject({
    deleted: z.int().min(0).describe('Keys deleted so far; with `dry_run`, those that would be.'),
    dry_run: z.boolean(),
    pending: z
      .int()
      .min(0)
      .describe('Partitions whose analyzer has not done it yet. It will, without another request.'),
  })
  .openapi('KeyDeletion')

const DELETION_RESPONSES = {
  200: json('Done.', deletionSchema, { done: { deleted: 12, dry_run: false, pending: 0 } }),
  202: json('Requested, and not done yet: no analyzer has applied it in all partitions.', deletionSchema),
  ...PAGE_PROBLEMS,
}

const DELETED_WITH_IT =
  'A deleted key loses its window, its newest analysis and its timers, and its alerts are resolved. Kept verdicts and ' +
  'anomalies stay until they are trimmed. A sample that arrives later begins the key afresh.'

function deleteKeyRoute({ KEY_BYTES_MAX }: GatewayConfig) {
  return createRoute({
    method: 'delete',
    path: '/keys/{key}',
    access: 'operate' as const,
    ownKeys: true,
    operationId: 'deleteKey',
    summary: 'Deletes a key',
    description: `${DELETED_WITH_IT} Write % in the key as %25; slashes need no escape.`,
    request: { params: z.object({ key: keyParameter(KEY_BYTES_MAX) }), query: z.strictObject({ dry_run: dryRun }) },
    responses: { ...DELETION_RESPONSES, 404: problem('The key is unknown.', 'key-unknown') },
  })
}

const deleteKeysRoute = createRoute({
  method: 'delete',
  path: '/keys',
  access: 'operate' as const,
  ownKeys: true,
  operationId: 'deleteKeys',
  summary: 'Deletes all keys with a prefix',
  description: DELETED_WITH_IT,
  request: {
    query: z.strictObject({
      prefix: z.string().min(1, 'must not be empty: all=true deletes every key').optional(),
      all: z.literal('true', 'must be true').optional().openapi({ description: 'Instead of a prefix: every key.' }),
      dry_run: dryRun,
    }),
  },
  responses: DELETION_RESPONSES,
})

export const cardinalitySchema = z
  .strictObject({
    keys: z.int().min(0).describe('Registered keys; with `prefix`, those that begin with it.'),
    keys_max: z.int().describe('Keys that the deployment may have (KEYS_MAX).'),
    estimated: z.boolean().describe('Whether the counts by prefix are estimates, from a sample of the keys.'),
    prefixes: z
      .array(z.strictObject({ prefix: z.string(), keys: z.int() }))
      .describe('The prefixes with the most keys.'),
    new_keys: z
      .array(z.strictObject({ hour: timeMember, keys: z.int() }))
      .nullable()
      .describe('Keys registered in each of the last 48 hours; null for an API key that is bound to a prefix.'),
    api_keys: z
      .array(z.strictObject({ id: z.string().nullable(), keys: z.int() }))
      .describe('The API keys that created the most keys; null: created without one.'),
  })
  .openapi('KeyCardinality')

const cardinalityRoute = createRoute({
  method: 'get',
  path: '/keys/cardinality',
  access: 'read' as const,
  ownKeys: true,
  operationId: 'keyCardinality',
  summary: 'How many keys there are, by prefix, hour and API key',
  request: {
    query: z.strictObject({
      prefix: z.string().default('').openapi({ description: 'Only keys that begin with it.', default: '' }),
      depth: optionalInteger({ min: 1, max: 10, fallback: 1 }),
      limit: optionalInteger({ min: 1, max: 1000, fallback: 20 }),
    }),
  },
  responses: { 200: json('The counts, at most 5 s old.', cardinalitySchema), ...PAGE_PROBLEMS },
})

type Cardinality = z.output<typeof cardinalitySchema>

/** `DELETE /keys/{key}`, `DELETE /keys` and `GET /keys/cardinality`. */
export function keysRoutes(options: RoutesOptions): Router {
  const { config, services, metrics } = options
  const router = createRouter('Keys')
  const limited = createLimiter({ ...PAGE_LIMITS, limit: 'key_scans', metrics })
  const kept = new Map<string, { readonly at: number; readonly result: Promise<Cardinality> }>()

  async function remove(wanted: KeySelection, isDryRun: boolean, share: Share) {
    const { store } = services()
    if (isDryRun) return { deleted: await limited(share, () => countKeys(store, wanted)), dry_run: true, pending: 0 }
    return { ...(await deleteKeys(store, wanted)), dry_run: false }
  }

  serve(router, deleteKeyRoute(config), async c => {
    const { key } = c.req.valid('param')
    requireKey(exchangeOf(c).principal, key)
    if (!(await isKnown(services().store, key))) throw new RequestFault({ kind: 'key-unknown' })
    const result = await remove({ key }, c.req.valid('query').dry_run === 'true', exchangeOf(c).client.pages)
    return c.json(result, result.pending > 0 ? 202 : 200)
  })

  serve(router, deleteKeysRoute, async c => {
    const { prefix, all, dry_run } = c.req.valid('query')
    const { principal, client } = exchangeOf(c)
    if ((prefix === undefined) === (all === undefined)) {
      const detail = 'is missing: give the prefix of the keys to delete, or all=true for every key, not both'
      throw new RequestFault({ kind: 'parameters-invalid', errors: [{ parameter: 'prefix', detail }] })
    }
    if (!mayUse(principal, prefix ?? '')) throw keyForbidden(principal)
    const result = await remove({ prefix: prefix ?? '' }, dry_run === 'true', client.pages)
    return c.json(result, result.pending > 0 ? 202 : 200)
  })

  async function measure(query: { prefix: string; depth: number; limit: number }, principal: Principal) {
    const { store } = services()
    const isBound = principal.keyPrefix !== ''
    const { partitions, owners } = await store.keys.counts(isBound ? [principal.id] : [])
    const { matching, isEstimated, prefixes } = await countPrefixes(store, query)
    return {
      keys: query.prefix === '' ? partitions.reduce((sum, { keys }) => sum + keys, 0) : matching,
      keys_max: config.KEYS_MAX,
      estimated: isEstimated,
      prefixes,
      new_keys: isBound ? null : await readBirths(store),
      api_keys: isBound ? [{ id: principal.id, keys: owners[0] ?? 0 }] : await readOwners(store, query.limit),
    }
  }

  serve(router, cardinalityRoute, async c => {
    const { principal, client } = exchangeOf(c)
    const query = c.req.valid('query')
    const prefix = query.prefix === '' ? principal.keyPrefix : query.prefix
    if (!mayUse(principal, prefix)) throw keyForbidden(principal)
    const name = JSON.stringify([prefix, query.depth, query.limit, principal.keyPrefix === '' ? '' : principal.id])
    const now = performance.now()
    for (const [one, { at }] of kept) if (at <= now - CARDINALITY_KEPT_MS) kept.delete(one)
    let found = kept.get(name)
    if (found === undefined) {
      found = { at: now, result: limited(client.pages, () => measure({ ...query, prefix }, principal)) }
      if (kept.size < CARDINALITIES_MAX) kept.set(name, found)
      found.result.catch(() => kept.delete(name))
    }
    return c.json(await found.result)
  })

  return router
}
