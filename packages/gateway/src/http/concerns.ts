import { IncomingMessage } from 'node:http'
import type { Spans } from '@tidemark/shared/runtime/tracing/spans'
import { parseTraceparent, traceFields } from '@tidemark/shared/sample/trace-context'
import type { StoreError } from '@tidemark/shared/store/ports/errors'
import type { Authentication } from '../access/authentication.ts'
import type { OriginRules } from '../access/origin.ts'
import type { RouteAccess } from '../access/route-access.ts'
import type { Failures } from '../failures.ts'
import type { TrustedProxies } from '../limits/client-address.ts'
import type { Clients } from '../limits/clients.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { BodySource } from './body.ts'
import { keyForbidden } from './own-keys.ts'
import type { Concern } from './pipeline.ts'
import { RequestFault } from './problem.ts'
import { checkQuery } from './query.ts'
import { forwardedAddress, rateLimits } from './rate-limits.ts'
import type { RequestHeaders } from './request-headers.ts'
import { BARE_SECURITY_HEADERS, SECURITY_HEADERS, TLS_SECURITY_HEADERS } from './security-headers.ts'

/** Routes that get a span: those that work with samples, and none that operations poll. */
const TRACED_ROUTES = new Set([
  ...['/ingest', '/api/v2/write', '/write', '/api/v1/write', '/v1/metrics'],
  ...['/analyze', '/history', '/dead/:id/put-back'],
])

/** Methods that change nothing. */
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])

const JSON_REQUIRED = 'a change needs Content-Type: application/json, or no body'

interface ConcernsOptions {
  readonly metrics: GatewayMetrics
  readonly failures: Failures
  readonly access: RouteAccess
  readonly authentication: Authentication
  readonly clients: Clients
  /** Undefined where X-Forwarded-For is not trusted. */
  readonly trustedProxies?: TrustedProxies | undefined
  readonly audit: Concern
  readonly origins: OriginRules
  /** Whether browsers reach the gateway by https. */
  readonly isHttps: boolean
  /** Undefined where no spans are collected. */
  readonly spans?: Spans | undefined
  readonly isStopping: () => boolean
}

/** Returns the concerns of every request, in order. */
export function requestConcerns(options: ConcernsOptions): readonly Concern[] {
  const { metrics, failures, access, authentication, audit, origins, isHttps, trustedProxies, spans, isStopping } =
    options
  return [
    tracing(spans),
    ...(trustedProxies === undefined ? [] : [forwardedAddress(trustedProxies)]),
    // Before callers are identified: a page must not use up the attempts of its visitor.
    otherSites(origins, authentication),
    identification(access, authentication),
    // Requests of a caller who may not use a route count too.
    rateLimits(options),
    authorization(access),
    changes(origins, access),
    errorMapping(failures, access, metrics),
    { name: 'unambiguous query', begin: ({ query }) => checkQuery(query) },
    securityHeaders(isHttps),
    {
      // Keeps a client from sending its next request on a connection that is about to be closed.
      name: 'connection close',
      end(_exchange, headers) {
        if (isStopping()) headers.push('Connection', 'close')
      },
    },
    audit,
    { name: 'metrics', end: exchange => metrics.request(exchange) },
  ]
}

/** Identifies the caller of a request, unless its route is open to everybody. */
function identification(access: RouteAccess, authentication: Authentication): Concern {
  return {
    name: 'authentication',
    begin(exchange) {
      const { access: scope, queryCredentials } = access.of(exchange.method, exchange.route)
      if (scope === 'open') return
      const inQuery = queryCredentials === true ? passwordIn(exchange.query) : undefined
      const caller = authentication.identify(exchange.headers, exchange.connection, inQuery)
      if (caller === 'pending') throw new RequestFault({ kind: 'store-unavailable' })
      if (typeof caller === 'string') {
        // Browsers, which always send this header, would ask their user for a password.
        const offersBasic = scope === 'ingest' && exchange.headers['sec-fetch-mode'] === undefined
        throw new RequestFault({ kind: 'unauthenticated', offersBasic })
      }
      exchange.principal = caller
    },
  }
}

/** Returns the parameter `p` of a query; undefined without one. */
function passwordIn(query: string): string | undefined {
  return new URLSearchParams(query).get('p') || undefined
}

