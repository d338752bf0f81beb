import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { accepts } from 'hono/accepts'
import { openMetricsContentType, type Registry } from 'prom-client'
import { renderOpenMetrics } from './open-metrics.ts'

const PLAIN = 'text/plain'
const OPEN_METRICS = 'application/openmetrics-text'

export interface OpsOptions {
  readonly registry: Registry
  readonly notReady: () => string | undefined
  /** What an operator should fix although the process is ready, in sentences. */
  readonly warnings?: () => readonly string[]
}

/**
 * Returns the operations endpoints. Liveness ignores Redis: restarts would not fix that. So does
 * the status of `/health`, which existing liveness probes request.
 */
export function createOpsApp({ registry, notReady, warnings }: OpsOptions): Hono {
  const app = new Hono()
  const scrapePlain = coalesced(() => registry.metrics())
  const scrapeOpenMetrics = coalesced(() => renderOpenMetrics(registry))
  app.get('/metrics', async c => {
    const type = accepts(c, { header: 'Accept', supports: [PLAIN, OPEN_METRICS], default: PLAIN })
    // Only OpenMetrics has exemplars. Prometheus requests it by default.
    return type === OPEN_METRICS
      ? c.body(await scrapeOpenMetrics(), 200, { 'Content-Type': openMetricsContentType, Vary: 'Accept' })
      : c.body(await scrapePlain(), 200, { 'Content-Type': registry.contentType, Vary: 'Accept' })
  })
  app.get('/livez', c => c.json({ status: 'ok' }))
  const ok = () => {
    const found = warnings?.() ?? []
    return { status: 'ok', ...(found.length > 0 && { warnings: found }) }
  }
  app.get('/readyz', c => {
    const reason = notReady()
    return reason === undefined ? c.json(ok()) : c.json({ status: 'unavailable', reason }, 503, { 'Retry-After': '1' })
  })
  app.get('/health', c => {
    const reason = notReady()
    return c.json(reason === undefined ? ok() : { status: 'degraded', reason })
  })
  return app
}

/** Shares one rendering between concurrent scrapes: it blocks the event loop for milliseconds. */
function coalesced(scrape: () => Promise<string>): () => Promise<string> {
  let current: Promise<string> | undefined
  return () => {
    current ??= scrape().finally(() => {
      current = undefined
    })
    return current
  }
}

export interface ListenOptions {
  readonly fetch: (request: Request) => Response | Promise<Response>
  readonly port: number
  /** Undefined: all addresses, of IPv6 and of IPv4. */
  readonly hostname: string | undefined
}

/** Starts the operations server. Resolves with its port once it listens. */
export async function listenOps({
  hostname,
  ...options
}: ListenOptions): Promise<AsyncDisposable & { readonly port: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const server = serve({ ...options, ...(hostname === undefined ? {} : { hostname }) }, info => resolve(info.port))
  server.on('error', reject)
  const port = await promise
  return {
    port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>(closed => {
        server.close(() => closed())
        if ('closeAllConnections' in server) server.closeAllConnections()
      }),
  }
}
