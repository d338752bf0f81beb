import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request that a receiver got. */
export interface Received {
  /** When its body was complete, Unix milliseconds. */
  readonly at: number
  readonly headers: IncomingHttpHeaders
  readonly body: unknown
}

/** An HTTP server that responds to notifications as a test says. */
export interface TestReceiver extends AsyncDisposable {
  readonly url: string
  readonly received: readonly Received[]
  respond: (response: ServerResponse, request: Received) => void
}

export async function startReceiver(host = '127.0.0.1'): Promise<TestReceiver> {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    const chunks = await Array.fromAsync(request as AsyncIterable<Buffer>)
    const one = { at: Date.now(), headers: request.headers, body: JSON.parse(Buffer.concat(chunks).toString()) }
    received.push(one)
    receiver.respond(response, one)
  })
  await new Promise<void>(resolve => server.listen(0, host, resolve))
  const { port } = server.address() as AddressInfo
  const receiver: TestReceiver = {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    received,
    respond: response => response.writeHead(204).end(),
    [Symbol.asyncDispose]: () =>
      new Promise<void>(closed => {
        server.close(() => closed())
        server.closeAllConnections()
      }),
  }
  return receiver
}
