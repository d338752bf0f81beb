import { serve } from '@hono/node-server'
import { sampleSchema } from '@tidemark/gateway/ingest/formats/sample-object'
import { Hono } from 'hono'

/** The minimal Hono app for a sample: c.req.json(), the gateway's schema, c.json(). */
const app = new Hono()
app.post('/ingest', async c => {
  const { success } = sampleSchema.safeParse(await c.req.json())
  const response = { accepted: 1, rejected: [], receipts: ['0:1700000000000-0'], durability: 'local' }
  return c.json(response, success ? 202 : 400)
})
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => {
  process.stdout.write(`${JSON.stringify({ port, pid: process.pid })}\n`)
})
