import { z } from '@hono/zod-openapi'
import { joinBuckets } from '@tidemark/shared/aggregates/bucket'
import { LEVELS, type Level, spanMs } from '@tidemark/shared/aggregates/levels'
import { decodeAggregates, type LevelBuckets } from '@tidemark/shared/aggregates/reading'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { GatewayConfig } from '../config.ts'
import { json, PAGE_PROBLEMS, problem } from '../http/documentation.ts'
import { createLimiter, PAGE_LIMITS } from '../http/limiter.ts'
import { requireKey } from '../http/own-keys.ts'
import { callerOf, exchangeOf } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { keyParameter, timeParameter } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { aggregatesSchema } from './schemas.ts'

/** Buckets of one response: more than any level keeps. */
const BUCKETS_MAX = 1000

const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

const FINEST = LEVELS[0]
const COARSEST = LEVELS[2]

const STEP_RULE = `must be a multiple of 10 s, at most ${spanMs(COARSEST) / UNITS.d}d, such as 10s, 1m, 15m or 1h`

const stepParameter = z
  .string()
  .transform((text, { addIssue }) => {
    const [, digits, unit = 's'] = /^(\d{1,7})([smhd])?$/.exec(text) ?? []
    const ms = Number(digits) * UNITS[unit as keyof typeof UNITS]
    if (ms > 0 && ms % FINEST.stepMs === 0 && ms <= spanMs(COARSEST)) return ms
    addIssue({ code: 'custom', message: STEP_RULE })
    return z.NEVER
  })
  .optional()
  .openapi({
    type: 'string',
    description:
      'Length of a bucket: a multiple of 10 s, as `30s`, `1m`, `15m` or `1h`; without a unit in seconds. Without it: the ' +
      'finest level that is kept for as long as `from` is ago.',
    examples: ['1m'],
  })

function aggregatesRoute({ KEY_BYTES_MAX }: GatewayConfig) {
  return createRoute({
    method: 'get',
    path: '/aggregates',
    access: 'read',
    ownKeys: true,
    operationId: 'aggregates',
    summary: "Count, mean, deviation, least and greatest value, and anomalies of a key's samples over time",
    description:
      "In buckets of 10 s (kept for 30 min), 1 min (6 h) and 15 min (7 d) of the samples' timestamps, as far back from its " +
      'newest sample. A longer `step` joins them. Intervals without a sample have no bucket. The newest bucket is open: ' +
      'later samples may change it. A sample that is late counts in the buckets of its time that are still open.',
    request: {
      query: z.strictObject({
        key: keyParameter(KEY_BYTES_MAX),
        from: timeParameter(
          'Only buckets that end after this time. Without it: as much as the level keeps before `to`.',
        ),
        to: timeParameter('Only buckets that begin at this time or before. Without it: all up to the newest.'),
        step: stepParameter,
      }),
    },
    responses: {
      200: json('The buckets, oldest first.', aggregatesSchema, { aggregates: EXAMPLE }),
      ...PAGE_PROBLEMS,
      404: problem('No sample of the key has been analysed.', 'key-unknown'),
    },
  })
}

const EXAMPLE = {
  key: 'edge-17/rps',
  step_ms: 60_000,
  buckets: [
    { start: 1_699_999_980_000, count: 60, mean: 409.8, deviation: 6.1, min: 391, max: 424, anomalies: 1, open: false },
    { start: 1_700_000_040_000, count: 12, mean: 411.3, deviation: 5.9, min: 399, max: 420, anomalies: 0, open: true },
  ],
}

export function serveAggregates(router: Router, { config, log, metrics, services, now }: RoutesOptions): void {
  const limited = createLimiter({ ...PAGE_LIMITS, limit: 'aggregates', metrics })
  serve(router, aggregatesRoute(config), async c => {
    const { key, ...query } = c.req.valid('query')
    requireKey(callerOf(c), key)
    const { partitions, gateway } = services().store
    const wanted = rangeOf(query, now())
    const at = { partition: partitionOf(key, partitions), key }
    const stored = await limited(exchangeOf(c).client.pages, () => gateway.aggregates(at))
    if (stored === null) {
      const [newest] = await gateway.lastAnalyses([at])
      if (newest == null) throw new RequestFault({ kind: 'key-unknown' })
      return c.json({ key, step_ms: wanted.stepMs, buckets: [] })
    }
    const levels = decodeAggregates(stored)
    // Its analyzer starts it again with the next sample.
    if (levels === undefined) log.error({ partition: at.partition }, 'the stored aggregates of a key are corrupt')
    const buckets = levels === undefined ? [] : bucketsIn(levels, wanted)
    return c.json({ key, step_ms: wanted.stepMs, buckets })
  })
}

interface Wanted {
  readonly stepMs: number
  readonly level: Level
  readonly from: number
  readonly to: number
}

interface RangeQuery {
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly step?: number | undefined
}

/** Returns the buckets that a request is for. Throws a RequestFault if there may be too many. */
function rangeOf({ from, to, step }: RangeQuery, now: number): Wanted {
  if (from !== undefined && to !== undefined && from > to) throw fault('to', 'must not be before from')
  const age = from === undefined ? 0 : now - from
  const level =
    step === undefined
      ? (LEVELS.find(
          one => age <= spanMs(one) && (from === undefined || countOf(one.stepMs, from, to ?? now) <= BUCKETS_MAX),
        ) ?? COARSEST)
      : (LEVELS.findLast(({ stepMs }) => step % stepMs === 0) ?? FINEST)
  const stepMs = step ?? level.stepMs
  if (from !== undefined) {
    const count = countOf(stepMs, from, to ?? Math.max(now, from))
    if (count > BUCKETS_MAX) {
      const least = Math.ceil((count * stepMs) / BUCKETS_MAX / FINEST.stepMs) * (FINEST.stepMs / 1000)
      const remedy = least * 1000 <= spanMs(COARSEST) ? `set step to ${least}s or more, or ` : ''
      throw fault(
        'from',
        `with step, gives ${count} buckets, and a response has at most ${BUCKETS_MAX}: ${remedy}move from and to closer`,
      )
    }
  }
  return { stepMs, level, from: from ?? Number.NEGATIVE_INFINITY, to: to ?? Number.POSITIVE_INFINITY }
}

function countOf(stepMs: number, from: number, to: number): number {
  return Math.floor(to / stepMs) - Math.floor(from / stepMs) + 1
}

/** Returns the buckets of a range, joined to the wanted length. */
function bucketsIn(levels: readonly LevelBuckets[], { stepMs, level, from, to }: Wanted) {
  const kept = levels.find(one => one.stepMs === level.stepMs)?.buckets ?? []
  const newest = kept.at(-1)
  const inRange = kept.filter(({ start }) => {
    const begin = stepMs * Math.floor(start / stepMs)
    return begin + stepMs > from && begin <= to
  })
  const groups = Map.groupBy(inRange, ({ start }) => stepMs * Math.floor(start / stepMs))
  return [...groups].slice(-BUCKETS_MAX).map(([start, group]) => ({
    ...(group.length === 1 && stepMs === level.stepMs
      ? (group[0] as (typeof group)[number])
      : joinBuckets(group, start)),
    open: newest !== undefined && group.includes(newest),
  }))
}

function fault(parameter: string, detail: string): RequestFault {
  return new RequestFault({ kind: 'parameters-invalid', errors: [{ parameter, detail }] })
}
