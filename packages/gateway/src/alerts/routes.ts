import { z } from '@hono/zod-openapi'
import { type ActionOutcome, acknowledge, endSnooze, snooze } from '@tidemark/shared/detection/alerts/notification'
import type { AlertRecord, OperatorState } from '@tidemark/shared/detection/alerts/record'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { decodeWindow } from '@tidemark/shared/detection/window-row'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Principal } from '../access/principal.ts'
import { BODY_PROBLEMS, json, jsonBody, PROBLEMS, problem, UNTIL_FIELD } from '../http/documentation.ts'
import { untilMember } from '../http/json-body.ts'
import { createLimiter, PAGE_LIMITS } from '../http/limiter.ts'
import { callerOf, noteChange } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { noQuery } from '../http/query.ts'
import { createRoute, createRouter, type Router, serve } from '../http/router.ts'
import { deletionNote, deletionQuery, NOTE_FIELDS, type NoteFields, noteFields } from '../rules/document.ts'
import type { RulesOptions } from '../rules/rule-sets.ts'
import { policyView } from '../rules/view.ts'
import { serveFeedback } from './feedback.ts'
import { ALERT_ID, ALERT_UNKNOWN, readAlert } from './find.ts'
import { serveGroups } from './groups.ts'
import { serveAlertsPage } from './page.ts'
import { alertSchema, alertWithSamplesSchema } from './schemas.ts'
import { alertView, windowView } from './view.ts'

const acknowledgeSchema = <N extends NoteFields>(note: N) => z.strictObject(note)
const snoozeSchema = <N extends NoteFields>(now: number, note: N) =>
  z.strictObject({ ...note, until: untilMember(now).meta(UNTIL_FIELD) })

const NOTE = { who: 'mira', why: 'the fan is being replaced' }

const alertRoute = createRoute({
  method: 'get',
  path: '/alerts/{id}',
  access: 'read',
  ownKeys: true,
  operationId: 'alert',
  summary: "An alert, its key's current samples and the key's current policy",
  request: { params: ALERT_ID, query: noQuery },
  responses: { 200: json('The alert.', alertWithSamplesSchema), ...PROBLEMS, ...ALERT_UNKNOWN },
})

const CHANGE_RESPONSES = {
  200: json('Done.', alertSchema),
  ...BODY_PROBLEMS,
  ...ALERT_UNKNOWN,
  409: problem('The alert is resolved.', 'alert-resolved'),
}

const acknowledgeRoute = createRoute({
  method: 'post',
  path: '/alerts/{id}/acknowledge',
  access: 'operate',
  ownKeys: true,
  operationId: 'acknowledgeAlert',
  summary: 'Acknowledges a firing alert',
  request: { params: ALERT_ID, body: jsonBody(acknowledgeSchema(NOTE_FIELDS), NOTE) },
  responses: CHANGE_RESPONSES,
})

const snoozeRoute = createRoute({
  method: 'post',
  path: '/alerts/{id}/snooze',
  access: 'operate',
  ownKeys: true,
  operationId: 'snoozeAlert',
  summary: 'Suppresses its notifications until a time, after which it is notified again if it still fires',
  request: { params: ALERT_ID, body: jsonBody(snoozeSchema(0, NOTE_FIELDS), { until: '2h', ...NOTE }) },
  responses: CHANGE_RESPONSES,
})

const endSnoozeRoute = createRoute({
  method: 'delete',
  path: '/alerts/{id}/snooze',
  access: 'operate',
  ownKeys: true,
  operationId: 'endSnooze',
  summary: 'Ends the snooze of an alert, if it has one: it is notified now if it still fires',
  request: { params: ALERT_ID, query: deletionQuery },
  responses: { 200: json('Done.', alertSchema), ...PROBLEMS, ...ALERT_UNKNOWN, 409: CHANGE_RESPONSES[409] },
})

