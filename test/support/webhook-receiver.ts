import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { Webhook } from 'standardwebhooks'

/** A message that the webhook received. */
export interface WebhookMessage {
  readonly id: string
  readonly type: string
  readonly data: { readonly key: string | null; readonly explanation: string; readonly [name: string]: unknown }
}

/** A webhook that accepts correctly signed messages and rejects all others. */
export interface WebhookReceiver extends AsyncDisposable {
  readonly url: string
  readonly secret: string
  readonly messages: readonly WebhookMessage[]
  /** The number of requests with a wrong signature. */
  readonly forged: number
}

export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const secret = `whsec_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64')}`
  const verifier = new Webhook(secret)
  const messages: WebhookMessage[] = []
  let forged = 0
  const app = new Hono()
  app.post('/alerts', async c => {
    try {
      const { type, data } = verifier.verify(await c.req.text(), c.req.header()) as Omit<WebhookMessage, 'id'>
      messages.push({ id: c.req.header('webhook-id') ?? '', type, data })
      return c.body(null, 204)
    } catch {
      forged++
      return c.text('wrong signature', 401)
    }
  })
  const { promise, resolve } = Promise.withResolvers<number>()
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => resolve(port))
  return {
    url: `http://127.0.0.1:${await promise}/alerts`,
    secret,
    messages,
    get forged() {
      return forged
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>(closed => {
        server.close(() => closed())
        if ('closeAllConnections' in server) server.closeAllConnections()
      }),
  }
}
