import type { IncomingMessage, ServerResponse } from 'node:http'
import { createExchange, type HeaderList, type Pipeline } from '../http/pipeline.ts'
import type { PlainResponse } from '../http/problem.ts'
import type { Ingest } from './ingest.ts'
import { JSON_PROTOCOL } from './protocols/json.ts'

/** Where the requests of the fast path go. */
const TARGET = { route: '/ingest', method: 'POST', path: '/ingest', query: '' } as const

/**
 * Serves `POST /ingest` on node:http directly. The returned function is false for requests in
 * an unusual form, which go to the app, which has the same route and pipeline. It saves the 6 us of
 * Request, Context and Response, of 28 us for one sample (docs/decisions/0019-hot-paths.md).
 */
export function createFastPath({ ingest, pipeline }: { readonly ingest: Ingest; readonly pipeline: Pipeline }) {
  async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const exchange = createExchange(incoming.headers, incoming, TARGET)
    let response: PlainResponse
    try {
      const pending = pipeline.begin(exchange)
      if (pending !== undefined) await pending
      response = await ingest(exchange, JSON_PROTOCOL)
    } catch (error) {
      response = pipeline.fail(exchange, error)
      // The unread rest of the body must not block the connection's next request.
      outgoing.once('finish', () => incoming.resume().socket?.resume())
    }
    const { status, headers, body } = response
    const list: HeaderList = ['Content-Length', Buffer.byteLength(body)]
    for (const name in headers) list.push(name, headers[name] as string)
    pipeline.end(exchange, status, list)
    outgoing.writeHead(status, list).end(body)
  }

  return (incoming: IncomingMessage, outgoing: ServerResponse): boolean => {
    if (incoming.url !== '/ingest' || incoming.method !== 'POST') return false
    // Only the app has CORS.
    if (incoming.headers.origin !== undefined) return false
    // It never rejects: a thrown value becomes a response.
    void serve(incoming, outgoing)
    return true
  }
}
