import { partitionOf } from '@tidemark/shared/sample/partition'
import { parseReceipt, type Receipt } from '@tidemark/shared/sample/receipt'
import { analysesIn, analysisIn, type EntryVerdicts } from '@tidemark/shared/verdict/kept-verdicts'
import type { Context } from 'hono'
import { z } from 'zod'
import type { GatewayConfig } from '../config.ts'
import { RequestFault } from '../http/problem.ts'
import { integerParameter, keyParameter, readQuery } from '../http/query.ts'
import type { Services } from '../services.ts'

/** How long `after` waits when `wait` does not say. */
export const WAIT_DEFAULT_MS = 1000

const JSON_TYPE = { 'Content-Type': 'application/json' } as const

export interface AnalyzeOptions {
  readonly config: GatewayConfig
  readonly services: () => Services
}

export function analyzeQuery(config: GatewayConfig) {
  return z.strictObject({
    key: keyParameter(config.KEY_BYTES_MAX).optional(),
    after: z
      .string()
      .transform(parseReceipt)
      .pipe(z.custom<Receipt>(receipt => receipt !== undefined, 'must be a receipt, as 3:1700000000000-0'))
      .optional(),
    wait: integerParameter({ min: 0, max: config.ANALYZE_WAIT_MAX_MS }).optional(),
  })
}

/**
 * `GET /analyze?key=`: the key's newest analysis; with `after`, the one of the sample that the receipt stands for. With
 * `after` alone: the analyses of all samples of the receipt's entry, those of other requests that share it among them.
 */
export function createAnalyze({ config, services }: AnalyzeOptions): (c: Context) => Promise<Response> {
  const query = analyzeQuery(config)
  return async c => {
    const { key, after, wait: waitMs = Math.min(WAIT_DEFAULT_MS, config.ANALYZE_WAIT_MAX_MS) } = readQuery(c, query)
    const live = services()
    if (key !== undefined) return c.body(await analysisOf(live, { key, after, waitMs }), 200, JSON_TYPE)
    if (after === undefined) throw invalid('key', 'is missing')
    if (after.partition >= live.store.partitions)
      throw invalid('after', `is of partition ${after.partition}, and there are ${live.store.partitions}`)
    const verdicts = await verdictsOf(live, { after, waitMs })
    if (verdicts === null) throw new RequestFault({ kind: 'verdicts-gone' })
    return c.json({ analyses: analysesIn(verdicts, after.partition) })
  }
}

/** One analysis of a key, as JSON. */
async function analysisOf(
  live: Services,
  { key, after, waitMs }: { key: string; after: Receipt | undefined; waitMs: number },
): Promise<string> {
  const { store } = live
  const partition = partitionOf(key, store.partitions)
  if (after !== undefined) {
    if (after.partition !== partition) {
      throw invalid(
        'after',
        `is of partition ${after.partition}, and samples of this key are in partition ${partition}`,
      )
    }
    const verdicts = await verdictsOf(live, { after, waitMs })
    const analysis = verdicts === null ? undefined : analysisIn(verdicts, partition, key)
    if (analysis !== undefined) return JSON.stringify(analysis)
    if (verdicts !== null) throw new RequestFault({ kind: 'receipt-without-key' })
    // The verdict is not kept any more; the newest analysis tells by its id that it is another sample's.
  }
  const [newest] = await store.gateway.lastAnalyses([{ partition, key }])
  if (newest == null) throw new RequestFault({ kind: 'key-unknown' })
  return newest
}

/** The verdicts on the receipt's entry once it is analysed; null when they are not kept any more. */
async function verdictsOf(
  { store, watcher }: Services,
  { after, waitMs }: { after: Receipt; waitMs: number },
): Promise<EntryVerdicts | null> {
  const outcome = await watcher.wait(after, waitMs)
  switch (outcome.kind) {
    case 'turned-away':
      throw new RequestFault({ kind: 'overloaded', reason: 'too many requests wait for a verdict', retryAfterS: 1 })
    case 'failed':
      throw outcome.error
    case 'timed-out':
      throw new RequestFault({ kind: 'not-analysed-yet', backlog: outcome.backlog })
    case 'reached':
      return store.gateway.verdicts(after.partition, after.id)
  }
}

function invalid(parameter: string, detail: string): RequestFault {
  return new RequestFault({ kind: 'parameters-invalid', errors: [{ parameter, detail }] })
}
