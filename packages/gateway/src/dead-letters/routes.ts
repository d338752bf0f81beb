import { type FlatSamples, packFlat, SAMPLE_STRIDE, unpackSamples } from '@tidemark/shared/sample/entry'
import { partitionOf } from '@tidemark/shared/sample/partition'
import {
  compareEntryIds,
  entryTimeMs,
  formatReceipt,
  parseReceipt,
  type Receipt,
} from '@tidemark/shared/sample/receipt'
import { keyFault } from '@tidemark/shared/sample/sample'
import type { DeadLetter, Store } from '@tidemark/shared/store/ports/store'
import type { Context } from 'hono'
import { z } from 'zod'
import type { GatewayConfig } from '../config.ts'
import { outageRetryAfterS, RequestFault } from '../http/problem.ts'
import { integerParameter, readQuery } from '../http/query.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { Services } from '../services.ts'

export const DEAD_LIMIT_DEFAULT = 50
export const DEAD_LIMIT_MAX = 500

/**
 * Putting back is an append and then a removal. Who asks again because the answer was lost between the two finds the append
 * done, for so long.
 */
const PUT_BACK_ONCE_MS = 24 * 3_600_000

export interface DeadOptions {
  readonly config: GatewayConfig
  readonly metrics: GatewayMetrics
  readonly services: () => Services
}

const receiptParameter = z
  .string()
  .transform(parseReceipt)
  .pipe(z.custom<Receipt>(receipt => receipt !== undefined, 'must be the id of a dead entry, as 3:1700000000000-0'))

const pageQuery = z.strictObject({
  /** The last dead entry of the page before. */
  cursor: receiptParameter.optional(),
  limit: integerParameter({ min: 1, max: DEAD_LIMIT_MAX }).default(DEAD_LIMIT_DEFAULT),
})

interface DeadAt {
  readonly partition: number
  readonly entry: DeadLetter
}

/** `GET /dead`: entries that no analyzer could read, or that ended every analyzer that tried; newest first, by page. */
export function createDeadPage({ services }: DeadOptions): (c: Context) => Promise<Response> {
  return async c => {
    const { cursor, limit } = readQuery(c, pageQuery)
    const { store } = services()
    const partitions = Array.from({ length: store.partitions }, (_, partition) => partition)
    const found = await Promise.all(
      partitions.map(async partition => {
        const entries = await store.gateway.deadLetters(partition, { upTo: cursor?.id, count: limit + 1 })
        return entries.map(entry => ({ partition, entry }))
      }),
    )
    const rest = found
      .flat()
      .filter(one => cursor === undefined || isAfter(one, cursor))
      .sort(newestFirst)
    const page = rest.slice(0, limit)
    const last = rest.length > limit ? page.at(-1) : undefined
    return c.json({ dead: page.map(toBody), cursor: last === undefined ? null : receiptOf(last) })
  }
}

/** `POST /dead/{id}/put-back`: its samples are accepted anew, under a new receipt; or 409 when they cannot be. */
export function createPutBack({ config, metrics, services }: DeadOptions): (c: Context) => Promise<Response> {
  return async c => {
    const { store, drainRate } = services()
    const { partition, id } = await deadReceipt(c, store)
    const [entry] = await store.gateway.deadLetters(partition, { upTo: id, count: 1 })
    if (entry?.id !== id) throw new RequestFault({ kind: 'dead-unknown' })
    const samples = readableSamples(entry, { partition, partitions: store.partitions, config })
    const count = samples.length / SAMPLE_STRIDE
    const once = { request: `dead ${formatReceipt({ partition, id })}`, ttlMs: PUT_BACK_ONCE_MS }
    const [outcome] = await store.gateway.append([{ partition, samples: packFlat(samples), count, once }])
    switch (outcome?.kind) {
      case 'stored':
      case 'known':
        await store.gateway.discardDeadLetter(partition, id)
        metrics.deadSettled('put_back')
        return c.json({ accepted: count, receipts: [formatReceipt({ partition, id: outcome.id })] }, 202)
      case 'full': {
        const retryAfterS = drainRate.retryAfterS(partition, outcome.backlog)
        throw new RequestFault({ kind: 'overloaded', reason: 'the backlog of its partition is full', retryAfterS })
      }
      default:
        throw new RequestFault({ kind: 'store-unavailable', retryAfterS: outageRetryAfterS() })
    }
  }
}

/** `POST /dead/{id}/discard`: forgets it for good. */
export function createDiscard({ metrics, services }: DeadOptions): (c: Context) => Promise<Response> {
  return async c => {
    const { store } = services()
    const { partition, id } = await deadReceipt(c, store)
    if (!(await store.gateway.discardDeadLetter(partition, id))) throw new RequestFault({ kind: 'dead-unknown' })
    metrics.deadSettled('discarded')
    return c.json({ discarded: formatReceipt({ partition, id }) })
  }
}

async function deadReceipt(c: Context, store: Store): Promise<Receipt> {
  const result = receiptParameter.safeParse(c.req.param('id'))
  if (!result.success || result.data.partition >= store.partitions) throw new RequestFault({ kind: 'dead-unknown' })
  return result.data
}

/** The samples of a dead entry, if each is one that could have been accepted; else a fault that says why not. */
function readableSamples(
  { samples: text }: DeadLetter,
  { partition, partitions, config }: { partition: number; partitions: number; config: GatewayConfig },
): FlatSamples {
  const unpacked = unpackSamples(text)
  if (unpacked.kind === 'unreadable') throw new RequestFault({ kind: 'dead-unreadable', reason: unpacked.reason })
  const { samples } = unpacked
  if (samples.length === 0) throw new RequestFault({ kind: 'dead-unreadable', reason: 'it has no samples' })
  for (let i = 0; i < samples.length; i += SAMPLE_STRIDE) {
    const key = String(samples[i])
    const fault =
      keyFault(key, config.KEY_BYTES_MAX) ??
      (Math.abs(Number(samples[i + 1])) > config.VALUE_ABS_MAX ? 'has a value that is too large' : undefined) ??
      (partitionOf(key, partitions) === partition ? undefined : 'belongs to another partition')
    if (fault !== undefined) {
      throw new RequestFault({ kind: 'dead-unreadable', reason: `the key of sample ${i / SAMPLE_STRIDE} ${fault}` })
    }
  }
  return samples
}

function toBody(at: DeadAt) {
  const { id, reason, samples } = at.entry
  return { id: receiptOf(at), reason, samples, accepted_at: entryTimeMs(id) }
}

function receiptOf({ partition, entry }: DeadAt): string {
  return formatReceipt({ partition, id: entry.id })
}

/** By id, then by partition, both falling: two partitions can have entries of the same id. */
function newestFirst(a: DeadAt, b: DeadAt): number {
  return compareEntryIds(b.entry.id, a.entry.id) || b.partition - a.partition
}

function isAfter(at: DeadAt, cursor: Receipt): boolean {
  const difference = compareEntryIds(at.entry.id, cursor.id)
  return difference < 0 || (difference === 0 && at.partition < cursor.partition)
}
