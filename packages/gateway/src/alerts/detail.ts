import { createRoute } from '@hono/zod-openapi'
import { type AlertRecord, assembleAlert, partitionOfAlert } from '@tidemark/shared/detection/alerts/record'
import { decodeWindow } from '@tidemark/shared/detection/window-row'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Store } from '@tidemark/shared/store/ports/store'
import { json, PROBLEMS, problem } from '../http/documentation.ts'
import { RequestFault } from '../http/problem.ts'
import { idParameter, noQuery } from '../http/query.ts'
import { type Router, serve } from '../http/router.ts'
import type { RulesOptions } from '../rules/rule-sets.ts'
import { policyView } from '../rules/view.ts'
import { alertWithSamplesSchema } from './schemas.ts'
import { alertView, windowView } from './view.ts'

export const ALERT_ID = idParameter('The id of the alert.', '3-5f2c1f0a9be2d6c07a51b3e4')
export const ALERT_UNKNOWN = {
  404: problem('No alert with this id: it never existed or is no longer kept.', 'alert-unknown'),
}

const route = createRoute({
  method: 'get',
  path: '/alerts/{id}',
  operationId: 'alert',
  summary: "An alert, its key's current samples and the key's current policy",
  request: { params: ALERT_ID, query: noQuery },
  responses: { 200: json('The alert.', alertWithSamplesSchema), ...PROBLEMS, ...ALERT_UNKNOWN },
})

export function serveAlert(router: Router, { services, ruleSets, now }: RulesOptions): void {
  serve(router, route, async c => {
    const { store } = services()
    const { record } = await readAlert(store, c.req.valid('param').id)
    const { key } = record
    // An alert of the whole fleet has no key.
    if (key === null) return c.json({ ...alertView(record), samples: null, policy: null, muted: null })
    const { document, set } = await ruleSets(store.rules)
    const { policy, muted } = set.explain(key, now())
    return c.json({
      ...alertView(record),
      samples: await readSamples(store, { key, record, isHeld: policy.hygiene.isHeld }),
      policy: { rule: policy.rule, ...policyView(policy, document) },
      muted,
    })
  })
}

/** An alert, and where it is stored. */
export interface LocatedAlert {
  readonly partition: number
  readonly id: string
  readonly record: AlertRecord
}

/** Reads the alert with an id from a path; throws a RequestFault if there is none. */
export async function readAlert({ partitions, alerts }: Store, id: string): Promise<LocatedAlert> {
  const partition = partitionOfAlert(id)
  const [parts] = partition === undefined || partition >= partitions ? [] : await alerts.read(partition, [id])
  if (partition === undefined || parts == null) throw new RequestFault({ kind: 'alert-unknown' })
  return { partition, id, record: assembleAlert(parts) }
}

/** Returns the samples in the window of a key; null if the key has no window. */
async function readSamples(
  { partitions, gateway }: Store,
  { key, record, isHeld }: { key: string; record: AlertRecord; isHeld: boolean },
) {
  const stored = await gateway.window({ partition: partitionOf(key, partitions), key })
  const window = stored === null ? undefined : decodeWindow(stored)
  return window === undefined ? null : windowView(record, window, { isHeld })
}
