import { z } from '@hono/zod-openapi'
import { FEED_KINDS } from '@tidemark/shared/store/ports/feed'
import { STATES } from '@tidemark/shared/verdict/analysis'
import type { Context } from 'hono'
import type { Authentication } from '../access/authentication.ts'
import type { Sessions } from '../access/sessions.ts'
import { ALERT_STATES } from '../alerts/schemas.ts'
import type { GatewayConfig } from '../config.ts'
import { outage, PROBLEMS, problem, RATE_LIMITED } from '../http/documentation.ts'
import { requireKey } from '../http/own-keys.ts'
import { callerOf, exchangeOf } from '../http/pipeline.ts'
import { RequestFault } from '../http/problem.ts'
import { keyParameter, prefixParameter } from '../http/query.ts'
import { createRoute, createRouter, type Router, serve } from '../http/router.ts'
import type { FeedRequest, LiveFeed, OpenFeed, RoutesOptions } from '../services.ts'

/** The states of analyses and of alerts. */
const FEED_STATES = [...STATES, ...ALERT_STATES] as const

/** An id has a few bytes for each stream of each partition. */
const ID_LENGTH_MAX = 8192

const HEADERS = {
  'Content-Type': 'text/event-stream',
  // A proxy must neither keep, compress nor collect what it is sent.
  'Cache-Control': 'no-store, no-transform',
  'X-Accel-Buffering': 'no',
} as const

/** Several of some words, separated by commas. */
function words<const W extends readonly string[]>(all: W) {
  const rule = `must be one or more of ${all.join(', ')}, separated by commas`
  return z
    .string()
    .transform(text => text.split(','))
    .pipe(z.array(z.custom<W[number]>(word => all.includes(String(word)), rule)))
    .optional()
}

const feedQuery = ({ KEY_BYTES_MAX }: GatewayConfig) =>
  z.strictObject({
    key: keyParameter(KEY_BYTES_MAX).optional(),
    prefix: prefixParameter.describe('Only events of keys with this prefix. Not with `key`.'),
    kind: words(FEED_KINDS).openapi({
      type: 'string',
      description: `Only events of these kinds: ${FEED_KINDS.join(', ')}; separated by commas.`,
    }),
    state: words(FEED_STATES).openapi({
      type: 'string',
      description: `Only events with one of these states, of analyses or alerts: ${FEED_STATES.join(', ')}.`,
    }),
    last_event_id: z
      .string()
      .max(ID_LENGTH_MAX, 'must be the id of an event')
      .optional()
      .describe('The id of an event after which to continue. The header Last-Event-ID takes precedence.'),
  })

const EXAMPLE = 'id: v_3_lov5r9hs_0\nevent: analysis\ndata: {"key":"edge-17/rps","value":420}\n\n'

function feedRoute(config: GatewayConfig) {
  return createRoute({
    method: 'get',
    path: '/events',
    access: 'read',
    ownKeys: true,
    operationId: 'events',
    summary: 'Live analyses, anomalies and alerts, as server-sent events',
    description:
      'An event for each `analysis`, `anomaly` and change of an `alert`, as it is committed. A feed continues exactly after the ' +
      'event whose id is sent as Last-Event-ID, at any gateway. What can no longer be sent is said by an event `gap`; a client ' +
      'that reads slowly gets the newest analysis of each key every 250 ms, and an event `coalesced` with the number of ' +
      'analyses that were left out.',
    request: { query: feedQuery(config) },
    responses: {
      200: {
        description: 'A feed without an end.',
        content: {
          'text/event-stream': { schema: { type: 'string' as const }, examples: { event: { value: EXAMPLE } } },
        },
      },
      ...PROBLEMS,
      429: {
        ...problem(
          'The client has as many feeds as it may, or exceeds its rate limit.',
          'feeds-too-many',
          'rate-limited',
        ),
        headers: { 'Retry-After': RATE_LIMITED.headers['Retry-After'] },
      },
      503: outage(
        'The store is unavailable, or the gateway has as many feeds as it may.',
        'store-unavailable',
        'overloaded',
      ),
    },
  })
}

interface FeedRoutesOptions extends RoutesOptions {
  readonly authentication: Authentication
  readonly sessions: Sessions
}

/** `GET /events`. */
export function feedRoutes(options: FeedRoutesOptions): Router {
  const { config, services } = options
  const router = createRouter('Feed')
  serve(router, feedRoute(config), async c => {
    const { key, prefix, kind, state, last_event_id: parameter } = c.req.valid('query')
    const caller = callerOf(c)
    if (key !== undefined) requireKey(caller, key)
    if (key !== undefined && prefix !== '') throw invalid('prefix', 'cannot be combined with key')
    const { feed } = services()
    const header = c.req.header('Last-Event-ID') || undefined
    // A browser would not try again after a 400: a gap says that its header cannot be used.
    if (header === undefined && parameter !== undefined && !feed.isId(parameter)) {
      throw invalid('last_event_id', 'must be the id of an event of this deployment')
    }
    if (c.req.method === 'HEAD') return c.body(null, 200, HEADERS)
    const stream = await openStream(feed, {
      kinds: new Set(kind ?? FEED_KINDS),
      filter: { key, prefixes: [prefix, caller.keyPrefix], states: state && new Set<string>(state) },
      lastId: header ?? parameter,
      share: exchangeOf(c).client.feeds,
      isAllowed: accessOf(c, options),
    })
    return c.body(stream, 200, HEADERS)
  })
  return router
}

/** Returns the bytes of a feed as a stream. Its reader ends the feed by cancelling it. */
async function openStream(feed: LiveFeed, request: Omit<FeedRequest, 'sink'>): Promise<ReadableStream<Uint8Array>> {
  let open: OpenFeed | undefined
  const { promise, resolve } = Promise.withResolvers<ReadableStreamDefaultController<Uint8Array>>()
  const stream = new ReadableStream<Uint8Array>(
    { start: resolve, pull: () => open?.ready(), cancel: () => open?.end() },
    // Pulls only when the connection takes more: nothing is queued here.
    { highWaterMark: 0 },
  )
  const controller = await promise
  const sink = {
    write: (bytes: Uint8Array) => controller.enqueue(bytes),
    end: () => controller.close(),
  }
  open = await feed.subscribe({ ...request, sink })
  return stream
}

/** Returns whether the caller of a request may still read what it may now. */
function accessOf(c: Context, { authentication, sessions, now }: FeedRoutesOptions): () => boolean {
  const { principal, headers } = exchangeOf(c)
  const digest = authentication.table.find(principal.id)?.record.sha256
  return () => {
    if (principal.via === 'open') return !authentication.isEnabled
    const key =
      principal.via === 'session' ? sessions.find(String(headers.cookie))?.key : authentication.table.find(principal.id)
    if (key === undefined || key.record.sha256 !== digest || now() >= key.expiresAt) return false
    return key.principal.scopes.has('read') && key.principal.keyPrefix === principal.keyPrefix
  }
}

function invalid(parameter: string, detail: string): RequestFault {
  return new RequestFault({ kind: 'parameters-invalid', errors: [{ parameter, detail }] })
}
