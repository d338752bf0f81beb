import { z } from '@hono/zod-openapi'
import { addCounts, COUNTED_DAYS, type MarkedCount } from '@tidemark/shared/detection/alerts/alert-counts'
import type { Feedback } from '@tidemark/shared/detection/alerts/record'
import { flag, oneOf, text } from '@tidemark/shared/detection/rules/fields'
import type { Principal } from '../access/principal.ts'
import { BODY_PROBLEMS, json, jsonBody, PAGE_PROBLEMS, PROBLEMS } from '../http/documentation.ts'
import type { Limiter } from '../http/limiter.ts'
import { keyForbidden, mayUse } from '../http/own-keys.ts'
import { callerOf, exchangeOf, noteChange } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { noQuery, optionalInteger } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import { type AlertCounts, countByPrefix, countByRule, markedView } from '../rules/alert-counts.ts'
import type { RulesOptions } from '../rules/rule-sets.ts'
import { ALERT_ID, ALERT_UNKNOWN, readAlert } from './find.ts'
import { alertSchema, feedbackCountsSchema } from './schemas.ts'
import { alertView } from './view.ts'

const markSchema = z.strictObject({
  useful: flag.describe('Whether the alert was worth its notification: false for noise.'),
  who: text.optional().describe('Optional. With an API key, the name of the API key counts.'),
  why: text.optional(),
})

const putRoute = createRoute({
  method: 'put',
  path: '/alerts/{id}/feedback',
  access: 'operate',
  ownKeys: true,
  operationId: 'putFeedback',
  summary: 'Marks an alert as useful or as noise',
  description: 'Of firing and of resolved alerts. A later mark replaces the one before: each alert is counted once.',
  request: { params: ALERT_ID, body: jsonBody(markSchema, { useful: false, who: 'mira', why: 'the fan, as always' }) },
  responses: { 200: json('Done.', alertSchema), ...BODY_PROBLEMS, ...ALERT_UNKNOWN },
})

const deleteRoute = createRoute({
  method: 'delete',
  path: '/alerts/{id}/feedback',
  access: 'operate',
  ownKeys: true,
  operationId: 'deleteFeedback',
  summary: 'Removes the mark of an alert, if it has one',
  request: { params: ALERT_ID, query: noQuery },
  responses: { 200: json('Done.', alertSchema), ...PROBLEMS, ...ALERT_UNKNOWN },
})

const countsRoute = createRoute({
  method: 'get',
  path: '/alerts/feedback',
  access: 'read',
  ownKeys: true,
  operationId: 'feedback',
  summary: 'The share of useful alerts by rule or by key prefix, the worst first',
  description:
    `Of the alerts that opened in the last ${COUNTED_DAYS} days (UTC). Sorted by the share of useful ones among those ` +
    'that operators marked; then those of which none is marked, by their number.',
  request: {
    query: z.strictObject({
      by: oneOf(['rule', 'prefix']).default('rule').describe('What to count by.'),
      prefix: z.string().default('').openapi({ description: 'Only keys that begin with it.', default: '' }),
      depth: optionalInteger({ min: 1, max: 10, fallback: 1 }).describe('By prefix: parts of a key, which end with /.'),
      limit: optionalInteger({ min: 1, max: 1000, fallback: 100 }).describe('The most groups.'),
    }),
  },
  responses: { 200: json('The counts.', feedbackCountsSchema), ...PAGE_PROBLEMS },
})

/** What operators think of alerts. Its path must come before `/alerts/{id}`. */
export function serveFeedback(router: Router, options: RulesOptions, limited: Limiter): void {
  const { services, readFields, now } = options

  serve(router, countsRoute, async c => {
    const query = c.req.valid('query')
    const { principal, client } = exchangeOf(c)
    const prefix = query.prefix === '' ? principal.keyPrefix : query.prefix
    if (!mayUse(principal, prefix)) throw keyForbidden(principal)
    const { store } = services()
    const counted = await limited(client.pages, () =>
      query.by === 'rule' ? countByRule(store, prefix, now()) : countByPrefix(store, { ...query, prefix }, now()),
    )
    return c.json(countsView(counted, query))
  })

  serve(router, putRoute, async c => {
    const caller = callerOf(c)
    const { useful, who = null, why = null } = await readFields(c, markSchema)
    const feedback = { useful, who: caller.via === 'open' ? who : caller.name, why, at: now() }
    const { before, alert } = await mark(options, { id: c.req.valid('param').id, feedback, caller })
    noteChange(c, { before, after: { key: alert.key, useful, why } })
    return c.json(alert)
  })

  serve(router, deleteRoute, async c => {
    const { before, alert } = await mark(options, { id: c.req.valid('param').id, feedback: null, caller: callerOf(c) })
    noteChange(c, { before })
    return c.json(alert)
  })
}

async function mark(
  { services }: RulesOptions,
  { id, feedback, caller }: { readonly id: string; readonly feedback: Feedback | null; readonly caller: Principal },
) {
  const { store } = services()
  const { partition, opening, record } = await readAlert(store, id, caller)
  if (!(await store.alerts.setFeedback(partition, opening, feedback))) throw new RequestFault({ kind: 'alert-unknown' })
  const { feedback: before, ...unmarked } = record
  return { before, alert: alertView(feedback === null ? unmarked : { ...unmarked, feedback }) }
}

function countsView({ groups, isPartial }: AlertCounts, { by, limit }: { by: 'rule' | 'prefix'; limit: number }) {
  const views = Array.from(groups, ([name, count]) => {
    return { name: by === 'rule' && name === '' ? null : name, ...markedView(count) }
  })
  const none: MarkedCount = { opened: 0, useful: 0, noise: 0 }
  const total = markedView([...groups.values()].reduce(addCounts, none))
  return { by, days: COUNTED_DAYS, total, groups: views.toSorted(worstFirst).slice(0, limit), partial: isPartial }
}

type GroupView = ReturnType<typeof markedView> & { readonly name: string | null }

/** Rules that only make noise first; then those without marks. */
function worstFirst(a: GroupView, b: GroupView): number {
  const byShare = (a.useful_share ?? 2) - (b.useful_share ?? 2)
  return byShare || b.noise - a.noise || b.opened - a.opened || ((a.name ?? '') < (b.name ?? '') ? -1 : 1)
}
