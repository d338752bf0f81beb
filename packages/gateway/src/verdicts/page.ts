import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Analysis, State } from '@tidemark/shared/verdict/analysis'
import type { Context } from 'hono'
import { z } from 'zod'
import { createTurns, PAGE_TURNS } from '../http/limiter.ts'
import { integerParameter, readQuery } from '../http/query.ts'
import { LOAD_KEYS } from '../ingest/formats/load-report.ts'
import type { Services } from '../services.ts'

export const LIMIT_DEFAULT = 100
export const LIMIT_MAX = 1000

/** Keys that one request looks at. A filter that few keys pass then gives a short page, and a cursor to go on with. */
const SCANNED_MAX = 20_000

export const STATES = ['warming', 'flat', 'ok', 'anomalous'] as const satisfies readonly State[]

/** The beginning of a scan. */
const SCAN_START = '0'

/**
 * Where the next page begins: in which partition, at which place of the store's scan and, where a page ended within what
 * the store gives at once, after which key.
 */
interface Position {
  readonly partition: number
  readonly scan: string
  readonly after: string | undefined
}

const pageQuery = z.strictObject({
  prefix: z.string().max(1024, 'must be at most 1024 characters').default(''),
  state: z.enum(STATES, `must be one of ${STATES.join(', ')}`).optional(),
  cursor: z
    .string()
    .transform(decodeCursor)
    .pipe(z.custom<Position>(position => position !== undefined, 'must be the cursor of a page'))
    .optional(),
  limit: integerParameter({ min: 1, max: LIMIT_MAX }).default(LIMIT_DEFAULT),
})

interface PageWanted {
  readonly prefix: string
  readonly state: State | undefined
  readonly limit: number
  readonly from: Position
}

interface Page {
  readonly analyses: readonly Analysis[]
  readonly next: Position | undefined
}

/** `GET /analyze` without a key: keys and their newest analyses, page by page. */
export function createAnalysesPage({
  services,
}: {
  readonly services: () => Services
}): (c: Context) => Promise<Response> {
  const inTurn = createTurns(PAGE_TURNS)
  return async c => {
    const { prefix, state, cursor, limit } = readQuery(c, pageQuery)
    const { store } = services()
    const from = cursor ?? { partition: 0, scan: SCAN_START, after: undefined }
    const [page, load] = await inTurn(() =>
      Promise.all([readPage(store, { prefix, state, limit, from }), readLoad(store)]),
    )
    const next = page.next === undefined ? null : encodeCursor(page.next)
    return c.json({ analyses: page.analyses, cursor: next, analysis: load })
  }
}

/**
 * Fills a page. The store's scan goes on from a place, not from a key, so what it gives at once is put in order and a page
 * that is full within it remembers the last key. A key may come twice when many new ones appear meanwhile; none is left out.
 */
async function readPage(store: Store, { prefix, state, limit, from }: PageWanted): Promise<Page> {
  const analyses: Analysis[] = []
  let { partition, scan, after } = from
  for (let scanned = 0; partition < store.partitions; ) {
    if (scanned >= SCANNED_MAX) return { analyses, next: { partition, scan, after } }
    const found = await store.gateway.scanAnalyses(partition, scan)
    scanned += Math.max(1, found.analyses.length)
    const inOrder = [...found.analyses].sort((a, b) => (a.key < b.key ? -1 : 1))
    for (const { key, analysis } of inOrder) {
      if ((after !== undefined && key <= after) || !key.startsWith(prefix)) continue
      const parsed = JSON.parse(analysis) as Analysis
      if (state !== undefined && parsed.state !== state) continue
      if (analyses.length === limit) return { analyses, next: { partition, scan, after } }
      analyses.push(parsed)
      after = key
    }
    after = undefined
    scan = found.next
    if (scan === SCAN_START) partition++
  }
  return { analyses, next: undefined }
}

/** The replaced service's answer: of the one series that it had. Its timestamps are Unix seconds, and it knew no null. */
async function readLoad(store: Store): Promise<Record<string, unknown> | null> {
  const at = { partition: partitionOf(LOAD_KEYS.rps, store.partitions), key: LOAD_KEYS.rps }
  const [json] = await store.gateway.lastAnalyses([at])
  if (json == null) return null
  const { timestamp, mean, z: score, anomaly, window, count } = JSON.parse(json) as Analysis
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

/** Whether a request asks for one key or for a page of them. */
export function asksForKey(c: Context): boolean {
  return c.req.query('key') !== undefined || c.req.query('after') !== undefined || c.req.query('wait') !== undefined
}
