import { createOpsApp } from '@tidemark/shared/runtime/ops'
import type { Spans } from '@tidemark/shared/runtime/tracing/spans'
import { type Context, Hono } from 'hono'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { createAlert } from './alerts/detail.ts'
import { createAcknowledge, createSnooze } from './alerts/operator-state.ts'
import { createAlertsPage } from './alerts/page.ts'
import { type GatewayConfig, verdictSettings } from './config.ts'
import { createDeadPage, createDiscard, createPutBack } from './dead-letters/routes.ts'
import { bodySourceOf } from './http/body.ts'
import { type Asset, DOCS_CSP } from './http/docs.ts'
import { createFieldsReader } from './http/json-body.ts'
import { faultOf, respondWith } from './http/problem.ts'
import type { Ingest } from './ingest/ingest.ts'
import type { GatewayMetrics } from './metrics.ts'
import { createOpenApi } from './openapi.ts'
import { createRuleChanges } from './rules/changes.ts'
import { createChangeRules } from './rules/document.ts'
import { createExplanation } from './rules/explanation.ts'
import { createDeleteMute, createPutMute } from './rules/mutes.ts'
import { createRuleReport } from './rules/report.ts'
import { createDeleteRule, createPutRule, createRule, createRulesPage } from './rules/routes.ts'
import { createRuleSets } from './rules/rule-sets.ts'
import { createPutStorm } from './rules/storm.ts'
import type { Services } from './services.ts'
import { beginRequestSpan, endRequestSpan, traceOf } from './tracing.ts'
import { createAnalyze } from './verdicts/analyze.ts'
import { createHistory } from './verdicts/history.ts'
import { asksForKey, createAnalysesPage } from './verdicts/page.ts'

/** Every path that is served, and the methods it takes. HEAD is GET without the body. */
export const ROUTES = {
  '/ingest': 'POST',
  '/analyze': 'GET, HEAD',
  '/history': 'GET, HEAD',
  '/rules': 'GET, HEAD',
  '/rules/explain': 'GET, HEAD',
  '/rules/changes': 'GET, HEAD',
  '/rules/:id': 'GET, HEAD, PUT, DELETE',
  '/rules/:id/report': 'GET, HEAD',
  '/mutes/:id': 'PUT, DELETE',
  '/storm': 'PUT',
  '/alerts': 'GET, HEAD',
  '/alerts/:id': 'GET, HEAD',
  '/alerts/:id/acknowledge': 'POST',
  '/alerts/:id/snooze': 'POST',
  '/dead': 'GET, HEAD',
  '/dead/:id/put-back': 'POST',
  '/dead/:id/discard': 'POST',
  '/health': 'GET, HEAD',
  '/livez': 'GET, HEAD',
  '/readyz': 'GET, HEAD',
  '/metrics': 'GET, HEAD',
  '/openapi.json': 'GET, HEAD',
  '/docs': 'GET, HEAD',
  '/docs/:file': 'GET, HEAD',
} as const

export interface AppOptions {
  readonly config: GatewayConfig
  readonly log: Logger
  readonly registry: Registry
  readonly metrics: GatewayMetrics
  readonly ingest: Ingest
  /** Undefined where nobody collects spans. */
  readonly spans?: Spans | undefined
  /** Unix milliseconds. */
  readonly now: () => number
  /** Throws a RequestFault while the store is not open. */
  readonly services: () => Services
  /** What keeps the gateway from being ready; undefined when nothing does. */
  readonly notReady: () => string | undefined
  readonly isStopping: () => boolean
  readonly docs: ReadonlyMap<string, Asset>
}

