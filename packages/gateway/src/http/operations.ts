import { z } from '@hono/zod-openapi'
import { createOpsApp, type OpsOptions } from '@tidemark/shared/runtime/ops'
import { json, RETRY_AFTER } from './documentation.ts'
import { createRoute, createRouter, type Route, type Router, register } from './router.ts'

/** The version of InfluxDB whose protocol is served. Some clients refuse an older one. */
export const INFLUX_VERSION = '1.8.10'

const statusSchema = z
  .strictObject({
    status: z.enum(['ok', 'degraded', 'unavailable']),
    reason: z.string().optional(),
    warnings: z
      .array(z.string())
      .optional()
      .describe('What an operator should fix, such as settings on which running processes disagree.'),
  })
  .openapi('Status')

/** What InfluxDB's clients read under the same path; they name themselves in User-Agent. */
const influxHealthSchema = z
  .strictObject({
    name: z.string(),
    message: z.string(),
    status: z.enum(['pass', 'fail']),
    checks: z.array(z.unknown()),
    version: z.string(),
  })
  .openapi('InfluxHealth')

const INFLUX_CLIENT = /^(?:influx|telegraf)/i

const OK = json('Yes.', statusSchema, { ok: { status: 'ok' } })
const UNAVAILABLE = {
  ...json('No; `reason` says why.', statusSchema, {
    unavailable: { status: 'unavailable', reason: 'the store is not open yet' },
  }),
  headers: RETRY_AFTER,
}

/** Of `/health`, for both kinds of clients. */
const HEALTHY = json(
  'The process responds; `degraded` if it cannot accept samples, and `reason` says why. Clients of InfluxDB get what ' +
    'InfluxDB responds.',
  z.union([statusSchema, influxHealthSchema]),
)
const UNHEALTHY = {
  ...json('Only for clients of InfluxDB: it cannot accept samples; `message` says why.', influxHealthSchema),
  headers: RETRY_AFTER,
}

function statusRoute(path: string, summary: string, responses: Route['responses']) {
  return createRoute({ method: 'get', path, access: 'open', operationId: path.slice(1), summary, responses })
}

const METRICS_TEXT = { schema: z.string() }

const metricsRoute = createRoute({
  method: 'get',
  path: '/metrics',
  access: 'read',
  operationId: 'metrics',
  summary: "The gateway's metrics, in the Prometheus text format or as OpenMetrics with exemplars",
  responses: {
    200: {
      description: 'The metrics, in the format that the Accept header prefers.',
      content: { 'text/plain': METRICS_TEXT, 'application/openmetrics-text': METRICS_TEXT },
    },
  },
})

/** `GET /health`, `/livez`, `/readyz` and `/metrics`: documents what `createOpsApp` serves. */
export function operationsRoutes(options: OpsOptions): Router {
  const router = createRouter('Operations')
  register(
    router,
    statusRoute('/health', 'Whether the process responds, and in what state it is', { 200: HEALTHY, 503: UNHEALTHY }),
  )
  register(router, statusRoute('/livez', 'Whether the process responds, with or without the store', { 200: OK }))
  register(router, statusRoute('/readyz', 'Whether the gateway can accept samples', { 200: OK, 503: UNAVAILABLE }))
  register(router, metricsRoute)
  router.get('/health', (c, next) => {
    if (!INFLUX_CLIENT.test(c.req.header('User-Agent') ?? '')) return next()
    const reason = options.notReady()
    const health = { name: 'influxdb', checks: [], version: INFLUX_VERSION }
    c.header('Vary', 'User-Agent')
    if (reason === undefined) return c.json({ ...health, message: 'ready for queries and writes', status: 'pass' })
    return c.json({ ...health, message: reason, status: 'fail' }, 503, { 'Retry-After': '1' })
  })
  router.route('/', createOpsApp(options))
  return router
}
