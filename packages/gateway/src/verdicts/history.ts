import { z } from '@hono/zod-openapi'
import { ratesOf } from '@tidemark/shared/detection/detectors/counter'
import { decodeWindow, type WindowContent } from '@tidemark/shared/detection/window-row'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { type EntryId, parseReceipt } from '@tidemark/shared/sample/receipt'
import type { GatewayStore, KeyInPartition } from '@tidemark/shared/store/ports/gateway'
import { type Analysis, parseAnalysis } from '@tidemark/shared/verdict/analysis'
import { analysesIn, countIn } from '@tidemark/shared/verdict/kept-verdicts'
import type { GatewayConfig } from '../config.ts'
import { json, PAGE_PROBLEMS, problem } from '../http/documentation.ts'
import { createLimiter, PAGE_LIMITS } from '../http/limiter.ts'
import { requireKey } from '../http/own-keys.ts'
import { callerOf, exchangeOf } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { keyParameter } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { historySchema } from './schemas.ts'

/**
 * Samples whose verdicts one request looks through. The store keeps those of 20,000 samples of a
 * partition unless it is set otherwise.
 */
const SCANNED_MAX = 20_000

/** Entries that are read at once: few at first, as those of a busy key are among the newest. */
const READ_MIN = 16
const READ_MAX = 256

const EXAMPLE = {
  key: 'edge-17/rps',
  count: 71,
  values: [410, 420],
  timestamps: [1_700_000_000_000, 1_700_000_001_000],
  mean: [409.8, 409.9],
  low: [397.6, 397.7],
  high: [422, 422.1],
  state: ['ok', 'ok'],
}

function historyRoute({ KEY_BYTES_MAX }: GatewayConfig) {
  return createRoute({
    method: 'get',
    path: '/history',
    access: 'read',
    ownKeys: true,
    operationId: 'history',
    summary: "A key's window: the values that its next verdict is based on, and the band at each of them",
    description: 'The band is that of the verdict on each value, as far as verdicts are kept (VERDICTS_KEPT).',
    request: { query: z.strictObject({ key: keyParameter(KEY_BYTES_MAX) }) },
    responses: {
      200: json('The window.', historySchema, { window: EXAMPLE }),
      ...PAGE_PROBLEMS,
      404: problem('No sample of the key has been analysed.', 'key-unknown'),
    },
  })
}

export function serveHistory(router: Router, { config, metrics, services }: RoutesOptions): void {
  const limited = createLimiter({ ...PAGE_LIMITS, limit: 'histories', metrics })
  serve(router, historyRoute(config), async c => {
    const { key } = c.req.valid('query')
    requireKey(callerOf(c), key)
    const { partitions, gateway } = services().store
    const at = { partition: partitionOf(key, partitions), key }
    // As the samples were analysed, which need not be the rule in force now.
    const [stored, [text]] = await Promise.all([gateway.window(at), gateway.lastAnalyses([at])])
    if (stored === null) throw new RequestFault({ kind: 'key-unknown' })
    const window = decodeWindow(stored)
    if (window === undefined) throw new Error(`the stored window of the key ${JSON.stringify(key)} is corrupt`)
    const { count, values, timestamps } = window
    const newest = text == null ? undefined : parseAnalysis(text)
    const { rate, unit } = newest ?? {}
    const analyses = await limited(exchangeOf(c).client.pages, () => analysesOf(gateway, at, { window, newest }))
    return c.json({
      key,
      count,
      values,
      timestamps,
      ...(rate !== undefined && { rates: ratesOf(values, timestamps) }),
      ...(unit !== undefined && { unit }),
      mean: analyses.map(one => one?.mean ?? null),
      low: analyses.map(one => one?.low ?? null),
      high: analyses.map(one => one?.high ?? null),
      state: analyses.map(one => one?.state ?? null),
    })
  })
}

interface Kept {
  readonly window: WindowContent
  /** The newest analysis of the key. */
  readonly newest: Analysis | undefined
}

/** Returns the analysis of each sample in a window, as far as they are kept. */
async function analysesOf(gateway: GatewayStore, at: KeyInPartition, { window, newest }: Kept) {
  const { values, timestamps } = window
  const analyses = values.map((): Analysis | undefined => undefined)
  /** The places of samples that have no analysis yet, those of equal samples newest last. */
  const places = Map.groupBy(values.keys(), i => `${timestamps[i]} ${values[i]}`)
  let missing = values.length
  for await (const analysis of keptAnalyses(gateway, at, newest)) {
    const place = places.get(`${analysis.timestamp} ${analysis.value}`)?.pop()
    if (place === undefined) continue
    analyses[place] = analysis
    if (--missing === 0) break
  }
  return analyses
}

/** The analyses of a key's samples that could enter its window, newest first. */
async function* keptAnalyses(
  gateway: GatewayStore,
  { partition, key }: KeyInPartition,
  newest: Analysis | undefined,
): AsyncGenerator<Analysis> {
  // Of a key that is silent, everything newer is skipped.
  let upTo: EntryId | undefined = newest && parseReceipt(newest.id)?.id
  const written = JSON.stringify(key)
  let isFirst = newest !== undefined
  let previous: EntryId | undefined
  let scanned = 0
  for (let count = READ_MIN; scanned < SCANNED_MAX; count = Math.min(READ_MAX, 2 * count)) {
    const found = await gateway.keptVerdicts(partition, { upTo, count })
    for (const verdicts of found) {
      if (verdicts.id === previous) continue
      scanned += countIn(verdicts)
      if (!verdicts.samples.includes(written)) continue
      for (const analysis of analysesIn(verdicts, partition).reverse()) {
        if (analysis.key !== key || analysis.state === 'refused' || analysis.state === 'ignored') continue
        isFirst = false
        yield analysis
      }
    }
    // The verdict on the newest sample is kept even where no others are.
    if (isFirst && newest !== undefined) yield newest
    isFirst = false
    if (found.length < count) return
    previous = upTo = found.at(-1)?.id
  }
}
