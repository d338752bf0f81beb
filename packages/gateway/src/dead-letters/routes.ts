import { z } from '@hono/zod-openapi'
import { type FlatSamples, packItems, SAMPLE_STRIDE, unpackSamples } from '@tidemark/shared/sample/entry'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { entryTimeMs, formatReceipt } from '@tidemark/shared/sample/receipt'
import { keyFault } from '@tidemark/shared/sample/sample'
import type { DeadLetter } from '@tidemark/shared/store/ports/commit'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { GatewayConfig } from '../config.ts'
import { COMMON_PROBLEMS, cursorMember, json, outage, PROBLEMS, problem, timeMember } from '../http/documentation.ts'
import { exchangeOf, noteChange } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { createRoute, createRouter, type Router, serve } from '../http/router.ts'
import { explain } from '../ingest/settle.ts'
import type { Share } from '../limits/fair-budget.ts'
import type { RoutesOptions } from '../services.ts'
import { LETTER_ID, LETTER_UNKNOWN, pageQuery, readPage, receiptOfId } from './letters.ts'
import { serveDeadNotifications } from './notifications.ts'

/**
 * A redrive appends the samples, then removes the dead letter. A retry after a failure between the
 * two finds the append done, for this long.
 */
const REDRIVE_MARK_TTL_MS = 24 * 3_600_000

export const deadPageSchema = z
  .strictObject({
    dead: z.array(
      z.strictObject({
        id: z.string().openapi({ description: 'The receipt of the entry.', examples: ['3:1700000000000-0'] }),
        reason: z.string().openapi({ examples: ['its field "s" is not JSON'] }),
        samples: z
          .string()
          .describe('The samples as far as they could be read: a flat JSON array, unless they are corrupt.'),
        accepted_at: timeMember,
      }),
    ),
    cursor: cursorMember,
  })
  .openapi('DeadPage')

const pageRoute = createRoute({
  method: 'get',
  path: '/dead',
  access: 'read',
  operationId: 'dead',
  summary: 'Dead letters: entries that were unreadable or crashed every analyzer that tried them; newest first',
  request: { query: pageQuery },
  responses: { 200: json('A page.', deadPageSchema), ...PROBLEMS },
})

const redriveRoute = createRoute({
  method: 'post',
  path: '/dead/{id}/put-back',
  access: 'operate',
  operationId: 'putBackDead',
  summary: 'Redrives a dead letter: stores its samples again for analysis',
  request: { params: LETTER_ID },
  responses: {
    202: json('Stored, with a new receipt.', z.strictObject({ accepted: z.int(), receipts: z.array(z.string()) }), {
      redriven: { accepted: 12, receipts: ['3:1700000000012-0'] },
    }),
    ...COMMON_PROBLEMS,
    ...LETTER_UNKNOWN,
    409: problem('It is unreadable, so it can only be discarded.', 'dead-unreadable'),
    503: outage(
      'The store is unavailable or its memory full, the backlog of the partition is full, or too many samples wait.',
      'store-unavailable',
      'overloaded',
    ),
  },
})

const discardRoute = createRoute({
  method: 'post',
  path: '/dead/{id}/discard',
  access: 'operate',
  operationId: 'discardDeadLetter',
  summary: 'Deletes a dead letter',
  request: { params: LETTER_ID },
  responses: {
    200: json('Deleted.', z.strictObject({ discarded: z.string() }), { discarded: { discarded: '3:1700000000000-0' } }),
    ...COMMON_PROBLEMS,
    ...LETTER_UNKNOWN,
  },
})

/** `GET /dead`, `POST /dead/{id}/put-back` and `/discard`, and the same for notifications. */
export function deadLettersRoutes(options: RoutesOptions): Router {
  const { metrics, services } = options
  const router = createRouter('Operations')
  serveDeadNotifications(router, options)

  serve(router, pageRoute, async c => {
    const { store } = services()
    return c.json(await readEntries(store, c.req.valid('query')))
  })

  serve(router, redriveRoute, async c => {
    const { accepted, receipt } = await redrive(options, c.req.valid('param').id, exchangeOf(c).client.queue)
    metrics.deadSettled('put_back')
    noteChange(c, { after: { accepted, receipt: formatReceipt(receipt) } })
    return c.json({ accepted, receipts: [formatReceipt(receipt)] }, 202)
  })

  serve(router, discardRoute, async c => {
    const { store } = services()
    const { partition, id } = receiptOfId(store, c.req.valid('param').id)
    if (!(await store.gateway.discardDeadLetter(partition, id))) throw new RequestFault({ kind: 'dead-unknown' })
    metrics.deadSettled('discarded')
    return c.json({ discarded: formatReceipt({ partition, id }) })
  })

  return router
}

async function readEntries(store: Store, query: z.output<typeof pageQuery>) {
  const { letters, cursor } = await readPage(store, query, (partition, range) =>
    store.gateway.deadLetters(partition, range),
  )
  const dead = letters.map(({ partition, id, reason, samples }) => {
    return { id: formatReceipt({ partition, id }), reason, samples, accepted_at: entryTimeMs(id) }
  })
  return { dead, cursor }
}

/**
 * Stores the samples of a dead letter again, like those of a request. Throws a RequestFault if that
 * is impossible.
 */
async function redrive({ config, metrics, services }: RoutesOptions, deadId: string, share: Share) {
  const { store, batcher, drainRate } = services()
  const { partition, id } = receiptOfId(store, deadId)
  const [entry] = await store.gateway.deadLetters(partition, { upTo: id, count: 1 })
  if (entry?.id !== id) throw new RequestFault({ kind: 'dead-unknown' })
  const flat = readableSamples(entry, { partition, partitions: store.partitions, config })
  const accepted = flat.length / SAMPLE_STRIDE
  const once = { request: `dead ${formatReceipt({ partition, id })}`, ttlMs: REDRIVE_MARK_TTL_MS }
  const [outcome] = await batcher.submit([{ partition, samples: packItems(flat), count: accepted, once }], share)
  if (outcome?.kind === 'stored' || outcome?.kind === 'known') {
    if (outcome.kind === 'stored') metrics.accepted(accepted)
    else metrics.repeated(accepted)
    await store.gateway.discardDeadLetter(partition, id)
    return { accepted, receipt: { partition, id: outcome.id } }
  }
  if (outcome === undefined || outcome.kind === 'crashed') throw new RequestFault({ kind: 'internal' })
  const [reason, problem, retryAfterS] = explain(outcome, partition, drainRate)
  metrics.rejected(reason, accepted)
  if (outcome.kind === 'failed') throw new RequestFault({ kind: 'store-unavailable', cause: outcome.error })
  throw new RequestFault({ kind: 'overloaded', reason: problem, retryAfterS })
}

/** Returns a dead letter's samples. Throws a RequestFault that says why one is not acceptable. */
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
