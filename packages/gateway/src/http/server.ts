import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { getRequestListener, RequestError } from '@hono/node-server'
import type { Hono } from 'hono'
import type { GatewayConfig } from '../config.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { Certificate } from './certificate.ts'
import { createConnections } from './connections.ts'
import { Incoming } from './incoming.ts'
import { problemResponse } from './problem.ts'
import { malformed, REFUSAL_HEADERS, type Refusal, refusalOf } from './refusal.ts'

/** Requests have far fewer; each header costs memory before the request is looked at. */
const HEADERS_COUNT_MAX = 50

/** All headers together, whatever the process options say; queries have 9 KiB. */
const HEADERS_BYTES_MAX = 16 * 1024

/** With Node's default interval of 30 s, a timeout of 5 s could last 35 s. */
const TIMEOUT_CHECK_MS = 1000

/** RFC 3986's host and port. An IPv6 address may have any spelling, and a zone. */
const HOST = /^(?:\[[\w:.%~-]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::\d{0,5})?$/

/** What the app sees instead of a host in an unusual form. No route depends on it. */
const APP_ORIGIN = 'http://localhost'
const PLAIN_HOST = /^[\w.-]+(?::\d{1,5})?$/

/** Scheme and authority of a target in absolute form, as proxies send it; in any case. */
const ORIGIN = /^https?:\/\/(?<authority>(?:\[[\w:.%~-]+\]|[^[\]/?#]+)(?::\d*)?)(?=[/?#]|$)/i

interface ListenOptions {
  readonly app: Hono
  /** The fast path: serves a request itself, or returns false to leave it to the app. */
  readonly fastPath: (incoming: IncomingMessage, outgoing: ServerResponse) => boolean
  readonly config: GatewayConfig
  /** Serves TLS with it; undefined for plain HTTP. */
  readonly certificate?: Certificate | undefined
  readonly metrics: GatewayMetrics
}

/** Serves the fast path and the app; resolves when the server listens. */
export async function listen({ app, fastPath, config, certificate, metrics }: ListenOptions) {
  const listener = getRequestListener(app.fetch, { errorHandler: respondToBadRequest })
  const connections = createConnections({
    serve(incoming, outgoing) {
      if (fastPath(incoming, outgoing)) return
      const { url, headers } = incoming
      if (url?.startsWith('/') === false) {
        // The target's host takes precedence over the Host header (RFC 9112, 3.2.2).
        const { authority } = ORIGIN.exec(url)?.groups ?? {}
        if (authority !== undefined) headers.host = authority
        incoming.url = url.replace(ORIGIN, APP_ORIGIN)
      } else if (!PLAIN_HOST.test(headers.host ?? '')) incoming.url = APP_ORIGIN + url
      // The listener never rejects: it responds with 500 itself.
      void listener(incoming, outgoing)
    },
    onRefused: metrics.refused,
    // Responses may take as much memory as bodies.
    unreadBytesMax: config.BODIES_BYTES_MAX,
    onUnread: metrics.unreadCut,
    requestsMax: config.REQUESTS_PER_CONNECTION_MAX,
  })
  const accept = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const refusal = refusalOfHeaders(incoming)
    if (refusal === undefined) connections.accept(incoming, outgoing)
    else connections.refuseRequest(outgoing, refusal)
  }
  const tls = certificate === undefined ? undefined : createTlsServer(tlsOptions(config, certificate), accept)
  const server = tls ?? createServer(serverOptions(config), accept)
  // Node silently drops headers beyond its limit: one more shows that there are too many.
  server.maxHeadersCount = HEADERS_COUNT_MAX + 1
  server.maxConnections = config.CONNECTIONS_MAX
  // A connection may be silent for the slowest response (a wait for a verdict, two store
  // operations) and a request. Clients that never read would keep their responses for ever.
  const slowestMs = config.ANALYZE_WAIT_MAX_MS + 2 * config.STORE_TIMEOUT_MS + config.REQUEST_TIMEOUT_MS
  // A live feed is silent between its heartbeats.
  server.timeout = Math.max(slowestMs, 2 * config.FEED_HEARTBEAT_MS)
  // A client that closes its side of the connection still gets its responses. Node has no option
  // for this, only an undocumented property.
  Object.assign(server, { httpAllowHalfOpen: true })

  const sockets = watchSockets(server)
  server.on(tls === undefined ? 'connection' : 'secureConnection', connections.open)
  server.on('clientError', (error, socket) => {
    if (tls === undefined || sockets.secured.has(socket)) return connections.refuse(socket, refusalOf(error))
    // Nothing can be sent without keys.
    metrics.handshakeFailed()
    socket.destroy()
  })
  server.on('connect', (_incoming, socket) => {
    // Node no longer handles errors of this socket.
    socket.on('error', () => {})
    socket.resume()
    connections.refuse(socket, { kind: 'tunnel-refused' })
  })
  server.on('checkExpectation', (_incoming, outgoing) => {
    connections.refuseRequest(outgoing, { kind: 'expectation-unknown' })
  })
  server.on('checkContinue', (incoming, outgoing) => {
    // The client is not asked for a body that is too long, or of a request that will be refused.
    const isTooLong = Number(incoming.headers['content-length']) > config.BODY_BYTES_MAX
    if (!isTooLong && refusalOfHeaders(incoming) === undefined) outgoing.writeContinue()
    accept(incoming, outgoing)
  })
  server.on('drop', metrics.connectionDropped)

  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ port: config.PORT, host: config.HOST }, resolve)
  await promise
  server.off('error', reject)
  return {
    port: (server.address() as AddressInfo).port,
    /** Uses another certificate for new connections; only for a server with TLS. */
    replaceCertificate: ({ cert, key }: Certificate) => tls?.setSecureContext({ cert, key }),
    /** Accepts no more connections, and ends requests in progress after `graceMs` at the latest. */
    close: (graceMs: number) => closeServer(server, sockets.open, graceMs).finally(connections.stop),
  }
}

function serverOptions(config: GatewayConfig): ServerOptions {
  return {
    IncomingMessage: Incoming,
    headersTimeout: config.HEADERS_TIMEOUT_MS,
    // Node requires that the whole request has at least as much time as its headers.
    requestTimeout: Math.max(config.REQUEST_TIMEOUT_MS, config.HEADERS_TIMEOUT_MS),
    keepAliveTimeout: config.KEEP_ALIVE_TIMEOUT_MS,
    connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, config.HEADERS_TIMEOUT_MS),
    maxHeaderSize: HEADERS_BYTES_MAX,
    insecureHTTPParser: false,
    // refusalOfHeaders() requires it, with a response that explains it.
    requireHostHeader: false,
  }
}

