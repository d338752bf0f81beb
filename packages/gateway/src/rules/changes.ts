import { createRoute, z } from '@hono/zod-openapi'
import { json, PROBLEMS } from '../http/documentation.ts'
import { optionalInteger } from '../http/query.ts'
import { type Router, serve } from '../http/router.ts'
import type { RulesOptions } from './document.ts'
import { changesSchema } from './schemas.ts'

const route = createRoute({
  method: 'get',
  path: '/rules/changes',
  operationId: 'ruleChanges',
  summary: 'Who changed what and why, newest first',
  description: 'Changes of rules, mutes and the storm policy. Only the newest 1,000 are kept.',
  request: {
    query: z.strictObject({
      /** The version that the last change of the previous page created. */
      cursor: z
        .string()
        .regex(/^\d{1,15}$/, 'must be the cursor of a page')
        .transform(Number)
        .optional()
        .describe('`cursor` of the previous page.'),
      limit: optionalInteger({ min: 1, max: 500, fallback: 50 }).describe('Changes per page.'),
    }),
  },
  responses: { 200: json('A page.', changesSchema), ...PROBLEMS },
})

export function serveChanges(router: Router, { services }: RulesOptions): void {
  serve(router, route, async c => {
    const { cursor, limit } = c.req.valid('query')
    const { store } = services()
    const upTo = cursor === undefined ? undefined : cursor - 1
    const found = await store.rules.changes({ upTo, count: limit + 1 })
    const page = found.slice(0, limit).map(({ version, kind, id, content, who, why, at }) => {
      return { version, kind, id, content, who, why, at }
    })
    const last = found.length > limit ? page.at(-1) : undefined
    return c.json({ changes: page, cursor: last === undefined ? null : String(last.version) })
  })
}
