import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sampleSchema } from '@tidemark/gateway/ingest/formats/sample-object'

/**
 * Serves requests of one sample, and prints the port and the process' id. `accept` gets the text of
 * each body that the gateway's schema accepts; others get 400.
 */
export function serveSamples(accept: (text: string, outgoing: ServerResponse) => void): void {
  const server = createServer((incoming, outgoing) => {
    let text = ''
    incoming.setEncoding('utf8')
    incoming.on('data', chunk => {
      text += chunk
    })
    incoming.on('end', () => {
      if (sampleSchema.safeParse(JSON.parse(text)).success) accept(text, outgoing)
      else outgoing.writeHead(400).end()
    })
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo
    process.stdout.write(`${JSON.stringify({ port, pid: process.pid })}\n`)
  })
}

export function respond(outgoing: ServerResponse, body: string): void {
  outgoing.writeHead(202, { 'Content-Type': 'application/json', 'Content-Length': body.length })
  outgoing.end(body)
}
