import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sampleSchema } from '@tidemark/gateway/ingest/formats/sample-object'

/** The minimal Node server for a sample: parse the body, check it with the schema, respond. */
const RESPONSE = JSON.stringify({ accepted: 1, rejected: [], receipts: ['0:1700000000000-0'], durability: 'local' })

const server = createServer((incoming, outgoing) => {
  let text = ''
  incoming.setEncoding('utf8')
  incoming.on('data', chunk => {
    text += chunk
  })
  incoming.on('end', () => {
    const status = sampleSchema.safeParse(JSON.parse(text)).success ? 202 : 400
    outgoing.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': RESPONSE.length })
    outgoing.end(RESPONSE)
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.stdout.write(`${JSON.stringify({ port, pid: process.pid })}\n`)
})
