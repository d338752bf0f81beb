import { serve } from '@hono/node-server'
import { Hono } from 'hono'

/** An alert as Alertmanager told of it. */
export interface Notice {
  readonly receiver: string
  readonly status: 'firing' | 'resolved'
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

/** Somebody who is told of alerts. */
export interface Webhook extends AsyncDisposable {
  readonly url: string
  readonly notices: readonly Notice[]
}

export async function startWebhook(): Promise<Webhook> {
  const notices: Notice[] = []
  const app = new Hono()
  app.post('/:receiver', async c => {
    const { alerts } = await c.req.json<{ alerts: Omit<Notice, 'receiver'>[] }>()
    notices.push(...alerts.map(alert => ({ ...alert, receiver: c.req.param('receiver') })))
    return c.body(null, 204)
  })
  const { promise, resolve } = Promise.withResolvers<number>()
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => resolve(port))
  return {
    url: `http://127.0.0.1:${await promise}`,
    notices,
    [Symbol.asyncDispose]: () =>
      new Promise<void>(closed => {
        server.close(() => closed())
        if ('closeAllConnections' in server) server.closeAllConnections()
      }),
  }
}
