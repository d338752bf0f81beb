import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sampleSchema } from '@tidemark/gateway/ingest/formats/sample-object'
import { Redis } from 'ioredis'

/**
 * The minimal Node server that responds once Redis has stored a sample: as http.ts, and the samples
 * of one turn of the event loop are one entry of one stream. It has no partitions, no limits and no
 * errors.
 */
const [, , url = ''] = process.argv
const redis = new Redis(url)
let waiting: { readonly text: string; readonly outgoing: ServerResponse }[] = []

async function flush(): Promise<void> {
  const requests = waiting
  waiting = []
  const id = await redis.xadd('samples', '*', 's', requests.map(({ text }) => text).join(','))
  const response = JSON.stringify({ accepted: 1, rejected: [], receipts: [`0:${id}`], durability: 'local' })
  for (const { outgoing } of requests) {
    outgoing.writeHead(202, { 'Content-Type': 'application/json', 'Content-Length': response.length })
    outgoing.end(response)
  }
}

const server = createServer((incoming, outgoing) => {
  let text = ''
  incoming.setEncoding('utf8')
  incoming.on('data', chunk => {
    text += chunk
  })
  incoming.on('end', () => {
    if (!sampleSchema.safeParse(JSON.parse(text)).success) {
      outgoing.writeHead(400).end()
      return
    }
    if (waiting.push({ text, outgoing }) === 1) setImmediate(() => void flush())
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.stdout.write(`${JSON.stringify({ port, pid: process.pid })}\n`)
})
