import { text } from '@tidemark/shared/detection/rules/fields'
import { readRule, withoutRule, withRule } from '@tidemark/shared/detection/rules/rule'
import type { Context } from 'hono'
import { z } from 'zod'
import type { FieldsReader } from '../http/json-body.ts'
import { RequestFault } from '../http/problem.ts'
import { readQuery } from '../http/query.ts'
import type { Services } from '../services.ts'
import { sumRuleCounts } from './counts.ts'
import { type ChangeRules, readIfMatch, writtenMember } from './document.ts'
import { documentWords, ruleWords } from './view.ts'

export interface RulesOptions {
  readonly services: () => Services
  readonly readFields: FieldsReader
  readonly changeRules: ChangeRules
  /** Unix milliseconds. */
  readonly now: () => number
}

/** What else is served below /rules: a rule of this name could be put there and not be read again. */
const ROUTE_NAMES: ReadonlySet<string> = new Set(['explain', 'changes'])

/** Who deletes something, and why: many clients and proxies send no body with a DELETE. */
export const deletionQuery = z.strictObject({
  who: z.string('is missing').pipe(text),
  why: z.string('is missing').pipe(text),
})

/** `GET /rules`: all that operators have said about judging. */
export function createRulesPage({ services }: Pick<RulesOptions, 'services'>): (c: Context) => Promise<Response> {
  return async c => {
    readQuery(c, z.strictObject({}))
    const { store } = services()
    const [document, sums] = await Promise.all([store.rules.document(), sumRuleCounts(store)])
    return c.json(documentWords(document, sums))
  }
}

/** `GET /rules/{id}`: one rule. */
export function createRule({ services }: Pick<RulesOptions, 'services'>): (c: Context) => Promise<Response> {
  return async c => {
    readQuery(c, z.strictObject({}))
    const { store } = services()
    const [document, sums] = await Promise.all([store.rules.document(), sumRuleCounts(store)])
    const kept = document.rules.find(({ rule }) => rule.id === c.req.param('id'))
    if (kept === undefined) throw new RequestFault({ kind: 'rule-unknown' })
    return c.json({ ...ruleWords(kept, sums), rules_version: document.version })
  }
}

/** `PUT /rules/{id}`: adds a rule, or puts it in the place of the one with its id. */
export function createPutRule({
  services,
  readFields,
  changeRules,
  now,
}: RulesOptions): (c: Context) => Promise<Response> {
  return async c => {
    const { store } = services()
    const id = c.req.param('id') ?? ''
    const ifMatch = readIfMatch(c)
    const { rule, who, why } = await readFields(c, putSchema(id))
    const content = withId(rule, id)
    const at = now()
    const wanted = { kind: 'rule_put', id, content, who, why, at, ifMatch } as const
    const { before, after } = await changeRules(store.rules, wanted, document =>
      withRule(document, content, { who, why, at }),
    )
    const kept = after.rules.find(({ rule }) => rule.id === id)
    if (kept === undefined) throw new Error('a rule that was put is not there')
    const isNew = !before.rules.some(({ rule }) => rule.id === id)
    return c.json({ ...ruleWords(kept, new Map()), rules_version: after.version }, isNew ? 201 : 200)
  }
}

/** `DELETE /rules/{id}`: from then on another rule holds for its keys, or the default. */
export function createDeleteRule({ services, changeRules, now }: RulesOptions): (c: Context) => Promise<Response> {
  return async c => {
    const { store } = services()
    const id = c.req.param('id') ?? ''
    const ifMatch = readIfMatch(c)
    const { who, why } = readQuery(c, deletionQuery)
    const wanted = { kind: 'rule_deleted', id, content: null, who, why, at: now(), ifMatch } as const
    const outcome = await changeRules(store.rules, wanted, document => withoutRule(document, id))
    if (outcome === undefined) throw new RequestFault({ kind: 'rule-unknown' })
    return c.json({ deleted: id, version: outcome.after.version })
  }
}

function putSchema(id: string) {
  const rule = writtenMember(input => readRule(withId(input, id)))
    .refine(input => !hasOtherId(input, id), { path: ['id'], error: 'must be left out, or the one in the path' })
    .refine(() => !ROUTE_NAMES.has(id), { path: ['id'], error: `is taken by the route /rules/${id}` })
  return z.strictObject({ rule, who: text, why: text })
}

/** The rule as it is kept: its id stands first, whether it was in the body or not. What is no object stays what it is. */
function withId(input: unknown, id: string): unknown {
  return isObject(input) ? { id, ...input } : input
}

function hasOtherId(input: unknown, id: string): boolean {
  return isObject(input) && Object.hasOwn(input, 'id') && input.id !== id
}

function isObject(input: unknown): input is { readonly id?: unknown } {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
}
