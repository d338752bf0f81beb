import { id as idField, pattern, text } from '@tidemark/shared/detection/rules/fields'
import { withMute, withoutMute } from '@tidemark/shared/detection/rules/rule'
import type { Context } from 'hono'
import { z } from 'zod'
import { untilMember } from '../http/json-body.ts'
import { RequestFault } from '../http/problem.ts'
import { readQuery } from '../http/query.ts'
import { readIfMatch } from './document.ts'
import { deletionQuery, type RulesOptions } from './routes.ts'

/** `PUT /mutes/{id}`: nobody is told of alerts of the pattern's keys until then. */
export function createPutMute({
  services,
  readFields,
  changeRules,
  now,
}: RulesOptions): (c: Context) => Promise<Response> {
  return async c => {
    const { store } = services()
    const id = muteId(c)
    const ifMatch = readIfMatch(c)
    const at = now()
    const { until, who, why, ...fields } = await readFields(c, putSchema(at))
    const mute = { id, ...fields, until: new Date(until).toISOString(), who, why }
    const wanted = { kind: 'mute_put', id, content: mute, who, why, at, ifMatch } as const
    const { before, after } = await changeRules(store.rules, wanted, document => withMute(document, mute, at))
    return c.json({ mute, version: after.version }, before.mutes.some(one => one.id === id) ? 200 : 201)
  }
}

/** `DELETE /mutes/{id}`: alerts that still fire are told of now. */
export function createDeleteMute({ services, changeRules, now }: RulesOptions): (c: Context) => Promise<Response> {
  return async c => {
    const { store } = services()
    const id = c.req.param('id') ?? ''
    const ifMatch = readIfMatch(c)
    const { who, why } = readQuery(c, deletionQuery)
    const wanted = { kind: 'mute_deleted', id, content: null, who, why, at: now(), ifMatch } as const
    const outcome = await changeRules(store.rules, wanted, document => withoutMute(document, id))
    if (outcome === undefined) throw new RequestFault({ kind: 'mute-unknown' })
    return c.json({ deleted: id, version: outcome.after.version })
  }
}

function putSchema(now: number) {
  return z.strictObject({ pattern, until: untilMember(now), who: text, why: text })
}

function muteId(c: Context): string {
  const result = idField.safeParse(c.req.param('id'))
  if (result.success) return result.data
  const errors = result.error.issues.map(({ message }) => ({ field: 'id', detail: message }))
  throw new RequestFault({ kind: 'fields-invalid', errors })
}
