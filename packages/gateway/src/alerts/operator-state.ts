import { createRoute, z } from '@hono/zod-openapi'
import { type ActionOutcome, acknowledge, snooze } from '@tidemark/shared/detection/alerts/notification'
import type { AlertRecord, OperatorState } from '@tidemark/shared/detection/alerts/record'
import { text } from '@tidemark/shared/detection/rules/fields'
import { BODY_PROBLEMS, json, jsonBody, problem, UNTIL_FIELD } from '../http/documentation.ts'
import { untilMember } from '../http/json-body.ts'
import { RequestFault } from '../http/problem.ts'
import { type Router, serve } from '../http/router.ts'
import type { RulesOptions } from '../rules/rule-sets.ts'
import { ALERT_ID, ALERT_UNKNOWN, readAlert } from './detail.ts'
import { alertSchema } from './schemas.ts'
import { alertView } from './view.ts'

const noteFields = { who: text, why: text }
const acknowledgeSchema = z.strictObject(noteFields)
const snoozeSchema = (now: number) => z.strictObject({ ...noteFields, until: untilMember(now).meta(UNTIL_FIELD) })

const NOTE = { who: 'mira', why: 'the fan is being replaced' }

const RESPONSES = {
  200: json('Done.', alertSchema),
  ...BODY_PROBLEMS,
  ...ALERT_UNKNOWN,
  409: problem('The alert is resolved.', 'alert-resolved'),
}

const acknowledgeRoute = createRoute({
  method: 'post',
  path: '/alerts/{id}/acknowledge',
  operationId: 'acknowledgeAlert',
  summary: 'Acknowledges a firing alert',
  request: { params: ALERT_ID, body: jsonBody(acknowledgeSchema, NOTE) },
  responses: RESPONSES,
})

const snoozeRoute = createRoute({
  method: 'post',
  path: '/alerts/{id}/snooze',
  operationId: 'snoozeAlert',
  summary: 'Suppresses its notifications until a time, after which it is notified again if it still fires',
  request: { params: ALERT_ID, body: jsonBody(snoozeSchema(0), { until: '2h', ...NOTE }) },
  responses: RESPONSES,
})

export function serveOperatorState(router: Router, options: RulesOptions): void {
  const { readFields, now } = options
  serve(router, acknowledgeRoute, async c => {
    const { who, why } = await readFields(c, acknowledgeSchema)
    const note = { who, why, at: now() }
    return c.json(await update(options, c.req.valid('param').id, 'acknowledged', record => acknowledge(record, note)))
  })

  serve(router, snoozeRoute, async c => {
    const at = now()
    const { who, why, until } = await readFields(c, snoozeSchema(at))
    const note = { who, why, at, until }
    return c.json(await update(options, c.req.valid('param').id, 'snoozed', record => snooze(record, note)))
  })
}

/**
 * Writes one part of the operator state only, so that simultaneous actions of two operators do not
 * undo each other.
 */
async function update(
  { services, now }: RulesOptions,
  alertId: string,
  part: keyof OperatorState,
  act: (record: AlertRecord) => ActionOutcome,
) {
  const { store } = services()
  const { partition, id, record } = await readAlert(store, alertId)
  if (record.state === 'resolved') throw new RequestFault({ kind: 'alert-resolved' })
  const outcome = act(record)
  // The schema of the body has excluded every other reason.
  if (outcome.kind === 'refused') throw new Error(`the operator state of an alert was refused: ${outcome.reason}`)
  if (!(await store.alerts.setOperatorState(partition, id, { [part]: outcome.record[part] }, now()))) {
    throw new RequestFault({ kind: 'alert-resolved' })
  }
  return alertView(outcome.record)
}
