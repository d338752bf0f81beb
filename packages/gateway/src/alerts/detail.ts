import { type AlertRecord, assembleAlert, partitionOfAlert } from '@tidemark/shared/detection/alerts/record'
import { decodeWindow } from '@tidemark/shared/detection/window-row'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Context } from 'hono'
import { z } from 'zod'
import { RequestFault } from '../http/problem.ts'
import { readQuery } from '../http/query.ts'
import type { RuleSets } from '../rules/rule-sets.ts'
import { mutedWords, policyWords } from '../rules/view.ts'
import type { Services } from '../services.ts'
import { alertWords, samplesWords } from './view.ts'

export interface AlertOptions {
  readonly services: () => Services
  readonly ruleSets: RuleSets
  /** Unix milliseconds. */
  readonly now: () => number
}

/** `GET /alerts/{id}`: an alert, its key's samples, and what is in force for the key now. */
export function createAlert({ services, ruleSets, now }: AlertOptions): (c: Context) => Promise<Response> {
  return async c => {
    readQuery(c, z.strictObject({}))
    const { store } = services()
    const { record } = await readAlert(store, c.req.param('id'))
    const { key } = record
    // An alert of the whole fleet has no key.
    if (key === null) return c.json({ ...alertWords(record), samples: null, policy: null, muted: null })
    const { document, set } = await ruleSets(store.rules)
    const { policy, muted } = set.explain(key, now())
    return c.json({
      ...alertWords(record),
      samples: await readSamples(store, { key, record, isHeld: policy.hygiene.isHeld }),
      policy: { rule: policy.rule, ...policyWords(policy, document) },
      muted: muted === null ? null : mutedWords(muted),
    })
  }
}

export interface FoundAlert {
  readonly partition: number
  readonly id: string
  readonly record: AlertRecord
}

/** The alert of an id in a path; a fault when there is none. */
export async function readAlert({ partitions, alerts }: Store, id = ''): Promise<FoundAlert> {
  const partition = partitionOfAlert(id)
  const [parts] = partition === undefined || partition >= partitions ? [] : await alerts.read(partition, [id])
  if (partition === undefined || parts == null) throw new RequestFault({ kind: 'alert-unknown' })
  return { partition, id, record: assembleAlert(parts) }
}

/** Null when nothing is kept of the key. */
async function readSamples(
  { partitions, gateway }: Store,
  { key, record, isHeld }: { key: string; record: AlertRecord; isHeld: boolean },
) {
  const stored = await gateway.window({ partition: partitionOf(key, partitions), key })
  const window = stored === null ? undefined : decodeWindow(stored)
  return window === undefined ? null : samplesWords(record, window, { isHeld })
}
