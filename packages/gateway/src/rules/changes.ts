import type { Context } from 'hono'
import { z } from 'zod'
import { integerParameter, readQuery } from '../http/query.ts'
import type { Services } from '../services.ts'

export const CHANGES_LIMIT_DEFAULT = 50
export const CHANGES_LIMIT_MAX = 500

const pageQuery = z.strictObject({
  /** The version that the last change of the page before made. */
  cursor: z
    .string()
    .regex(/^\d{1,15}$/, 'must be the cursor of a page')
    .transform(Number)
    .optional(),
  limit: integerParameter({ min: 1, max: CHANGES_LIMIT_MAX }).default(CHANGES_LIMIT_DEFAULT),
})

/** `GET /rules/changes`: who changed what and why, newest first, by page. */
export function createRuleChanges({
  services,
}: {
  readonly services: () => Services
}): (c: Context) => Promise<Response> {
  return async c => {
    const { cursor, limit } = readQuery(c, pageQuery)
    const { store } = services()
    const upTo = cursor === undefined ? undefined : cursor - 1
    const found = await store.rules.changes({ upTo, count: limit + 1 })
    const page = found.slice(0, limit).map(({ version, kind, id, content, who, why, at }) => {
      return { version, kind, id, content, who, why, at }
    })
    const last = found.length > limit ? page.at(-1) : undefined
    return c.json({ changes: page, cursor: last === undefined ? null : String(last.version) })
  }
}
