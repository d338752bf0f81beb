import { z } from '@hono/zod-openapi'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { entryTimeMs, formatReceipt, newestFirst, parseReceipt, type Receipt } from '@tidemark/shared/sample/receipt'
import type { StoredAnomaly } from '@tidemark/shared/store/ports/gateway'
import type { Store } from '@tidemark/shared/store/ports/store'
import { type Analysis, parseAnalysis } from '@tidemark/shared/verdict/analysis'
import type { Principal } from '../access/principal.ts'
import type { GatewayConfig } from '../config.ts'
import { json, PAGE_PROBLEMS } from '../http/documentation.ts'
import { createLimiter, PAGE_LIMITS } from '../http/limiter.ts'
import { mayUse, requireKey } from '../http/own-keys.ts'
import { callerOf, exchangeOf } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { keyParameter, optionalInteger, prefixParameter, timeParameter } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { anomaliesPageSchema } from './schemas.ts'

/** Anomalies that one request reads: a page with filters can be short and have a next page. */
const SCANNED_MAX = 5000

/** Anomalies of one partition that are read at once, at the most. */
const READ_MAX = 200

/** The clock of Redis, which dates anomalies, may differ so much from that of a gateway. */
const CLOCKS_DIFFER_MS = 60_000

const pageQuery = ({ KEY_BYTES_MAX }: GatewayConfig) =>
  z.strictObject({
    key: keyParameter(KEY_BYTES_MAX).optional().describe('Only anomalies of this key.'),
    prefix: prefixParameter.describe('Only anomalies of keys with this prefix. Not with `key`.'),
    from: timeParameter('Only samples with this timestamp or a later one.'),
    to: timeParameter('Only samples with this timestamp or an earlier one.'),
    /** The last anomaly that the previous page read. */
    cursor: z
      .string()
      .transform(parseReceipt)
      .pipe(z.custom<Receipt>(receipt => receipt !== undefined, 'must be the cursor of a page'))
      .describe('`cursor` of the previous page.')
      .optional(),
    limit: optionalInteger({ min: 1, max: 500, fallback: 50 }).describe('Anomalies per page.'),
  })

type PageQuery = z.output<ReturnType<typeof pageQuery>>

function anomaliesRoute(config: GatewayConfig) {
  return createRoute({
    method: 'get',
    path: '/anomalies',
    access: 'read',
    ownKeys: true,
    operationId: 'anomalies',
    summary: 'Anomalies, newest first',
    description:
      'In the order in which they were found, the last one first. Only the newest of each partition are kept (ANOMALIES_KEPT).',
    request: { query: pageQuery(config) },
    responses: { 200: json('A page.', anomaliesPageSchema), ...PAGE_PROBLEMS },
  })
}

export function serveAnomalies(router: Router, { config, log, metrics, services }: RoutesOptions): void {
  const limited = createLimiter({ ...PAGE_LIMITS, limit: 'anomaly_pages', metrics })
  serve(router, anomaliesRoute(config), async c => {
    const query = c.req.valid('query')
    const caller = callerOf(c)
    const { store } = services()
    if (query.key !== undefined) requireKey(caller, query.key)
    checkQuery(query, store)
    const page = await limited(exchangeOf(c).client.pages, () => readPage(store, query, caller, config))
    if (page.corrupt > 0) log.error({ corrupt: page.corrupt }, 'left corrupt stored analyses out of a page')
    return c.json({ anomalies: page.anomalies, cursor: page.next === undefined ? null : formatReceipt(page.next) })
  })
}

function checkQuery({ key, prefix, from, to, cursor }: PageQuery, { partitions }: Store): void {
  const fault = (parameter: string, detail: string) =>
    new RequestFault({ kind: 'parameters-invalid', errors: [{ parameter, detail }] })
  if (key !== undefined && prefix !== '') throw fault('prefix', 'cannot be combined with key')
  if (from !== undefined && to !== undefined && from > to) throw fault('to', 'must not be before from')
  if (cursor !== undefined && cursor.partition >= partitions) throw fault('cursor', 'must be the cursor of a page')
}

/** Fills a page. `corrupt` counts the stored analyses that are left out. */
async function readPage(store: Store, query: PageQuery, caller: Principal, { FUTURE_MAX_MS }: GatewayConfig) {
  const { key, prefix, from = 0, to = Number.POSITIVE_INFINITY, limit } = query
  const partitions = key === undefined ? undefined : [partitionOf(key, store.partitions)]
  const hasFilters = key !== undefined || prefix !== '' || caller.keyPrefix !== '' || to < Number.POSITIVE_INFINITY
  // No sample is accepted so long before its timestamp, and it is analysed after that.
  const oldest = from - FUTURE_MAX_MS - CLOCKS_DIFFER_MS
  const anomalies: Analysis[] = []
  let corrupt = 0
  let scanned = 0
  let next = query.cursor
  const count = hasFilters ? READ_MAX : Math.min(READ_MAX, Math.ceil((2 * (limit + 1)) / store.partitions) + 1)
  for await (const found of allNewestFirst(store, { partitions, after: query.cursor, count })) {
    if (entryTimeMs(found.id) < oldest) return { anomalies, corrupt, next: undefined }
    if (anomalies.length === limit || scanned++ === SCANNED_MAX) return { anomalies, corrupt, next }
    next = found
    const analysis = parseAnalysis(found.analysis)
    if (analysis === undefined) corrupt++
    else if (
      (key ?? analysis.key) === analysis.key &&
      analysis.key.startsWith(prefix) &&
      mayUse(caller, analysis.key) &&
      analysis.timestamp >= from &&
      analysis.timestamp <= to
    ) {
      anomalies.push(analysis)
    }
  }
  return { anomalies, corrupt, next: undefined }
}

interface Merge {
  /** All of them if undefined. */
  readonly partitions: readonly number[] | undefined
  /** Begins after this one. */
  readonly after: Receipt | undefined
  /** How many of a partition are read at once. */
  readonly count: number
}

type Found = StoredAnomaly & Receipt

/** Merges the anomalies of partitions, newest first. Reads no more of each than is consumed. */
async function* allNewestFirst(
  { partitions: all, gateway }: Store,
  { partitions = Array.from({ length: all }, (_, partition) => partition), after, count }: Merge,
): AsyncGenerator<Found> {
  const read = async (partition: number, upTo: string | undefined): Promise<Found[]> =>
    (await gateway.anomalies(partition, { upTo, count })).map(found => ({ ...found, partition }))
  const buffers = await Promise.all(
    partitions.map(async partition => {
      const found = await read(partition, after?.id)
      const rest = found.filter(one => after === undefined || newestFirst(one, after) > 0)
      return { partition, rest, isEnd: found.length < count, last: found.at(-1)?.id }
    }),
  )
  for (;;) {
    for (const buffer of buffers) {
      while (buffer.rest.length === 0 && !buffer.isEnd) {
        const found = await read(buffer.partition, buffer.last)
        buffer.rest = found.filter(({ id }) => id !== buffer.last)
        buffer.isEnd = found.length < count
        buffer.last = found.at(-1)?.id
      }
    }
    const [newest] = buffers.flatMap(({ rest }) => rest.slice(0, 1)).sort(newestFirst)
    if (newest === undefined) return
    buffers.find(({ rest }) => rest[0] === newest)?.rest.shift()
    yield newest
  }
}
