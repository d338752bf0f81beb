import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { accepts } from 'hono/accepts'
import type { Registry } from 'prom-client'
import { OPEN_METRICS_TYPE, renderOpenMetrics } from './open-metrics.ts'

const PLAIN = 'text/plain'
const OPEN_METRICS = 'application/openmetrics-text'

export interface OpsOptions {
  readonly registry: Registry
  /** What keeps the service from being ready; undefined when nothing does. */
  readonly notReady: () => string | undefined
}

/**
 * What operations ask of any service: /metrics, /livez (the process answers), /readyz (it can work), and /health as the
 * replaced service named it. Liveness never depends on Redis: restarting every pod would not bring it back.
 */
export function createOpsApp({ registry, notReady }: OpsOptions): Hono {
  const app = new Hono()
  const scrapePlain = coalesced(() => registry.metrics())
  const scrapeOpenMetrics = coalesced(() => renderOpenMetrics(registry))
  app.get('/metrics', async c => {
    const type = accepts(c, { header: 'Accept', supports: [PLAIN, OPEN_METRICS], default: PLAIN })
    // Exemplars exist in OpenMetrics alone; Prometheus asks for it by itself.
    return type === OPEN_METRICS
      ? c.body(await scrapeOpenMetrics(), 200, { 'Content-Type': OPEN_METRICS_TYPE, Vary: 'Accept' })
      : c.body(await scrapePlain(), 200, { 'Content-Type': registry.contentType, Vary: 'Accept' })
  })
  app.get('/livez', c => c.json({ status: 'ok' }))
  for (const path of ['/readyz', '/health'] as const) {
    app.get(path, c => {
      const reason = notReady()
      return reason === undefined
        ? c.json({ status: 'ok' })
        : c.json({ status: 'unavailable', reason }, 503, { 'Retry-After': '1' })
    })
  }
  return app
}

/** A scrape takes milliseconds of the event loop: those who ask at the same time get the same one. */
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
  readonly hostname: string
}

/** A server for the ops app; resolves when it listens, with the port it got. */
export async function listenOps(options: ListenOptions): Promise<AsyncDisposable & { readonly port: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const server = serve(options, info => resolve(info.port))
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
