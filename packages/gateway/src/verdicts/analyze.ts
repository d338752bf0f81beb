import { z } from '@hono/zod-openapi'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { parseReceipt, type Receipt } from '@tidemark/shared/sample/receipt'
import { toAnalysis, VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { analysesIn, analysisIn, type EntryVerdicts } from '@tidemark/shared/verdict/kept-verdicts'
import type { Context } from 'hono'
import type { GatewayConfig } from '../config.ts'
import { clientGone } from '../http/client-gone.ts'
import { json, outage, PROBLEMS, problem } from '../http/documentation.ts'
import { mayUse, requireKey } from '../http/own-keys.ts'
import { callerOf, exchangeOf } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { keyParameter, optionalInteger } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import type { Share } from '../limits/fair-budget.ts'
import type { RoutesOptions, Services, WaitOutcome } from '../services.ts'
import { createAnalysesPage, pageParameters } from './page.ts'
import { analysisSchema, entryAnalysesSchema, pageSchema } from './schemas.ts'

/** How long `after` waits if `wait` does not say. */
const WAIT_DEFAULT_MS = 1000

const JSON_TYPE = { 'Content-Type': 'application/json' } as const

const ANALYSIS = toAnalysis(
  {
    key: 'edge-17/rps',
    value: 420,
    timestamp: 1.7e12,
    mean: 400,
    deviation: 8,
    meanRest: 0,
    count: 1342,
    window: 50,
    judged: null,
  },
  { partition: 3, id: '1700000000012-0', analyzedAt: 1_700_000_000_015, ...VERDICT_DEFAULTS },
)
const LOAD = { timestamp: 1.7e9, rps_avg: 400, rps_z: 2.5, anomaly: true, window: 50, count: 1342 }

function analyzeRoute({ KEY_BYTES_MAX, ANALYZE_WAIT_MAX_MS: waitMaxMs }: GatewayConfig) {
  return createRoute({
    method: 'get',
    path: '/analyze',
    access: 'read',
    ownKeys: true,
    operationId: 'analyze',
    summary: "A key's newest analysis, the verdict on one sample, or a page of keys",
    description:
      'With `key`: its newest analysis. With `key` and `after` (a receipt): the verdict on exactly that sample, once it is ' +
      'analysed, or the newest analysis if the verdict is no longer kept. With `after` alone: the verdicts on all samples of ' +
      'the entry. With neither: a page of keys.',
    request: {
      query: z.strictObject({
        key: keyParameter(KEY_BYTES_MAX).optional(),
        after: z
          .string()
          .transform(parseReceipt)
          .pipe(z.custom<Receipt>(receipt => receipt !== undefined, 'must be a receipt, as 3:1700000000000-0'))
          .openapi({ description: 'A receipt.', pattern: '^\\d{1,4}:\\d{1,16}-\\d{1,16}$' })
          .optional(),
        wait: optionalInteger({ min: 0, max: waitMaxMs, fallback: Math.min(WAIT_DEFAULT_MS, waitMaxMs) }).describe(
          'Milliseconds to wait for the verdict. Only with `after`.',
        ),
        ...pageParameters,
      }),
    },
    responses: {
      200: json(
        'An analysis, the analyses of an entry, or a page of analyses.',
        z.union([analysisSchema, entryAnalysesSchema, pageSchema]).openapi({}, { unionPreferredType: 'oneOf' }),
        { key: ANALYSIS, page: { analyses: [ANALYSIS], cursor: null, analysis: LOAD } },
      ),
      ...PROBLEMS,
      404: problem(
        'No sample of the key has been analysed, the entry of the receipt has none of that key, or its verdicts are no ' +
          'longer kept.',
        'key-unknown',
        'receipt-without-key',
        'verdicts-gone',
      ),
      503: outage(
        'The store is unavailable, the sample was not analysed within the wait, or a concurrency limit is reached.',
        'store-unavailable',
        'not-analysed-yet',
        'overloaded',
      ),
    },
  })
}

export function serveAnalyze(router: Router, options: RoutesOptions): void {
  const { config, services } = options
  const readPage = createAnalysesPage(options)
  serve(router, analyzeRoute(config), async c => {
    const { key, after, wait: waitMs, ...page } = c.req.valid('query')
    const caller = callerOf(c)
    if (!requestsVerdict(c)) return c.json(await readPage(page, caller, exchangeOf(c).client.pages))
    if (key !== undefined) requireKey(caller, key)
    const live = services()
    const wait = { waitMs, share: exchangeOf(c).client.waiters, gone: clientGone(c) }
    if (key !== undefined) return c.body(await analysisOf(live, key, after, wait), 200, JSON_TYPE)
    if (after === undefined) throw invalid('key', 'is missing')
    if (after.partition >= live.store.partitions) {
      throw invalid('after', `is of partition ${after.partition}, and there are ${live.store.partitions}`)
    }
    const verdicts = await verdictsOf(live, after, wait)
    if (verdicts === null) throw new RequestFault({ kind: 'verdicts-gone' })
    const analyses = analysesIn(verdicts, after.partition)
    const own = analyses.filter(({ key }) => mayUse(caller, key))
    // An entry can have samples of several clients. One without any of the caller's is not there.
    if (own.length === 0 && analyses.length > 0) throw new RequestFault({ kind: 'verdicts-gone' })
    return c.json({ analyses: own })
  })
}

/** Whether a request is for one key or entry, not for a page. It cannot be for both. */
function requestsVerdict(c: Context): boolean {
  const given = c.req.query()
  const [verdict] = ['key', 'after', 'wait'].filter(name => Object.hasOwn(given, name))
  if (verdict === undefined) return false
  const [page] = Object.keys(pageParameters).filter(name => Object.hasOwn(given, name))
  if (page !== undefined) throw invalid(page, `cannot be combined with ${verdict}`)
  return true
}

interface Wait {
  readonly waitMs: number
  readonly share: Share
  /** Aborts when the client waits no longer. */
  readonly gone: AbortSignal | undefined
}

/** One analysis of a key, as JSON. */
async function analysisOf(live: Services, key: string, after: Receipt | undefined, wait: Wait): Promise<string> {
  const { store } = live
  const partition = partitionOf(key, store.partitions)
  if (after !== undefined) {
    if (after.partition !== partition) {
      throw invalid('after', `is of partition ${after.partition}, and the key is in partition ${partition}`)
    }
    const verdicts = await verdictsOf(live, after, wait)
    const analysis = verdicts === null ? undefined : analysisIn(verdicts, partition, key)
    if (analysis !== undefined) return JSON.stringify(analysis)
    if (verdicts !== null) throw new RequestFault({ kind: 'receipt-without-key' })
    // The verdict is no longer kept. The newest analysis has the `id` of another sample's entry.
  }
  const [newest] = await store.gateway.lastAnalyses([{ partition, key }])
  if (newest == null) throw new RequestFault({ kind: 'key-unknown' })
  return newest
}

/** The verdicts on the receipt's entry once it is analysed; null if they are no longer kept. */
async function verdictsOf(live: Services, after: Receipt, wait: Wait): Promise<EntryVerdicts | null> {
  const outcome = await waitFor(live, after, wait)
  switch (outcome.kind) {
    case 'rejected':
      throw new RequestFault({ kind: 'overloaded', reason: 'too many requests wait for a verdict', retryAfterS: 1 })
    case 'ended':
      throw new RequestFault({
        kind: 'overloaded',
        reason: 'the wait ended early: the gateway is stopping, or the client closed its side of the connection',
      })
    case 'failed':
      throw outcome.error
    case 'timed-out':
      throw new RequestFault({ kind: 'not-analysed-yet', backlog: outcome.backlog })
    case 'reached':
      return live.store.gateway.verdicts(after.partition, after.id)
  }
}

/** Waits for the receipt's entry. Throws a RequestFault if no entry of the partition has its id. */
async function waitFor(
  { store, watcher }: Services,
  after: Receipt,
  { waitMs, share, gone }: Wait,
): Promise<WaitOutcome> {
  const first = await watcher.wait(after, 0, share, gone)
  if (first.kind !== 'timed-out') return first
  if (await store.gateway.hasEntryFrom(after.partition, after.id)) {
    return waitMs === 0 ? first : watcher.wait(after, waitMs, share, gone)
  }
  // It may have been analysed and trimmed since the first look.
  const second = await watcher.wait(after, 0, share, gone)
  if (second.kind !== 'timed-out') return second
  throw invalid('after', 'is later than every entry of its partition: POST /ingest returned no such receipt')
}

function invalid(parameter: string, detail: string): RequestFault {
  return new RequestFault({ kind: 'parameters-invalid', errors: [{ parameter, detail }] })
}
