import { z } from '@hono/zod-openapi'
import { decodeWindow } from '@tidemark/shared/detection/window-row'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Store } from '@tidemark/shared/store/ports/store'
import { type Analysis, parseAnalysis } from '@tidemark/shared/verdict/analysis'
import type { Logger } from 'pino'
import type { Principal } from '../access/principal.ts'
import type { GatewayConfig } from '../config.ts'
import { json, PROBLEMS } from '../http/documentation.ts'
import { mayUse, mayUsePattern, requireKey } from '../http/own-keys.ts'
import { callerOf } from '../http/pipeline.ts'
import { keyParameter, noQuery, optionalInteger } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import { countByRule } from './alert-counts.ts'
import { sumRuleCounts } from './counts.ts'
import { RULES_TAG, tagOf } from './document.ts'
import { counterHint } from './hint.ts'
import { ownOf, patternOf } from './own-rules.ts'
import type { RulesOptions } from './rule-sets.ts'
import { changesSchema, explanationSchema, reportSchema, ruleSchema, rulesSchema } from './schemas.ts'
import { documentView, explanationView, findRule, NOTHING_COUNTED, RULE_ID, RULE_UNKNOWN, ruleView } from './view.ts'

function explainRoute({ KEY_BYTES_MAX }: GatewayConfig) {
  return createRoute({
    method: 'get',
    path: '/rules/explain',
    access: 'read',
    ownKeys: true,
    operationId: 'explainRules',
    summary: 'Which rule is in force for a key, and why',
    description:
      "`hint` is a suggestion from the key's window, with the rule to put; it changes nothing. A key need not have sent " +
      'anything.',
    request: { query: z.strictObject({ key: keyParameter(KEY_BYTES_MAX) }) },
    responses: { 200: json('The explanation.', explanationSchema), ...PROBLEMS },
  })
}

