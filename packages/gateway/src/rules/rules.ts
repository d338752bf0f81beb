import { z } from '@hono/zod-openapi'
import { withoutRule, withRule } from '@tidemark/shared/detection/rules/document'
import { type Rule, RuleError, readNewRule } from '@tidemark/shared/detection/rules/rule'
import { BODY_PROBLEMS, json, jsonBody, PROBLEMS } from '../http/documentation.ts'
import { callerOf, noteChange } from '../http/pipeline.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import {
  type ChangeOptions,
  deletionNote,
  deletionQuery,
  ifMatchHeader,
  NOTE_FIELDS,
  type NoteFields,
  noteFields,
  VERSION_PROBLEM,
  writtenMember,
} from './document.ts'
import { ownOf, requireOwn, requirePattern } from './own-rules.ts'
import { deletedSchema, ruleSchema } from './schemas.ts'
import { findRule, NOTHING_COUNTED, RULE_ID, RULE_UNKNOWN, ruleView } from './view.ts'

/** Other routes below /rules: a rule with such an id could be stored and not be read. */
const ROUTE_NAMES: ReadonlySet<string> = new Set(['explain', 'changes'])

const EXAMPLE = {
  rule: { pattern: 'edge-*/cpu', direction: 'up', deviation_min: 5 },
  who: 'mira',
  why: 'only high values matter',
}

const putRoute = createRoute({
  method: 'put',
  path: '/rules/{id}',
  access: 'operate',
  ownKeys: true,
  operationId: 'putRule',
  summary: 'Adds a rule, or replaces it',
  description:
    'It takes effect on all samples within 2 s. `rule` has all members but the id; members that are left out have their ' +
    'defaults (docs/rules.md). The ids `explain` and `changes` are reserved by routes.',
  request: { params: RULE_ID, headers: ifMatchHeader, body: jsonBody(putSchema('id', NOTE_FIELDS), EXAMPLE) },
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
  access: 'operate',
  ownKeys: true,
  operationId: 'deleteRule',
  summary: 'Deletes a rule',
  request: { params: RULE_ID, query: deletionQuery, headers: ifMatchHeader },
  responses: { 200: json('Deleted.', deletedSchema), ...PROBLEMS, ...RULE_UNKNOWN, ...VERSION_PROBLEM },
})

export function serveRules(router: Router, { services, readFields, changeRules, now }: ChangeOptions): void {
  serve(router, putRoute, async c => {
    const { store } = services()
    const { id } = c.req.valid('param')
    const caller = callerOf(c)
    const { rule, who, why } = await readFields(c, putSchema(id, noteFields(caller)))
    const content = withId(rule, id)
    requirePattern(caller, content)
    const changed = { who, why, at: now() }
    const wanted = { kind: 'rule_put', id, content, ...changed, ...c.req.valid('header') } as const
    const { before, after } = await changeRules(store.rules, wanted, document => {
      requireOwn(caller, document.rules.find(({ rule }) => rule.id === id)?.rule)
      return withRule(document, content, changed)
    })
    const replaced = before.rules.find(({ rule }) => rule.id === id)
    noteChange(c, { before: replaced?.rule, after: content })
    return c.json(
      { ...ruleView(findRule(after, id), NOTHING_COUNTED), rules_version: after.version },
      replaced === undefined ? 201 : 200,
    )
  })

  serve(router, deleteRoute, async c => {
    const { id } = c.req.valid('param')
    const caller = callerOf(c)
    const note = { ...deletionNote(c.req.valid('query'), caller), ...c.req.valid('header') }
    const wanted = { kind: 'rule_deleted', id, content: null, at: now(), ...note } as const
    const { store } = services()
    const { before, after } = await changeRules(store.rules, wanted, document =>
      ownOf(document, caller).rules.some(({ rule }) => rule.id === id) ? withoutRule(document, id) : undefined,
    )
    noteChange(c, { before: findRule(before, id).rule })
    return c.json({ deleted: id, version: after.version })
  })
}

function putSchema<N extends NoteFields>(id: string, note: N) {
  const rule = writtenMember(input => {
    const { id: given } = checkNewRule(withId(input, id))
    if (given !== id) throw idError('must be absent, or equal to the id in the path')
  })
  return z.strictObject({ rule, ...note })
}

/** Reads a rule that could be put. Throws a RuleError with everything that is wrong with it. */
export function checkNewRule(input: unknown): Rule {
  const rule = readNewRule(input)
  if (ROUTE_NAMES.has(rule.id)) throw idError(`is taken by the route /rules/${rule.id}`)
  return rule
}

function idError(detail: string): RuleError {
  return new RuleError('rule', [{ field: 'id', detail }])
}

/** Returns a rule as it is stored, with its id first. Any other value is returned as it is. */
export function withId(input: unknown, id: string): unknown {
  return typeof input === 'object' && input !== null && !Array.isArray(input) ? { id, ...input } : input
}
