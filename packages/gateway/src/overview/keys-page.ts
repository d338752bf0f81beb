import { z } from '@hono/zod-openapi'
import { oneOf } from '@tidemark/shared/detection/rules/fields'
import { decodeWindow } from '@tidemark/shared/detection/window-row'
import { parseJson } from '@tidemark/shared/parsing/issues'
import type { GatewayStore } from '@tidemark/shared/store/ports/gateway'
import { json, PAGE_PROBLEMS } from '../http/documentation.ts'
import { createLimiter, PAGE_LIMITS } from '../http/limiter.ts'
import { mayUse } from '../http/own-keys.ts'
import { callerOf, exchangeOf } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { optionalInteger } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { KEY_SORTS, type KeyIndex, type KeyRow } from './key-index.ts'
import { keysPageSchema } from './schemas.ts'

const KEY_FILTERS = ['alerting', 'anomalous', 'warming', 'flat', 'ok'] as const

const OFFSET_MAX = 10_000_000

/** The position of the last key of a page, and the key: positions change while keys come and go. */
const positionSchema = z.tuple([z.int().min(0).max(OFFSET_MAX), z.string()])
type Position = z.output<typeof positionSchema>

const text = z.string().max(1024, 'must be at most 1024 characters').default('')

const query = z.strictObject({
  sort: oneOf(KEY_SORTS)
    .default('trouble')
    .describe(
      '`trouble`: keys with a firing alert first, then those whose newest sample is an anomaly, then by |z|. `name` ' +
        'rises, the others fall.',
    ),
  prefix: text.describe('Only keys with this prefix.'),
  search: text.describe('Only keys that contain this text, in any case.'),
  state: oneOf(KEY_FILTERS).optional().describe('Only keys in this state, or with a firing alert.'),
  values: optionalInteger({ min: 0, max: 50, fallback: 0 }).describe('How many of the newest values of each key.'),
  offset: optionalInteger({ min: 0, max: OFFSET_MAX, fallback: 0 }).describe('Keys to skip. Not with `cursor`.'),
  cursor: z
    .string()
    .transform(value => parseJson(positionSchema, Buffer.from(value, 'base64url').toString('utf8')))
    .pipe(z.custom<Position>(position => position !== undefined, 'must be the cursor of a page'))
    .describe('`cursor` of the previous page.')
    .optional(),
  limit: optionalInteger({ min: 1, max: 500, fallback: 50 }).describe('Keys per page.'),
})

type Query = z.output<typeof query>

const route = createRoute({
  method: 'get',
  path: '/keys',
  access: 'read',
  ownKeys: true,
  operationId: 'keys',
  summary: 'Keys by their newest analyses, sorted and filtered, and how many there are',
  description:
    'All keys are read together every 2 s, less often if there are many: `as_of` says when. A page with `cursor` begins ' +
    'after the last key of the page before, wherever that is now.',
  request: { query },
  responses: { 200: json('A page.', keysPageSchema), ...PAGE_PROBLEMS },
})

export function serveKeysPage(router: Router, { metrics, services }: RoutesOptions, index: KeyIndex): void {
  const limited = createLimiter({ ...PAGE_LIMITS, limit: 'key_pages', metrics })
  serve(router, route, async c => {
    const wanted = c.req.valid('query')
    const caller = callerOf(c)
    if (wanted.cursor !== undefined && wanted.offset > 0) {
      const errors = [{ parameter: 'offset', detail: 'cannot be combined with cursor' }]
      throw new RequestFault({ kind: 'parameters-invalid', errors })
    }
    const { store } = services()
    const page = await limited(exchangeOf(c).client.pages, async () => {
      const snapshot = await index.read()
      const passes = filterOf(wanted)
      const rows = snapshot.sorted(wanted.sort).filter(row => mayUse(caller, row.key) && passes(row))
      const begin = beginOf(rows, wanted)
      const found = rows.slice(begin, begin + wanted.limit)
      const values = wanted.values === 0 ? [] : await readValues(store.gateway, found, wanted.values)
      const keys = found.map((row, i) => ({ ...rowView(row), ...(wanted.values > 0 && { values: values[i] ?? [] }) }))
      const end = begin + found.length
      const last = found.at(-1)
      const next = last === undefined || end >= rows.length ? null : encodeCursor([end - 1, last.key])
      return { keys, total: rows.length, as_of: snapshot.at, cursor: next }
    })
    return c.json(page)
  })
}

function filterOf({ prefix, search, state }: Query): (row: KeyRow) => boolean {
  const lower = search.toLowerCase()
  return ({ key, alert, state: own }) =>
    key.startsWith(prefix) &&
    (lower === '' || key.toLowerCase().includes(lower)) &&
    (state === undefined || (state === 'alerting' ? alert !== null : own === state))
}

function beginOf(rows: readonly KeyRow[], { cursor, offset }: Query): number {
  if (cursor === undefined) return offset
  const [position, key] = cursor
  if (rows[position]?.key === key) return position + 1
  const moved = rows.findIndex(row => row.key === key)
  return moved < 0 ? position : moved + 1
}

function readValues(gateway: GatewayStore, rows: readonly KeyRow[], count: number): Promise<number[][]> {
  return Promise.all(
    rows.map(async ({ partition, key }) => {
      const stored = await gateway.window({ partition, key })
      return (stored === null ? undefined : decodeWindow(stored))?.values.slice(-count) ?? []
    }),
  )
}

function rowView({ partition: _, latencyMs: __, analyzedAt, ...row }: KeyRow) {
  return { ...row, analyzed_at: analyzedAt }
}

function encodeCursor(position: Position): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url')
}