/** `GET /alerts`, `GET /alerts/{id}` and what operators do with an alert. */
export function alertsRoutes(options: RulesOptions): Router {
  const { services, ruleSets, readFields, now } = options
  const router = createRouter('Alerts')
  const limited = createLimiter({ ...PAGE_LIMITS, limit: 'alert_pages', metrics: options.metrics })
  serveAlertsPage(router, options, limited)
  serveGroups(router, options, limited)
  serveFeedback(router, options, limited)

  serve(router, alertRoute, async c => {
    const { store } = services()
    const { record } = await readAlert(store, c.req.valid('param').id, callerOf(c))
    const { key } = record
    // An alert of the whole fleet has no key.
    if (key === null) return c.json({ ...alertView(record), samples: null, policy: null, muted: null })
    const { document, set } = await ruleSets(store.rules)
    const { policy, muted } = set.explain(key, now())
    return c.json({
      ...alertView(record),
      samples: await readSamples(store, { key, record, policy }),
      policy: { rule: policy.rule, ...policyView(policy, document) },
      muted,
    })
  })

  serve(router, acknowledgeRoute, async c => {
    const caller = callerOf(c)
    const { who, why } = await readFields(c, acknowledgeSchema(noteFields(caller)))
    const note = { who, why, at: now() }
    const change = { id: c.req.valid('param').id, part: 'acknowledged', caller } as const
    const alert = await update(options, change, record => acknowledge(record, note))
    noteChange(c, { after: { key: alert.key, acknowledged: true, why } })
    return c.json(alert)
  })

  serve(router, snoozeRoute, async c => {
    const at = now()
    const caller = callerOf(c)
    const { who, why, until } = await readFields(c, snoozeSchema(at, noteFields(caller)))
    const note = { who, why, at, until }
    const change = { id: c.req.valid('param').id, part: 'snoozed', caller } as const
    const alert = await update(options, change, record => snooze(record, note))
    noteChange(c, { after: { key: alert.key, snoozed_until: new Date(until).toISOString(), why } })
    return c.json(alert)
  })

  serve(router, endSnoozeRoute, async c => {
    const at = now()
    const caller = callerOf(c)
    const note = { ...deletionNote(c.req.valid('query'), caller), at }
    const { id } = c.req.valid('param')
    const { record } = await readAlert(services().store, id, caller)
    const isSnoozed = record.snoozed !== null && record.snoozed.until > at
    if (!isSnoozed) return c.json(alertView(record))
    const alert = await update(options, { id, part: 'snoozed', caller }, one => endSnooze(one, note))
    noteChange(c, {
      before: { snoozed_until: new Date(record.snoozed.until).toISOString() },
      after: { key: alert.key },
    })
    return c.json(alert)
  })

  return router
}

/** Whether an alert is on rates, which its samples may have said although no rule does. */
function isOfRates({ cause }: AlertRecord): boolean {
  if (cause.kind === 'anomaly') return cause.evidence.per_second === true
  return cause.kind === 'level_shift' && cause.per_second === true
}

/** Returns the samples in the window of a key; null if the key has no window. */
async function readSamples(
  { partitions, gateway }: Store,
  { key, record, policy }: { key: string; record: AlertRecord; policy: Policy },
) {
  const stored = await gateway.window({ partition: partitionOf(key, partitions), key })
  const window = stored === null ? undefined : decodeWindow(stored)
  return window === undefined
    ? null
    : windowView(record, window, { isHeld: policy.hygiene.isHeld, isCounter: policy.isCounter || isOfRates(record) })
}

/** Writes one part of the operator state only: simultaneous actions do not undo each other. */
async function update(
  { services, now }: RulesOptions,
  { id, part, caller }: { readonly id: string; readonly part: keyof OperatorState; readonly caller: Principal },
  act: (record: AlertRecord) => ActionOutcome,
) {
  const { store } = services()
  const { partition, record } = await readAlert(store, id, caller)
  if (record.state === 'resolved') throw new RequestFault({ kind: 'alert-resolved' })
  const outcome = act(record)
  // The schema of the body has excluded every other reason.
  if (outcome.kind === 'refused') throw new Error(`the operator state of an alert was refused: ${outcome.reason}`)
  if (!(await store.alerts.setOperatorState(partition, id, { [part]: outcome.record[part] }, now()))) {
    throw new RequestFault({ kind: 'alert-resolved' })
  }
  return alertView(outcome.record)
}
