import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener, RequestError } from '@hono/node-server'
import type { Hono } from 'hono'
import type { GatewayConfig } from '../config.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { createConnections } from './connections.ts'
import { problemType } from './problem.ts'
import { type Refusal, refusalOf } from './refusal.ts'

/** A request has far fewer; each costs memory before anybody looks at it. */
const HEADERS_COUNT_MAX = 50

/** Of all headers together. Said here so that no option of the process changes it: the longest query has 9 KiB. */
const HEADERS_BYTES_MAX = 16 * 1024

/** How often time-outs are enforced: node's default of 30 s would make one of 5 s last 35. */
const TIMEOUT_CHECK_MS = 1000

export interface HttpServer {
  readonly port: number
  /** Takes no more connections, waits for the requests that are under way, and after `graceMs` cuts them off. */
  close(graceMs: number): Promise<void>
}

export interface ListenOptions {
  readonly app: Hono
  /** Serves a request itself, or says that the app is to do it. */
  readonly ingestRoute: ((incoming: IncomingMessage, outgoing: ServerResponse) => boolean) | undefined
  readonly config: GatewayConfig
  readonly metrics: GatewayMetrics
}

/** Serves the app; resolves when it listens. */
export async function listen({ app, ingestRoute, config, metrics }: ListenOptions): Promise<HttpServer> {
  const listener = getRequestListener(app.fetch, { hostname: config.HOST, errorHandler: respondToBadRequest })
  const connections = createConnections({
    serve(incoming, outgoing) {
      if (ingestRoute?.(incoming, outgoing) === true) return
      // The listener never rejects: it answers 500 itself.
      void listener(incoming, outgoing)
    },
    onRefused: metrics.refused,
    // What goes out may take as much as what comes in.
    unreadBytesMax: config.BODIES_BYTES_MAX,
    onUnread: metrics.unreadCut,
  })
  const take = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const refusal = refusalOfHeaders(incoming)
    if (refusal === undefined) {
      connections.take(incoming, outgoing)
      return
    }
    connections.refuseRequest(incoming, outgoing, refusal)
  }
  const server = createServer(
    {
      headersTimeout: config.HEADERS_TIMEOUT_MS,
      // Node wants the whole request to have at least the time that its headers have.
      requestTimeout: Math.max(config.REQUEST_TIMEOUT_MS, config.HEADERS_TIMEOUT_MS),
      keepAliveTimeout: config.KEEP_ALIVE_TIMEOUT_MS,
      connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, config.HEADERS_TIMEOUT_MS),
      maxHeaderSize: HEADERS_BYTES_MAX,
      insecureHTTPParser: false,
      // It is required, below, with an answer that says so.
      requireHostHeader: false,
    },
    take,
  )
  // Node drops what is beyond the limit and says nothing, so one more shows that there are too many.
  server.maxHeadersCount = HEADERS_COUNT_MAX + 1
  server.maxConnections = config.CONNECTIONS_MAX
  server.maxRequestsPerSocket = config.REQUESTS_PER_CONNECTION_MAX
  server.timeout = quietMsMax(config)
  // A client that has said all and only listens gets its answers. Node has no option for it, but this, as old as itself.
  Object.assign(server, { httpAllowHalfOpen: true })

  server.on('clientError', (error, socket) => connections.refuse(socket, refusalOf(error)))
  server.on('connect', (_incoming, socket) => {
    // Node has let go of it.
    socket.on('error', () => {})
    socket.resume()
    connections.refuse(socket, 'tunnel-refused')
  })
  server.on('checkExpectation', (incoming, outgoing) => {
    connections.refuseRequest(incoming, outgoing, 'expectation-unknown')
  })
  server.on('checkContinue', (incoming, outgoing) => {
    // What is too long is not asked for.
    if (!(Number(incoming.headers['content-length']) > config.BODY_BYTES_MAX)) outgoing.writeContinue()
    take(incoming, outgoing)
  })
  server.on('drop', metrics.connectionDropped)

  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ port: config.PORT, host: config.HOST }, resolve)
  await promise
  server.off('error', reject)
  return {
    port: (server.address() as AddressInfo).port,
    close: graceMs => closeServer(server, graceMs).finally(() => connections[Symbol.dispose]()),
  }
}

/**
 * How long nothing may come or go on a connection: as long as the slowest answer takes, a verdict that is waited for and
 * two calls of the store, and as long again as a client has for its request. Without it a client that never reads its
 * answers keeps them, and its connection, for ever.
 */
function quietMsMax({ ANALYZE_WAIT_MAX_MS, STORE_TIMEOUT_MS, REQUEST_TIMEOUT_MS }: GatewayConfig): number {
  return ANALYZE_WAIT_MAX_MS + 2 * STORE_TIMEOUT_MS + REQUEST_TIMEOUT_MS
}

/** What no parser minds but HTTP forbids, or we do. Two Hosts are two servers' different opinions of one request. */
function refusalOfHeaders({ rawHeaders, httpVersion, httpVersionMajor }: IncomingMessage): Refusal | undefined {
  // HTTP/0.9 and HTTP/2.0 pass the parser too.
  if (httpVersionMajor !== 1) return 'request-malformed'
  if (rawHeaders.length > 2 * HEADERS_COUNT_MAX) return 'headers-too-large'
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts > 1 || (hosts === 0 && httpVersion === '1.1') ? 'request-malformed' : undefined
}

/** Such a request never reaches the app: its Host header or its target makes no URL. */
function respondToBadRequest(error: unknown): Response {
  const isClients = error instanceof RequestError
  const status = isClients ? 400 : 500
  const kind = isClients ? 'request-malformed' : 'internal'
  const title = isClients ? 'Malformed request' : 'Internal error'
  return new Response(JSON.stringify({ type: problemType(kind), title, status }), {
    status,
    headers: { 'Content-Type': 'application/problem+json', 'X-Content-Type-Options': 'nosniff' },
  })
}

function closeServer(server: Server, graceMs: number): Promise<void> {
  return new Promise(resolve => {
    // Connections that finish a request just now become idle later, so once is not enough.
    const sweep = setInterval(() => server.closeIdleConnections(), 50)
    const cut = setTimeout(() => server.closeAllConnections(), graceMs)
    server.close(() => {
      clearInterval(sweep)
      clearTimeout(cut)
      resolve()
    })
    server.closeIdleConnections()
  })
}
