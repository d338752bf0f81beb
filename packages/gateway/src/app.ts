import type { Spans } from '@tidemark/shared/runtime/tracing/spans'
import type { MiddlewareHandler } from 'hono'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { alertsRoutes } from './alerts/routes.ts'
import { type GatewayConfig, verdictSettings } from './config.ts'
import { deadLettersRoutes } from './dead-letters/routes.ts'
import { type Asset, docsRoutes } from './http/docs.ts'
import { createFieldsReader } from './http/json-body.ts'
import { operationsRoutes } from './http/operations.ts'
import { faultOf, respondWith } from './http/problem.ts'
import { createRouter, type Router, rejectOtherMethods, routeOf } from './http/router.ts'
import type { Ingest } from './ingest/ingest.ts'
import { ingestRoutes } from './ingest/routes.ts'
import type { GatewayMetrics } from './metrics.ts'
import { rulesRoutes } from './rules/routes.ts'
import { createRuleSets } from './rules/rule-sets.ts'
import type { Services } from './services.ts'
import { beginRequestSpan, endRequestSpan, traceOf } from './tracing.ts'
import { verdictsRoutes } from './verdicts/routes.ts'

export interface AppOptions {
  readonly config: GatewayConfig
  readonly log: Logger
  readonly registry: Registry
  readonly metrics: GatewayMetrics
  readonly ingest: Ingest
  /** Undefined if no spans are exported. */
  readonly spans?: Spans | undefined
  /** Unix milliseconds. */
  readonly now: () => number
  /** Throws a RequestFault while the store is not open. */
  readonly services: () => Services
  /** Returns why the gateway is not ready; undefined if it is. */
  readonly notReady: () => string | undefined
  readonly isStopping: () => boolean
  readonly docs: ReadonlyMap<string, Asset>
}

/**
 * Creates the HTTP API out of the routes of each folder. It does not listen: tests call its
 * `request`.
 */
export function createApp(options: AppOptions): Router {
  const { config, log, docs } = options
  // Shared, so that rules are compiled once and one budget bounds all bodies from operators.
  const shared = {
    ...options,
    ruleSets: createRuleSets(verdictSettings(config)),
    readFields: createFieldsReader(),
  }
  const app = createRouter('Gateway')
  app.use(observe(options))
  app.route('/', ingestRoutes(shared))
  app.route('/', verdictsRoutes(shared))
  app.route('/', rulesRoutes(shared))
  app.route('/', alertsRoutes(shared))
  app.route('/', deadLettersRoutes(shared))
  app.route('/', operationsRoutes(shared))
  app.route('/', docsRoutes({ docs, app }))
  rejectOtherMethods(app)
  app.notFound(c => respondWith(c, { kind: 'route-unknown' }))
  app.onError((error, c) => respondWith(c, faultOf(error, { log, route: routeOf(c), trace: traceOf(c) })))
  return app
}

/**
 * Counts, times and traces each request. The fast path of POST /ingest (ingest/route.ts) has its
 * own copy of this.
 */
function observe({ metrics, spans, isStopping }: AppOptions): MiddlewareHandler {
  return async (c, next) => {
    const begin = performance.now()
    const route = routeOf(c)
    const span = beginRequestSpan(spans, c, route)
    await next()
    // Keeps a client from sending its next request on a connection that is about to be closed.
    if (isStopping()) c.header('Connection', 'close')
    const { status } = c.res
    const seconds = (performance.now() - begin) / 1000
    metrics.request({ route, method: c.req.method, status, seconds })
    endRequestSpan(span, status)
  }
}
