import type { IncomingMessage, ServerResponse } from 'node:http'
import { parseTraceparent } from '@tidemark/shared/sample/trace-context'
import type { Logger } from 'pino'
import { type Answer, answerTo, faultOf } from '../http/problem.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { Ingest } from './ingest.ts'

/** A Host that needs no parser to be known for one. */
const PLAIN_HOST = /^[\w.-]+(?::\d{1,5})?$/

export interface IngestRouteOptions {
  readonly ingest: Ingest
  readonly metrics: GatewayMetrics
  readonly log: Logger
  readonly isStopping: () => boolean
}

/**
 * Serves `POST /ingest` without the app between it and node:http, and says whether it did: a request that is written in
 * any other way than clients write it is the app's, which has the same route. Nine requests of ten are this one, and the
 * way through Request, Context and Response takes 6 us of the 28 that a sample's request would cost (docs/decisions/0019-hot-paths.md).
 */
export function createIngestRoute({
  ingest,
  metrics,
  log,
  isStopping,
}: IngestRouteOptions): (incoming: IncomingMessage, outgoing: ServerResponse) => boolean {
  async function answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const begin = performance.now()
    const { headers } = incoming
    const trace = headers.traceparent === undefined ? undefined : parseTraceparent(String(headers.traceparent))
    let result: Answer
    try {
      result = await ingest({ headers, body: incoming, trace })
    } catch (error) {
      result = answerTo(faultOf(error, { log, route: '/ingest', trace }), '/ingest')
      // What was not read of the body must not keep its connection from the next request.
      outgoing.once('finish', () => incoming.resume().socket?.resume())
    }
    metrics.request({
      route: '/ingest',
      method: 'POST',
      status: result.status,
      seconds: (performance.now() - begin) / 1000,
    })
    send(outgoing, result, isStopping())
  }

  return (incoming, outgoing) => {
    const { host } = incoming.headers
    if (incoming.url !== '/ingest' || incoming.method !== 'POST' || host === undefined || !PLAIN_HOST.test(host)) {
      return false
    }
    // It never rejects: what is thrown is answered.
    void answer(incoming, outgoing)
    return true
  }
}

/** Headers as a list, which node:http takes as it is. */
function send(outgoing: ServerResponse, { status, headers, body }: Answer, isLast: boolean): void {
  const list: (string | number)[] = ['X-Content-Type-Options', 'nosniff', 'Content-Length', Buffer.byteLength(body)]
  for (const name in headers) list.push(name, headers[name] as string)
  // Keeps a client from sending its next request on a connection that is about to be closed.
  if (isLast) list.push('Connection', 'close')
  outgoing.writeHead(status, list).end(body)
}
