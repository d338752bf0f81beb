import { z } from '@hono/zod-openapi'
import type { EntryId } from '@tidemark/shared/sample/receipt'
import { entryTimeMs } from '@tidemark/shared/sample/receipt'
import type { AuditRecord } from '@tidemark/shared/store/ports/audit'
import type { Store } from '@tidemark/shared/store/ports/store'
import { cursorMember, json, PAGE_PROBLEMS, timeMember } from '../http/documentation.ts'
import { createLimiter, PAGE_LIMITS } from '../http/limiter.ts'
import { exchangeOf } from '../http/pipeline.ts'
import { optionalInteger } from '../http/query.ts'
import { createRoute, createRouter, type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { outcomeOf } from './audit.ts'

/** Records that one request reads: a page with filters can be short and still have a next page. */
const SCANNED_MAX = 2000
const SCANNED_AT_ONCE = 500

const pageQuery = z.strictObject({
  who: z.string().max(200, 'must be at most 200 characters').optional().describe('Only changes by this caller.'),
  action: z
    .string()
    .max(64, 'must be the id of an operation, such as putRule')
    .optional()
    .describe('Only changes by this operation, such as `putRule`.'),
  since: z
    .string()
    .transform(sinceMs)
    .pipe(z.number('must be a time with its zone, like 2026-01-31T18:00:00Z, or Unix milliseconds'))
    .optional()
    .openapi({ type: 'string', description: 'Only changes from this time on: with its zone, or Unix milliseconds.' }),
  /** The last record that the previous page read. */
  cursor: z
    .string()
    .regex(/^\d{1,16}-\d{1,16}$/, 'must be the cursor of a page')
    .optional()
    .describe('`cursor` of the previous page.'),
  limit: optionalInteger({ min: 1, max: 500, fallback: 50 }).describe('Records per page.'),
})

type PageQuery = z.output<typeof pageQuery>

export const recordSchema = z
  .strictObject({
    id: z.string().openapi({ examples: ['1764201600000-0'] }),
    at: timeMember.describe("When, by the store's clock: Unix milliseconds."),
    who: z.string().describe('The name of the API key, or `anonymous` while authentication is off.'),
    key_id: z.string().describe('The id of the API key.'),
    via: z.string().describe('How the caller was identified: `api-key`, `session` or `open`.'),
    address: z.string().describe('Where the request came from.'),
    action: z
      .string()
      .describe('The operation.')
      .openapi({ examples: ['putRule'] }),
    method: z.string(),
    route: z.string().openapi({ examples: ['/rules/:id'] }),
    subject: z.string().nullable().describe('What was changed: an id, a key or a prefix.'),
    before: z.string().nullable().describe('What was there before, in short.'),
    after: z.string().nullable().describe('What is there now, in short.'),
    result: z
      .enum(['done', 'refused', 'unknown'])
      .describe('`unknown`: the gateway or the store failed meanwhile, so the change may have been made.'),
    status: z.int().nullable().describe('Status of the response; null if it is not known.'),
  })
  .openapi('AuditRecord')

export const auditPageSchema = z
  .strictObject({ records: z.array(recordSchema), cursor: cursorMember })
  .openapi('AuditPage')

const pageRoute = createRoute({
  method: 'get',
  path: '/audit',
  access: 'admin',
  operationId: 'audit',
  summary: 'Who changed what, newest first',
  description:
    'Changes of rules, mutes, the storm policy, alerts, dead letters, keys and API keys, with attempts that were refused by ' +
    'their route. Only the newest are kept (AUDIT_KEPT_MAX). The log of each gateway has the same, and refused sign-ins and ' +
    'requests without the scope besides.',
  request: { query: pageQuery },
  responses: { 200: json('A page.', auditPageSchema), ...PAGE_PROBLEMS },
})

/** `GET /audit`. */
export function auditRoutes({ metrics, services }: RoutesOptions): Router {
  const router = createRouter('Access')
  const limited = createLimiter({ ...PAGE_LIMITS, limit: 'audit_pages', metrics })
  serve(router, pageRoute, async c => {
    const query = c.req.valid('query')
    const { store } = services()
    const { records, next } = await limited(exchangeOf(c).client.pages, () => readPage(store, query))
    return c.json({ records: records.map(view), cursor: next ?? null })
  })
  return router
}

async function readPage({ audit }: Store, { who, action, since = 0, cursor, limit }: PageQuery) {
  const count = who === undefined && action === undefined ? limit + 1 : SCANNED_AT_ONCE
  const records: AuditRecord[] = []
  let before: EntryId | undefined = cursor
  for (let scanned = 0; scanned < SCANNED_MAX; scanned += count) {
    const found = await audit.list({ before, count })
    for (const record of found) {
      if (entryTimeMs(record.id) < since) return { records, next: undefined }
      if (records.length === limit) return { records, next: before }
      before = record.id
      if ((who ?? record.who) === record.who && (action ?? record.action) === record.action) records.push(record)
    }
    if (found.length < count) return { records, next: undefined }
  }
  return { records, next: before }
}

function view({ id, keyId, subject, result, ...record }: AuditRecord): z.output<typeof recordSchema> {
  return {
    ...record,
    id,
    at: entryTimeMs(id),
    key_id: keyId,
    subject: result?.subject ?? subject,
    before: result?.before ?? null,
    after: result?.after ?? null,
    result: outcomeOf(result?.status),
    status: result?.status ?? null,
  }
}

function sinceMs(text: string): number {
  if (/^\d{1,16}$/.test(text)) return Number(text)
  return /(?:Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN
}
