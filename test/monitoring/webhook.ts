import { serve } from '@hono/node-server'
import { Hono } from 'hono'

/** An alert in a notification of Alertmanager. */
export interface Notification {
  readonly receiver: string
  readonly status: 'firing' | 'resolved'
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

/** A webhook receiver of Alertmanager. */
export interface Webhook extends AsyncDisposable {
  readonly url: string
  readonly notifications: readonly Notification[]
}

export async function startWebhook(): Promise<Webhook> {
  const notifications: Notification[] = []
  const app = new Hono()
  app.post('/:receiver', async c => {
    const { alerts } = await c.req.json<{ alerts: Omit<Notification, 'receiver'>[] }>()
    notifications.push(...alerts.map(alert => ({ ...alert, receiver: c.req.param('receiver') })))
    return c.body(null, 204)
  })
  const { promise, resolve } = Promise.withResolvers<number>()
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => resolve(port))
  return {
    url: `http://127.0.0.1:${await promise}`,
    notifications,
    [Symbol.asyncDispose]: () =>
      new Promise<void>(closed => {
        server.close(() => closed())
        if ('closeAllConnections' in server) server.closeAllConnections()
      }),
  }
}
