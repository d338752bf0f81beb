import { createRoute, z } from '@hono/zod-openapi'
import { createOpsApp, type OpsOptions } from '@tidemark/shared/runtime/ops'
import { json, PROBLEMS, RETRY_AFTER } from './documentation.ts'
import { createRouter, type Router } from './router.ts'

const statusSchema = z
  .strictObject({ status: z.enum(['ok', 'unavailable']), reason: z.string().optional() })
  .openapi('Status')

const OK = json('Yes.', statusSchema, { ok: { status: 'ok' } })
const UNAVAILABLE = {
  ...json('No; `reason` says why.', statusSchema, {
    unavailable: { status: 'unavailable', reason: 'the store is not open yet' },
  }),
  headers: RETRY_AFTER,
}

const METRICS_TEXT = { schema: z.string() }

/** Documents what `createOpsApp` serves for every service. */
const ROUTES = [
  createRoute({
    method: 'get',
    path: '/health',
    operationId: 'health',
    tags: ['Operations'],
    summary: 'The same as /readyz',
    responses: { 200: OK, 405: PROBLEMS[405], 503: UNAVAILABLE },
  }),
  createRoute({
    method: 'get',
    path: '/livez',
    operationId: 'livez',
    tags: ['Operations'],
    summary: 'Whether the process responds, with or without the store',
    responses: { 200: OK, 405: PROBLEMS[405] },
  }),
  createRoute({
    method: 'get',
    path: '/readyz',
    operationId: 'readyz',
    tags: ['Operations'],
    summary: 'Whether the gateway can accept samples',
    responses: { 200: OK, 405: PROBLEMS[405], 503: UNAVAILABLE },
  }),
  createRoute({
    method: 'get',
    path: '/metrics',
    operationId: 'metrics',
    tags: ['Operations'],
    summary: "The gateway's metrics, in the Prometheus text format or as OpenMetrics with exemplars",
    responses: {
      200: {
        description: 'The metrics, in the format that the Accept header prefers.',
        content: { 'text/plain': METRICS_TEXT, 'application/openmetrics-text': METRICS_TEXT },
      },
      405: PROBLEMS[405],
    },
  }),
]

/** `GET /health`, `/livez`, `/readyz` and `/metrics`. */
export function operationsRoutes(options: OpsOptions): Router {
  const router = createRouter()
  for (const route of ROUTES) router.openAPIRegistry.registerPath(route)
  router.route('/', createOpsApp(options))
  return router
}
