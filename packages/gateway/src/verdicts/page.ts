import { z } from '@hono/zod-openapi'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Analysis, State } from '@tidemark/shared/verdict/analysis'
import type { Logger } from 'pino'
import { createLimiter, PAGE_LIMITS } from '../http/limiter.ts'
import { optionalInteger } from '../http/query.ts'
import { LOAD_KEYS } from '../ingest/formats/load-report.ts'
import { KEY_STATES, readAnalysis } from './stored-analysis.ts'

/**
 * Keys that one request reads. With a filter that few keys pass, the page is short and has a cursor
 * to continue from.
 */
const SCANNED_MAX = 20_000

/** The beginning of a scan. */
const SCAN_START = '0'

/**
 * Where the next page begins: the partition, the cursor of the store's scan in it and, if a page
 * ended within one result of the scan, the key after which to continue.
 */
interface Position {
  readonly partition: number
  readonly scan: string
  readonly after: string | undefined
}

/** The query parameters of a page. */
export const pageParameters = {
  prefix: z
    .string()
    .max(1024, 'must be at most 1024 characters')
    .default('')
    .describe('Only keys with this prefix. Not with `key`.'),
  state: z
    .enum(KEY_STATES, `must be one of ${KEY_STATES.join(', ')}`)
    .optional()
    .describe('Only keys whose newest analysis has this state. Not with `key`.'),
  cursor: z
    .string()
    .transform(decodeCursor)
    .pipe(z.custom<Position>(position => position !== undefined, 'must be the cursor of a page'))
    .describe('`cursor` of the previous page.')
    .optional(),
  limit: optionalInteger({ min: 1, max: 1000, fallback: 100 }).describe('Analyses per page.'),
}

interface PageQuery {
  readonly prefix: string
  readonly state?: State | undefined
  readonly cursor?: Position | undefined
  readonly limit: number
}

interface Page {
  readonly analyses: readonly Analysis[]
  readonly next: Position | undefined
  /** Stored analyses that are corrupt and were left out. */
  readonly corrupt: number
}

export interface PageOptions {
  readonly log: Logger
  readonly services: () => { readonly store: Store }
}

/**
 * `GET /analyze` without a key: keys and their newest analyses, page by page. A corrupt analysis is
 * left out and logged, so that it does not hide the other keys.
 */
export function createAnalysesPage({ log, services }: PageOptions) {
  const limited = createLimiter(PAGE_LIMITS)
  return async (query: PageQuery) => {
    const { store } = services()
    const [page, load] = await limited(() => Promise.all([readPage(store, query), readLoad(store)]))
    if (page.corrupt > 0) log.error({ corrupt: page.corrupt }, 'left corrupt stored analyses out of a page')
    return {
      analyses: page.analyses,
      cursor: page.next === undefined ? null : encodeCursor(page.next),
      analysis: load,
    }
  }
}

/**
 * Fills a page. The store's scan continues from a cursor of its own, not from a key. So each result
 * of it is sorted, and a page that fills up within one remembers its last key. A key can occur
 * twice if many are added meanwhile; none is left out.
 */
async function readPage(store: Store, { prefix, state, limit, cursor }: PageQuery): Promise<Page> {
  const analyses: Analysis[] = []
  let corrupt = 0
  let { partition, scan, after } = cursor ?? { partition: 0, scan: SCAN_START, after: undefined }
  for (let scanned = 0; partition < store.partitions; ) {
    if (scanned >= SCANNED_MAX) return { analyses, next: { partition, scan, after }, corrupt }
    const found = await store.gateway.scanAnalyses(partition, scan)
    scanned += Math.max(1, found.analyses.length)
    const inOrder = [...found.analyses].sort((a, b) => (a.key < b.key ? -1 : 1))
    for (const { key, analysis } of inOrder) {
      if ((after !== undefined && key <= after) || !key.startsWith(prefix)) continue
      const parsed = readAnalysis(analysis)
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

/**
 * The analysis of `default/rps` in its legacy form: timestamps are Unix seconds, and numbers are
 * never null.
 */
async function readLoad(store: Store) {
  const at = { partition: partitionOf(LOAD_KEYS.rps, store.partitions), key: LOAD_KEYS.rps }
  const [json] = await store.gateway.lastAnalyses([at])
  const analysis = json == null ? undefined : readAnalysis(json)
  if (analysis === undefined) return null
  const { timestamp, mean, z: score, anomaly, window, count } = analysis
  return { timestamp: timestamp / 1000, rps_avg: mean ?? 0, rps_z: score ?? 0, anomaly, window, count }
}

function encodeCursor({ partition, scan, after }: Position): string {
  return Buffer.from(JSON.stringify(after === undefined ? [partition, scan] : [partition, scan, after])).toString(
    'base64url',
  )
}

const cursorContent = z.tuple([z.int().min(0).max(9999), z.string().regex(/^\d{1,20}$/), z.string().optional()])

function decodeCursor(text: string): Position | undefined {
  let content: unknown
  try {
    content = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
  const result = cursorContent.safeParse(content)
  if (!result.success) return undefined
  const [partition, scan, after] = result.data
  return { partition, scan, after }
}
