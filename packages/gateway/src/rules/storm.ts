import { z } from '@hono/zod-openapi'
import { readStorm, type StormInput, withStorm } from '@tidemark/shared/detection/rules/document'
import { BODY_PROBLEMS, json, jsonBody } from '../http/documentation.ts'
import { callerOf, noteChange } from '../http/pipeline.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import {
  type ChangeOptions,
  ifMatchHeader,
  NOTE_FIELDS,
  type NoteFields,
  noteFields,
  VERSION_PROBLEM,
  writtenMember,
} from './document.ts'
import { stormResponseSchema } from './schemas.ts'

function putSchema<N extends NoteFields>(note: N) {
  return z.strictObject({ storm: writtenMember(readStorm), ...note })
}

const EXAMPLE = { storm: { percent: 20, within: '1m', keys_min: 10 }, who: 'mira', why: 'the default was right' }

const putRoute = createRoute({
  method: 'put',
  path: '/storm',
  access: 'operate',
  operationId: 'putStorm',
  summary: 'Sets when alerts of many keys become one alert storm of the whole fleet',
  request: { headers: ifMatchHeader, body: jsonBody(putSchema(NOTE_FIELDS), EXAMPLE) },
  responses: { 200: json('In force.', stormResponseSchema), ...BODY_PROBLEMS, ...VERSION_PROBLEM },
})

export function serveStorm(router: Router, { services, readFields, changeRules, now }: ChangeOptions): void {
  serve(router, putRoute, async c => {
    const { store } = services()
    const { storm, who, why } = await readFields(c, putSchema(noteFields(callerOf(c))))
    const note = { who, why, at: now(), ...c.req.valid('header') }
    const wanted = { kind: 'storm_put', id: null, content: storm, ...note } as const
    const { before, after } = await changeRules(store.rules, wanted, document => withStorm(document, storm))
    noteChange(c, { before: before.storm, after: storm })
    return c.json({ storm: storm as StormInput, version: after.version })
  })
}
