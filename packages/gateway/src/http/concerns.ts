import type { Spans } from '@tidemark/shared/runtime/tracing/spans'
import { parseTraceparent, traceFields } from '@tidemark/shared/sample/trace-context'
import type { StoreError } from '@tidemark/shared/store/ports/errors'
import type { Authentication } from '../access/authentication.ts'
import type { RouteAccess } from '../access/route-access.ts'
import type { Failures } from '../failures.ts'
import type { TrustedProxies } from '../limits/client-address.ts'
import type { Clients } from '../limits/clients.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { keyForbidden } from './own-keys.ts'
import type { Concern } from './pipeline.ts'
import { RequestFault } from './problem.ts'
import { checkQuery } from './query.ts'
import { forwardedAddress, rateLimits } from './rate-limits.ts'

/** Routes that get a span: those that work with samples, and none that operations poll. */
const TRACED_ROUTES = new Set(['/ingest', '/analyze', '/history', '/dead/:id/put-back'])

interface ConcernsOptions {
  readonly metrics: GatewayMetrics
  readonly failures: Failures
  readonly access: RouteAccess
  readonly authentication: Authentication
  readonly clients: Clients
  /** Undefined where X-Forwarded-For is not trusted. */
  readonly trustedProxies?: TrustedProxies | undefined
  readonly audit: Concern
  /** Undefined where no spans are collected. */
  readonly spans?: Spans | undefined
  readonly isStopping: () => boolean
}

/** Returns the concerns of every request, in order. */
export function requestConcerns(options: ConcernsOptions): readonly Concern[] {
  const { metrics, failures, access, authentication, audit, trustedProxies, spans, isStopping } = options
  return [
    tracing(spans),
    ...(trustedProxies === undefined ? [] : [forwardedAddress(trustedProxies)]),
    identification(access, authentication),
    // Requests of a caller who may not use a route count too.
    rateLimits(options),
    authorization(access),
    errorMapping(failures),
    { name: 'unambiguous query', begin: ({ query }) => checkQuery(query) },
    { name: 'no content sniffing', end: (_exchange, headers) => headers.push('X-Content-Type-Options', 'nosniff') },
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
      if (access.of(exchange.method, exchange.route).access === 'open') return
      const caller = authentication.identify(exchange.headers, exchange.connection)
      if (caller === 'pending') throw new RequestFault({ kind: 'store-unavailable' })
      if (typeof caller === 'string') throw new RequestFault({ kind: 'unauthenticated' })
      exchange.principal = caller
    },
  }
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
function errorMapping(failures: Failures): Concern {
  return {
    name: 'error mapping',
    fail({ route, trace }, error) {
      if (error instanceof RequestFault) return error.fault
      const whose = failures(error, 'request failed', { route, ...traceFields(trace === undefined ? [] : [trace]) })
      return whose === 'store' ? { kind: 'store-unavailable', cause: error as StoreError } : { kind: 'internal' }
    },
  }
}