function tlsOptions(config: GatewayConfig, { cert, key }: Certificate) {
  return {
    ...serverOptions(config),
    cert,
    key,
    // node:https has other defaults than node:http.
    allowHalfOpen: true,
    handshakeTimeout: config.HEADERS_TIMEOUT_MS,
  }
}

/** Refuses what the parser accepts but HTTP or Tidemark does not, such as an ambiguous Host. */
function refusalOfHeaders({
  headers,
  rawHeaders,
  httpVersion,
  httpVersionMajor,
}: IncomingMessage): Refusal | undefined {
  // The parser also accepts HTTP/0.9 and HTTP/2.0.
  if (httpVersionMajor !== 1) return malformed('only HTTP/1.0 and HTTP/1.1 are supported')
  if (rawHeaders.length > 2 * HEADERS_COUNT_MAX) return { kind: 'headers-too-large' }
  let hosts = 0
  let authorizations = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
    else if (name?.length === 13 && name.toLowerCase() === 'authorization') authorizations++
  }
  if (hosts > 1) return malformed('it has several Host headers')
  // Node would silently use the first; a proxy may have checked the last.
  if (authorizations > 1) return malformed('it has several Authorization headers')
  if (hosts === 0 && httpVersion === '1.1') return malformed('it has no Host header')
  if (!HOST.test(headers.host ?? '')) return malformed('its Host header is not a host and a port')
  const coding = headers['transfer-encoding']
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    return malformed('its Transfer-Encoding is not just chunked; Content-Encoding declares a compressed body')
  }
  return undefined
}

/** Responds to a request that never reaches the app: its Host and target form no URL. */
function respondToBadRequest(error: unknown): Response {
  const kind = error instanceof RequestError ? 'request-malformed' : 'internal'
  const { status, headers, body } = problemResponse({ kind })
  return new Response(body, { status, headers: { ...headers, ...REFUSAL_HEADERS } })
}

/** Knows the sockets of a server: it closes those with TLS itself only after their handshake. */
function watchSockets(server: Server | TlsServer) {
  const open = new Set<Socket>()
  const secured = new WeakSet<Duplex>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  server.on('secureConnection', (socket: Duplex) => secured.add(socket))
  return { open: open as ReadonlySet<Socket>, secured }
}

async function closeServer(server: Server | TlsServer, sockets: ReadonlySet<Socket>, graceMs: number): Promise<void> {
  // Connections become idle as their requests end, so closing idle ones once is not enough.
  const sweep = setInterval(() => server.closeIdleConnections(), 50)
  const cut = setTimeout(() => {
    server.closeAllConnections()
    for (const socket of sockets) socket.destroy()
  }, graceMs)
  await new Promise(resolve => server.close(resolve))
  clearInterval(sweep)
  clearTimeout(cut)
}
