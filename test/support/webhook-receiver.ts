import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { Webhook } from 'standardwebhooks'

/** What a webhook was told, in the order it came. */
export interface Told {
  readonly id: string
  readonly type: string
  readonly data: { readonly key: string | null; readonly explanation: string; readonly [name: string]: unknown }
}

/** A webhook that takes what is signed rightly, and refuses what is not. */
export interface WebhookReceiver extends AsyncDisposable {
  readonly url: string
  readonly secret: string
  readonly told: readonly Told[]
  /** Requests whose signature was wrong. */
  readonly forged: number
}

export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const secret = `whsec_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64')}`
  const verifier = new Webhook(secret)
  const told: Told[] = []
  let forged = 0
  const app = new Hono()
  app.post('/alerts', async c => {
    try {
      const { type, data } = verifier.verify(await c.req.text(), c.req.header()) as Omit<Told, 'id'>
      told.push({ id: c.req.header('webhook-id') ?? '', type, data })
      return c.body(null, 204)
    } catch {
      forged++
      return c.text('the signature is wrong', 401)
    }
  })
  const { promise, resolve } = Promise.withResolvers<number>()
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => resolve(port))
  return {
    url: `http://127.0.0.1:${await promise}/alerts`,
    secret,
    told,
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
