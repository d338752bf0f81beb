import { createRoute, z } from '@hono/zod-openapi'
import { withoutRule, withRule } from '@tidemark/shared/detection/rules/document'
import { readRule } from '@tidemark/shared/detection/rules/rule'
import { BODY_PROBLEMS, json, jsonBody, PROBLEMS, problem } from '../http/documentation.ts'
import { RequestFault } from '../http/problem.ts'
import { idParameter, noQuery } from '../http/query.ts'
import { type Router, serve } from '../http/router.ts'
import { sumRuleCounts } from './counts.ts'
import {
  type ChangeOptions,
  deletionQuery,
  ifMatchHeader,
  noteFields,
  VERSION_PROBLEM,
  writtenMember,
} from './document.ts'
import { deletedSchema, ruleSchema, rulesSchema } from './schemas.ts'
import { documentView, ruleView } from './view.ts'

/** Other routes below /rules: a rule with such an id could be stored and not be read. */
const ROUTE_NAMES: ReadonlySet<string> = new Set(['explain', 'changes'])

export const RULE_ID = idParameter('The id of the rule.', 'edge-cpu')
export const RULE_UNKNOWN = { 404: problem('No rule with this id.', 'rule-unknown') }

const EXAMPLE = {
  rule: { pattern: 'edge-*/cpu', direction: 'up', deviation_min: 5 },
  who: 'mira',
  why: 'only high values matter',
}

const rulesRoute = createRoute({
  method: 'get',
  path: '/rules',
  operationId: 'rules',
  summary: 'All rules, mutes and the storm policy, with what was counted',
  request: { query: noQuery },
  responses: { 200: json('The rules.', rulesSchema), ...PROBLEMS },
})

const ruleRoute = createRoute({
  method: 'get',
  path: '/rules/{id}',
  operationId: 'rule',
  summary: 'One rule',
  request: { params: RULE_ID, query: noQuery },
  responses: { 200: json('The rule.', ruleSchema), ...PROBLEMS, ...RULE_UNKNOWN },
})

const putRoute = createRoute({
  method: 'put',
  path: '/rules/{id}',
  operationId: 'putRule',
  summary: 'Adds a rule, or replaces it',
  description:
    'It takes effect on all samples within 2 s. `rule` has all members but the id; members that are left out have their ' +
    'defaults (docs/rules.md). The ids `explain` and `changes` are reserved by routes.',
  request: { params: RULE_ID, headers: ifMatchHeader, body: jsonBody(putSchema('id'), EXAMPLE) },
  responses: {
    200: json('Replaced.', ruleSchema),
    201: json('Added.', ruleSchema),
    ...BODY_PROBLEMS,
    ...VERSION_PROBLEM,
  },
})

const deleteRoute = createRoute({
  method: 'delete',
  path: '/rules/{id}',
  operationId: 'deleteRule',
  summary: 'Deletes a rule',
  request: { params: RULE_ID, query: deletionQuery, headers: ifMatchHeader },
  responses: { 200: json('Deleted.', deletedSchema), ...PROBLEMS, ...RULE_UNKNOWN, ...VERSION_PROBLEM },
})

export function serveRules(router: Router, { services, readFields, changeRules, now }: ChangeOptions): void {
  serve(router, rulesRoute, async c => {
    const { store } = services()
    const [document, sums] = await Promise.all([store.rules.document(), sumRuleCounts(store)])
    return c.json(documentView(document, sums))
  })

  serve(router, ruleRoute, async c => {
    const { store } = services()
    const [document, sums] = await Promise.all([store.rules.document(), sumRuleCounts(store)])
    const kept = document.rules.find(({ rule }) => rule.id === c.req.valid('param').id)
    if (kept === undefined) throw new RequestFault({ kind: 'rule-unknown' })
    return c.json({ ...ruleView(kept, sums), rules_version: document.version })
  })

  serve(router, putRoute, async c => {
    const { store } = services()
    const { id } = c.req.valid('param')
    const ifMatch = c.req.valid('header')['If-Match']
    const { rule, who, why } = await readFields(c, putSchema(id))
    const content = withId(rule, id)
    const at = now()
    const wanted = { kind: 'rule_put', id, content, who, why, at, ifMatch } as const
    const { before, after } = await changeRules(store.rules, wanted, document =>
      withRule(document, content, { who, why, at }),
    )
    const kept = after.rules.find(({ rule }) => rule.id === id)
    if (kept === undefined) throw new Error('the document does not have the rule that was put')
    const isNew = !before.rules.some(({ rule }) => rule.id === id)
    return c.json({ ...ruleView(kept, new Map()), rules_version: after.version }, isNew ? 201 : 200)
  })

  serve(router, deleteRoute, async c => {
    const { store } = services()
    const { id } = c.req.valid('param')
    const ifMatch = c.req.valid('header')['If-Match']
    const { who, why } = c.req.valid('query')
    const wanted = { kind: 'rule_deleted', id, content: null, who, why, at: now(), ifMatch } as const
    const outcome = await changeRules(store.rules, wanted, document => withoutRule(document, id))
    if (outcome === undefined) throw new RequestFault({ kind: 'rule-unknown' })
    return c.json({ deleted: id, version: outcome.after.version })
  })
}

function putSchema(id: string) {
  const rule = writtenMember(input => readRule(withId(input, id)))
    .refine(input => !hasOtherId(input, id), { path: ['id'], error: 'must be absent, or equal to the id in the path' })
    .refine(() => !ROUTE_NAMES.has(id), { path: ['id'], error: `is taken by the route /rules/${id}` })
    .openapi({ type: 'object' })
  return z.strictObject({ rule, ...noteFields })
}

/**
 * The rule as it is stored: its id comes first, whether it was in the body or not. Any other value
 * is returned as it is.
 */
function withId(input: unknown, id: string): unknown {
  return isObject(input) ? { id, ...input } : input
}

function hasOtherId(input: unknown, id: string): boolean {
  return isObject(input) && Object.hasOwn(input, 'id') && input.id !== id
}

function isObject(input: unknown): input is { readonly id?: unknown } {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
}
