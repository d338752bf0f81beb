import { type ActionOutcome, acknowledge, snooze } from '@tidemark/shared/detection/alerts/notice'
import type { AlertRecord, OperatorState } from '@tidemark/shared/detection/alerts/record'
import { text } from '@tidemark/shared/detection/rules/fields'
import type { Context } from 'hono'
import { z } from 'zod'
import { type FieldsReader, untilMember } from '../http/json-body.ts'
import { RequestFault } from '../http/problem.ts'
import type { Services } from '../services.ts'
import { readAlert } from './detail.ts'
import { alertWords } from './view.ts'

export interface CareOptions {
  readonly services: () => Services
  readonly readFields: FieldsReader
  /** Unix milliseconds. */
  readonly now: () => number
}

const noteFields = { who: text, why: text }

/** `POST /alerts/{id}/acknowledge`: somebody takes care of it. */
export function createAcknowledge(options: CareOptions): (c: Context) => Promise<Response> {
  const schema = z.strictObject(noteFields)
  return async c => {
    const { who, why } = await options.readFields(c, schema)
    const note = { who, why, at: options.now() }
    return takeCare(c, options, 'acknowledged', record => acknowledge(record, note))
  }
}

/** `POST /alerts/{id}/snooze`: receivers are told again at `until`, should it still fire then. */
export function createSnooze(options: CareOptions): (c: Context) => Promise<Response> {
  return async c => {
    const at = options.now()
    const { who, why, until } = await options.readFields(c, z.strictObject({ ...noteFields, until: untilMember(at) }))
    return takeCare(c, options, 'snoozed', record => snooze(record, { who, why, at, until }))
  }
}

/** Only what was done is written: two operators at the same time undo nothing of each other's. */
async function takeCare(
  c: Context,
  { services, now }: CareOptions,
  what: keyof OperatorState,
  act: (record: AlertRecord) => ActionOutcome,
): Promise<Response> {
  const { store } = services()
  const { partition, id, record } = await readAlert(store, c.req.param('id'))
  if (record.state === 'resolved') throw new RequestFault({ kind: 'alert-resolved' })
  const outcome = act(record)
  // What else it could refuse was refused with the body.
  if (outcome.kind === 'refused') throw new Error(`an alert could not be taken care of: ${outcome.reason}`)
  if (!(await store.alerts.setOperatorState(partition, id, { [what]: outcome.record[what] }, now()))) {
    throw new RequestFault({ kind: 'alert-resolved' })
  }
  return c.json(alertWords(outcome.record))
}
