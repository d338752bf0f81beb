import { z } from '@hono/zod-openapi'
import { createOpsApp, type OpsOptions } from '@tidemark/shared/runtime/ops'
import { json, RETRY_AFTER } from './documentation.ts'
import { createRoute, createRouter, type Router, register } from './router.ts'

const statusSchema = z
  .strictObject({
    status: z.enum(['ok', 'unavailable']),
    reason: z.string().optional(),
    warnings: z
      .array(z.string())
      .optional()
      .describe('What an operator should fix, such as settings on which running processes disagree.'),
  })
  .openapi('Status')

const OK = json('Yes.', statusSchema, { ok: { status: 'ok' } })
const UNAVAILABLE = {
  ...json('No; `reason` says why.', statusSchema, {
    unavailable: { status: 'unavailable', reason: 'the store is not open yet' },
  }),
  headers: RETRY_AFTER,
}

function statusRoute(path: string, summary: string, responses: { 200: typeof OK; 503?: typeof UNAVAILABLE }) {
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
  register(router, statusRoute('/health', 'The same as /readyz', { 200: OK, 503: UNAVAILABLE }))
  register(router, statusRoute('/livez', 'Whether the process responds, with or without the store', { 200: OK }))
  register(router, statusRoute('/readyz', 'Whether the gateway can accept samples', { 200: OK, 503: UNAVAILABLE }))
  register(router, metricsRoute)
  router.route('/', createOpsApp(options))
  return router
}