/** Refuses callers who may not use a route. */
function authorization(access: RouteAccess): Concern {
  return {
    name: 'authorization',
    begin({ method, route, principal }) {
      const { access: scope, ownKeys } = access.of(method, route)
      if (scope === 'open') return
      if (!principal.scopes.has(scope)) throw new RequestFault({ kind: 'scope-missing', scope })
      if (principal.keyPrefix !== '' && ownKeys !== true) throw keyForbidden(principal)
    },
  }
}

/**
 * Refuses what a page of another site makes a browser send. Pages cannot read the response without
 * CORS, but a request can change something without being read.
 */
function otherSites(origins: OriginRules, authentication: Authentication): Concern {
  return {
    name: 'other sites',
    begin({ method, headers }) {
      // An open gateway has no other protection against a page whose name resolves to its address.
      if (!authentication.isEnabled && !origins.isHostAllowed(headers)) {
        throw new RequestFault({ kind: 'host-not-allowed' })
      }
      if (!SAFE_METHODS.has(method) && origins.provenanceOf(headers) === 'foreign') {
        throw new RequestFault({ kind: 'origin-not-allowed' })
      }
    },
  }
}

/** Requires of changes what other sites' pages cannot send, whatever a browser lets them do. */
function changes(origins: OriginRules, access: RouteAccess): Concern {
  return {
    name: 'changes',
    begin({ method, route, headers, body, principal }) {
      if (SAFE_METHODS.has(method)) return
      if (principal.via === 'session' && origins.provenanceOf(headers) !== 'own') {
        throw new RequestFault({ kind: 'origin-required' })
      }
      // Browsers send JSON to another origin only if that allows it; agents send samples as text.
      if (access.of(method, route).access === 'ingest' || !access.serves(method, route)) return
      if (hasBody(headers, body) && !isJson(headers)) {
        throw new RequestFault({ kind: 'media-type-unsupported', reason: JSON_REQUIRED })
      }
    },
  }
}

function hasBody(headers: RequestHeaders, body: BodySource['body']): boolean {
  if (!(body instanceof IncomingMessage)) return body !== null
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function isJson({ 'content-type': type = '' }: RequestHeaders): boolean {
  return /^\s*application\/json\s*(?:;|$)/i.test(String(type))
}

/** Adds the security headers. Only browsers act on them, and those say that they are browsers. */
function securityHeaders(isHttps: boolean): Concern {
  const all = isHttps ? TLS_SECURITY_HEADERS : SECURITY_HEADERS
  return {
    name: 'security headers',
    end({ route, status, headers: { origin, 'sec-fetch-mode': mode } }, added) {
      const isBare = route === '/ingest' && status < 400 && origin === undefined && mode === undefined
      added.push(...(isBare ? BARE_SECURITY_HEADERS : all))
    },
  }
}

/** Continues the trace of a request, and records a span where spans are collected. */
function tracing(spans: Spans | undefined): Concern {
  return {
    name: 'tracing',
    begin(exchange) {
      const { method, route } = exchange
      const header = exchange.headers.traceparent
      const parent = typeof header === 'string' ? parseTraceparent(header) : undefined
      exchange.trace = parent
      if (spans === undefined || !TRACED_ROUTES.has(route)) return
      const span = spans.begin({
        name: `${method} ${route}`,
        kind: 'server',
        parent,
        attributes: { 'http.request.method': method, 'http.route': route },
      })
      exchange.span = span
      // A trace that begins here and is not recorded is of no use further on.
      if (parent !== undefined || span.context.isSampled) exchange.trace = span.context
    },
    end({ span, status }) {
      // By OpenTelemetry's conventions, faults of the client do not make a server's span fail.
      span?.end({ 'http.response.status_code': status }, status >= 500 ? `responded ${status}` : undefined)
    },
  }
}

/** Maps a thrown value to a fault. Unexpected errors are bugs, logged as such, and become 500. */
function errorMapping(failures: Failures, access: RouteAccess, metrics: GatewayMetrics): Concern {
  return {
    name: 'error mapping',
    fail({ method, route, trace }, error) {
      if (error instanceof RequestFault) {
        if (access.of(method, route).access === 'ingest') metrics.requestFailed(error.fault.kind)
        return error.fault
      }
      const whose = failures(error, 'request failed', { route, ...traceFields(trace === undefined ? [] : [trace]) })
      return whose === 'store' ? { kind: 'store-unavailable', cause: error as StoreError } : { kind: 'internal' }
    },
  }
}
