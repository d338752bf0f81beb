import { z } from '@hono/zod-openapi'
import { withMute, withoutMute } from '@tidemark/shared/detection/rules/document'
import { id as idField, pattern } from '@tidemark/shared/detection/rules/fields'
import { BODY_PROBLEMS, json, jsonBody, PROBLEMS, problem, UNTIL_FIELD } from '../http/documentation.ts'
import { untilMember } from '../http/json-body.ts'
import { callerOf, noteChange } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { idParameter } from '../http/query.ts'
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
} from './document.ts'
import { ownOf, requireOwn, requirePattern } from './own-rules.ts'
import { deletedSchema, muteResponseSchema } from './schemas.ts'

const MUTE_ID = idParameter('The id of the mute: letters, digits, dots, dashes and underscores.', 'night-shift')

const EXAMPLE = { pattern: 'edge-*', until: '2h', who: 'mira', why: 'new firmware' }

const putRoute = createRoute({
  method: 'put',
  path: '/mutes/{id}',
  access: 'operate',
  ownKeys: true,
  operationId: 'putMute',
  summary: 'Mutes the keys of a pattern for a while',
  description:
    'Their alerts still open and are listed, but send no notifications. Alerts that are still firing when the mute ends are ' +
    'notified then.',
  request: { params: MUTE_ID, headers: ifMatchHeader, body: jsonBody(putSchema(0, NOTE_FIELDS), EXAMPLE) },
  responses: {
    200: json('Replaced.', muteResponseSchema),
    201: json('Added.', muteResponseSchema),
    ...BODY_PROBLEMS,
    ...VERSION_PROBLEM,
  },
})

const deleteRoute = createRoute({
  method: 'delete',
  path: '/mutes/{id}',
  access: 'operate',
  ownKeys: true,
  operationId: 'deleteMute',
  summary: 'Deletes a mute: alerts that are still firing are notified now',
  request: { params: MUTE_ID, query: deletionQuery, headers: ifMatchHeader },
  responses: {
    200: json('Deleted.', deletedSchema),
    ...PROBLEMS,
    404: problem('No mute with this id: it may have expired or been deleted.', 'mute-unknown'),
    ...VERSION_PROBLEM,
  },
})

export function serveMutes(router: Router, { services, readFields, changeRules, now }: ChangeOptions): void {
  serve(router, putRoute, async c => {
    const { store } = services()
    const id = checkedId(c.req.valid('param').id)
    const at = now()
    const caller = callerOf(c)
    const { until, who, why, ...fields } = await readFields(c, putSchema(at, noteFields(caller)))
    requirePattern(caller, fields)
    const mute = { id, ...fields, until: new Date(until).toISOString(), who, why }
    const wanted = { kind: 'mute_put', id, content: mute, who, why, at, ...c.req.valid('header') } as const
    const { before, after } = await changeRules(store.rules, wanted, document => {
      requireOwn(
        caller,
        document.mutes.find(one => one.id === id),
      )
      return withMute(document, mute, at)
    })
    const replaced = before.mutes.find(one => one.id === id)
    noteChange(c, { before: replaced, after: mute })
    return c.json({ mute, version: after.version }, replaced === undefined ? 201 : 200)
  })

  serve(router, deleteRoute, async c => {
    const { id } = c.req.valid('param')
    const caller = callerOf(c)
    const note = { ...deletionNote(c.req.valid('query'), caller), ...c.req.valid('header') }
    const wanted = { kind: 'mute_deleted', id, content: null, at: now(), ...note } as const
    const { store } = services()
    const { before, after } = await changeRules(store.rules, wanted, document =>
      ownOf(document, caller).mutes.some(mute => mute.id === id) ? withoutMute(document, id) : undefined,
    )
    noteChange(c, { before: before.mutes.find(one => one.id === id) })
    return c.json({ deleted: id, version: after.version })
  })
}

function putSchema<N extends NoteFields>(now: number, note: N) {
  return z.strictObject({ pattern, until: untilMember(now).meta(UNTIL_FIELD), ...note })
}

function checkedId(id: string): string {
  const result = idField.safeParse(id)
  if (result.success) return result.data
  const errors = result.error.issues.map(({ message }) => ({ field: 'id', detail: message }))
  throw new RequestFault({ kind: 'fields-invalid', errors })
}
