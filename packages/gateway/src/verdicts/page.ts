import { z } from '@hono/zod-openapi'
import { oneOf } from '@tidemark/shared/detection/rules/fields'
import { parseJson } from '@tidemark/shared/parsing/issues'
import { LOAD_KEYS } from '@tidemark/shared/sample/load-keys'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Store } from '@tidemark/shared/store/ports/store'
import { type Analysis, parseAnalysis, type State } from '@tidemark/shared/verdict/analysis'
import type { Principal } from '../access/principal.ts'
import { createLimiter, PAGE_LIMITS } from '../http/limiter.ts'
import { mayUse } from '../http/own-keys.ts'
import { optionalInteger, prefixParameter } from '../http/query.ts'
import type { Share } from '../limits/fair-budget.ts'
import type { RoutesOptions } from '../services.ts'

/** Keys that one request reads: a page with a filter can be short and still have a next page. */
const SCANNED_MAX = 20_000

/** The beginning of a scan. */
const SCAN_START = '0'

/**
 * Where the next page begins: the partition, the cursor of the store's scan in it and, if a page
 * ended within one result of the scan, the key after which to continue.
 */
const positionSchema = z
  .tuple([z.int().min(0).max(9999), z.string().regex(/^\d{1,20}$/), z.string().optional()])
  .transform(([partition, scan, after]) => ({ partition, scan, after }))
type Position = z.output<typeof positionSchema>

/** The states of a key's newest analysis: a sample that is not analysed leaves that as it was. */
const KEY_STATES = ['warming', 'flat', 'ok', 'anomalous'] as const satisfies readonly State[]

/** The query parameters of a page. */
export const pageParameters = {
  prefix: prefixParameter.describe('Only keys with this prefix. Not with `key`.'),
  state: oneOf(KEY_STATES).optional().describe('Only keys whose newest analysis has this state. Not with `key`.'),
  cursor: z
    .string()
    .transform(text => parseJson(positionSchema, Buffer.from(text, 'base64url').toString('utf8')))
    .pipe(z.custom<Position>(position => position !== undefined, 'must be the cursor of a page'))
    .describe('`cursor` of the previous page.')
    .optional(),
  limit: optionalInteger({ min: 1, max: 1000, fallback: 100 }).describe('Analyses per page.'),
}

type PageQuery = z.output<z.ZodObject<typeof pageParameters>>

/**
 * Returns a reader of pages of keys and their newest analyses. A corrupt analysis is left out and
 * logged, so that it does not hide the other keys.
 */
export function createAnalysesPage({ log, metrics, services }: Pick<RoutesOptions, 'log' | 'metrics' | 'services'>) {
  const limited = createLimiter({ ...PAGE_LIMITS, limit: 'analysis_pages', metrics })
  return async (query: PageQuery, caller: Principal, share: Share) => {
    const { store } = services()
    const [page, load] = await limited(share, () =>
      Promise.all([readPage(store, query, caller), mayUse(caller, LOAD_KEYS.rps) ? readLoad(store) : null]),
    )
    if (page.corrupt > 0) log.error({ corrupt: page.corrupt }, 'left corrupt stored analyses out of a page')
    const cursor = page.next === undefined ? null : encodeCursor(page.next)
    return { analyses: page.analyses, cursor, analysis: load }
  }
}

/**
 * Fills a page. The store's scan continues from its own cursor, not from a key: so each result is
 * sorted, and a page that fills up within one remembers its last key. While keys are added, a key
 * can occur twice; none is left out. `corrupt` counts the stored analyses that are left out.
 */
async function readPage(store: Store, { prefix, state, limit, cursor }: PageQuery, caller: Principal) {
  const analyses: Analysis[] = []
  let corrupt = 0
  let { partition, scan, after } = cursor ?? { partition: 0, scan: SCAN_START, after: undefined }
  for (let scanned = 0; partition < store.partitions; ) {
    if (scanned >= SCANNED_MAX) return { analyses, next: { partition, scan, after }, corrupt }
    const found = await store.gateway.scanAnalyses(partition, scan)
    scanned += Math.max(1, found.analyses.length)
    const inOrder = [...found.analyses].sort((a, b) => (a.key < b.key ? -1 : 1))
    for (const { key, analysis } of inOrder) {
      if ((after !== undefined && key <= after) || !key.startsWith(prefix) || !mayUse(caller, key)) continue
      const parsed = parseAnalysis(analysis)
      if (parsed === undefined) corrupt++
      if (parsed === undefined || (state !== undefined && parsed.state !== state)) continue
      if (analyses.length === limit) return { analyses, next: { partition, scan, after }, corrupt }
      analyses.push(parsed)
      after = key
    }
    after = undefined
    scan = found.next
    if (scan === SCAN_START) partition++
  }
  return { analyses, next: undefined, corrupt }
}

/** The analysis of `default/rps` in its legacy form: Unix seconds, and numbers are never null. */
async function readLoad(store: Store) {
  const at = { partition: partitionOf(LOAD_KEYS.rps, store.partitions), key: LOAD_KEYS.rps }
  const [json] = await store.gateway.lastAnalyses([at])
  const analysis = json == null ? undefined : parseAnalysis(json)
  if (analysis === undefined) return null
  const { timestamp, mean, z: score, anomaly, window, count } = analysis
  return { timestamp: timestamp / 1000, rps_avg: mean ?? 0, rps_z: score ?? 0, anomaly, window, count }
}

function encodeCursor({ partition, scan, after }: Position): string {
  const content = after === undefined ? [partition, scan] : [partition, scan, after]
  return Buffer.from(JSON.stringify(content)).toString('base64url')
}