const changesRoute = createRoute({
  method: 'get',
  path: '/rules/changes',
  access: 'read',
  ownKeys: true,
  operationId: 'ruleChanges',
  summary: 'Who changed what and why, newest first',
  description:
    'Changes of rules, mutes and the storm policy. Only the newest 1,000 are kept. An API key that is bound to a key ' +
    'prefix gets the new rules and mutes of its keys; a page can be empty and have a next page.',
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

const rulesRoute = createRoute({
  method: 'get',
  path: '/rules',
  access: 'read',
  ownKeys: true,
  operationId: 'rules',
  summary: 'All rules, mutes and the storm policy, with what was counted',
  request: { query: noQuery },
  responses: { 200: { ...json('The rules.', rulesSchema), headers: RULES_TAG }, ...PROBLEMS },
})

const ruleRoute = createRoute({
  method: 'get',
  path: '/rules/{id}',
  access: 'read',
  ownKeys: true,
  operationId: 'rule',
  summary: 'One rule',
  request: { params: RULE_ID, query: noQuery },
  responses: { 200: { ...json('The rule.', ruleSchema), headers: RULES_TAG }, ...PROBLEMS, ...RULE_UNKNOWN },
})

const reportRoute = createRoute({
  method: 'get',
  path: '/rules/{id}/report',
  access: 'read',
  ownKeys: true,
  operationId: 'ruleReport',
  summary: 'How a rule performs, or would perform',
  description: 'What it counted and, for a shadow rule, the newest samples that it would have flagged.',
  request: {
    params: RULE_ID,
    query: z.strictObject({
      limit: optionalInteger({ min: 1, max: 200, fallback: 20 }).describe('The most samples to list.'),
    }),
  },
  responses: { 200: json('The report.', reportSchema), ...PROBLEMS, ...RULE_UNKNOWN },
})

export function serveReading(router: Router, { config, log, services, ruleSets, now }: RulesOptions): void {
  // Before /rules/{id}, which matches the paths of these two as well.
  serve(router, explainRoute(config), async c => {
    const { key } = c.req.valid('query')
    requireKey(callerOf(c), key)
    const { store } = services()
    const [{ document, set }, window] = await Promise.all([ruleSets(store.rules), readWindow(store, key)])
    const explanation = set.explain(key, now())
    return c.json(explanationView(explanation, document, counterHint(explanation, document, window)))
  })

  serve(router, changesRoute, async c => {
    const { cursor, limit } = c.req.valid('query')
    const upTo = cursor === undefined ? undefined : cursor - 1
    const found = await services().store.rules.changes({ upTo, count: limit + 1 })
    const page = found.slice(0, limit)
    const last = found.length > limit ? page.at(-1) : undefined
    const caller = callerOf(c)
    const changes = page.filter(({ content }) => mayUsePattern(caller, patternOf(content)))
    return c.json({ changes, cursor: last === undefined ? null : String(last.version) })
  })

  serve(router, rulesRoute, async c => {
    const caller = callerOf(c)
    const { document, counted, tag } = await readDocument(services().store, caller, now())
    const view = documentView(document, counted)
    // Those of the default policy are of all keys.
    const all = caller.keyPrefix === '' ? view.default : { ...view.default, counts: null }
    return c.json({ ...view, default: all }, 200, { ETag: tag })
  })

  serve(router, ruleRoute, async c => {
    const { document, counted, tag } = await readDocument(services().store, callerOf(c), now())
    const kept = findRule(document, c.req.valid('param').id)
    return c.json({ ...ruleView(kept, counted), rules_version: document.version }, 200, { ETag: tag })
  })

  serve(router, reportRoute, async c => {
    const { store } = services()
    const caller = callerOf(c)
    const { document, counted } = await readDocument(store, caller, now())
    const kept = findRule(document, c.req.valid('param').id)
    const shadow = kept.rule.shadow === true
    const flagged = shadow ? await readShadowed(store, kept.rule.id, c.req.valid('query').limit, log) : null
    // Another rule may have had this id and other keys.
    const own = flagged?.filter(({ key }) => mayUse(caller, key)) ?? null
    return c.json({ ...ruleView(kept, counted), shadow, would_have_flagged: own })
  })
}

/** Returns the window of a key; undefined if it has none, or one that cannot be read. */
/** Returns the window of a key, and whether its newest sample was scored as that of a counter. */
async function readWindow({ partitions, gateway }: Store, key: string) {
  const at = { partition: partitionOf(key, partitions), key }
  const [stored, [newest]] = await Promise.all([gateway.window(at), gateway.lastAnalyses([at])])
  const window = stored === null ? undefined : decodeWindow(stored)
  const isOfCounter = newest != null && parseAnalysis(newest)?.rate !== undefined
  return window === undefined ? undefined : { ...window, isOfCounter }
}

async function readDocument(store: Store, caller: Principal, now: number) {
  const [{ document, digest }, sums, alerts] = await Promise.all([
    store.rules.load(),
    sumRuleCounts(store),
    // For one prefix all keys would be read: GET /alerts/feedback does, and is limited.
    caller.keyPrefix === '' ? countByRule(store, '', now) : undefined,
  ])
  const counted = { sums, alerts: alerts?.groups ?? NOTHING_COUNTED.alerts }
  return { document: ownOf(document, caller), counted, tag: `"${tagOf(document.version, digest)}"` }
}

/**
 * Returns the newest samples of all partitions that a shadow rule would have flagged, newest first.
 * A corrupt one is left out and logged, so that it does not hide the others.
 */
async function readShadowed({ partitions, gateway }: Store, rule: string, limit: number, log: Logger) {
  const read = Array.from({ length: partitions }, (_, partition) => gateway.shadowed(partition, rule, limit))
  const stored = (await Promise.all(read)).flat()
  const analyses: Analysis[] = stored.map(parseAnalysis).filter(analysis => analysis !== undefined)
  const corrupt = stored.length - analyses.length
  if (corrupt > 0) log.error({ rule, corrupt }, 'left corrupt stored analyses out of a report')
  return analyses.sort((a, b) => b.analyzed_at - a.analyzed_at).slice(0, limit)
}