/** The HTTP interface. It listens nowhere by itself: a test calls its `request`. */
export function createApp({
  config,
  log,
  registry,
  metrics,
  ingest,
  spans,
  now,
  services,
  notReady,
  isStopping,
  docs,
}: AppOptions): Hono {
  const app = new Hono()
  app.use(async (c, next) => {
    const begin = performance.now()
    const route = routeOf(c.req.path)
    const span = beginRequestSpan(spans, c, route)
    await next()
    // Keeps a client from sending its next request on a connection that is about to be closed.
    if (isStopping()) c.header('Connection', 'close')
    const { status } = c.res
    metrics.request({
      route,
      method: c.req.method,
      status,
      seconds: (performance.now() - begin) / 1000,
    })
    endRequestSpan(span, status)
  })

  const analyze = createAnalyze({ config, services })
  const analysesPage = createAnalysesPage({ services })
  app.post('/ingest', async c => {
    const { status, headers, body } = await ingest({ ...bodySourceOf(c), trace: traceOf(c) })
    return c.body(body, status, headers)
  })
  app.get('/analyze', c => (asksForKey(c) ? analyze(c) : analysesPage(c)))
  app.get('/history', createHistory({ config, services }))
  addRules(app, { config, now, services })
  app.get('/dead', createDeadPage({ config, metrics, services }))
  app.post('/dead/:id/put-back', createPutBack({ config, metrics, services }))
  app.post('/dead/:id/discard', createDiscard({ config, metrics, services }))
  app.route('/', createOpsApp({ registry, notReady }))

  const openApi = JSON.stringify(createOpenApi(config))
  app.get('/openapi.json', c => c.body(openApi, 200, { 'Content-Type': 'application/json' }))
  app.get('/docs', c => respondWithAsset(c, docs.get('')))
  app.get('/docs/:file', c => respondWithAsset(c, docs.get(c.req.param('file'))))

  for (const [path, allow] of Object.entries(ROUTES)) {
    app.all(path, c => respondWith(c, { kind: 'method-not-allowed', allow }))
  }
  app.notFound(c => respondWith(c, { kind: 'route-unknown' }))
  app.onError((error, c) => respondWith(c, faultOf(error, { log, route: routeOf(c.req.path), trace: traceOf(c) })))
  return app
}

/** What operators say about judging, and what comes of it. */
function addRules(
  app: Hono,
  { config, now, services }: Pick<AppOptions, 'config' | 'now'> & { readonly services: () => Services },
): void {
  const ruleSets = createRuleSets(verdictSettings(config))
  const readFields = createFieldsReader()
  const changing = { services, readFields, changeRules: createChangeRules(), now }
  app.get('/rules', createRulesPage({ services }))
  // Before the rules: there is none of these names.
  app.get('/rules/explain', createExplanation({ config, services, ruleSets, now }))
  app.get('/rules/changes', createRuleChanges({ services }))
  app.get('/rules/:id', createRule({ services }))
  app.put('/rules/:id', createPutRule(changing))
  app.delete('/rules/:id', createDeleteRule(changing))
  app.get('/rules/:id/report', createRuleReport({ services }))
  app.put('/mutes/:id', createPutMute(changing))
  app.delete('/mutes/:id', createDeleteMute(changing))
  app.put('/storm', createPutStorm(changing))
  app.get('/alerts', createAlertsPage({ services }))
  app.get('/alerts/:id', createAlert({ services, ruleSets, now }))
  app.post('/alerts/:id/acknowledge', createAcknowledge({ services, readFields, now }))
  app.post('/alerts/:id/snooze', createSnooze({ services, readFields, now }))
}

function respondWithAsset(c: Context, asset: Asset | undefined): Response {
  if (asset === undefined) return respondWith(c, { kind: 'route-unknown' })
  return c.body(asset.body, 200, {
    'Content-Type': asset.type,
    'Content-Security-Policy': DOCS_CSP,
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-cache',
  })
}

/** The templates that are no paths by themselves, and the paths that they stand for. */
const TEMPLATES = Object.keys(ROUTES)
  .filter(route => route.includes(':'))
  .map(route => ({ route, paths: new RegExp(`^${route.replaceAll(/:\w+/g, '[^/]*')}$`) }))

/** The route's template, from a closed set: a path as a client wrote it must not become a label. */
function routeOf(path: string): string {
  if (Object.hasOwn(ROUTES, path)) return path
  return TEMPLATES.find(({ paths }) => paths.test(path))?.route ?? 'unmatched'
}
