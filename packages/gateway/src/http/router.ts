import { createRoute as createOpenApiRoute, OpenAPIHono, type RouteConfig, type RouteHandler } from '@hono/zod-openapi'
import type { Context, Handler, Hono } from 'hono'
import { matchedRoutes } from 'hono/route'
import type { BlankEnv } from 'hono/types'
import { getPath } from 'hono/utils/url'
import { type RouteAccess, type RouteRule, UNMATCHED } from '../access/route-access.ts'
import { UNLIMITED_ROUTES } from '../limits/clients.ts'
import {
  CREDENTIALS,
  FORBIDDEN,
  NOT_JSON,
  OTHER_SITE,
  outage,
  problem,
  RATE_LIMITED,
  UNAUTHENTICATED,
} from './documentation.ts'
import { RequestFault, respondWith } from './problem.ts'
import { parameterErrors } from './query.ts'

/** The path of middleware that runs for every request: no route. */
const ANY_PATH = '/*'

export type Router = OpenAPIHono<BlankEnv> & { readonly tag: string }

/** A route that declares who may use it. */
export type Route = RouteConfig & RouteRule

/** Defines a route with its documentation and access. */
export function createRoute<P extends string, R extends Omit<Route, 'path'> & { path: P }>(route: R) {
  return createOpenApiRoute(route)
}

const METHOD_NOT_ALLOWED = {
  ...problem('The path does not support this method.', 'method-not-allowed'),
  headers: { Allow: { description: 'The methods of the path.', schema: { type: 'string' as const } } },
}

/** Creates a router: routes are documented under `tag` and respond 400 to invalid parameters. */
export function createRouter(tag: string): Router {
  const router = new OpenAPIHono<BlankEnv>({
    getPath: request =>
      (request.method === 'DELETE' && escapedKey(getPath(request))) || withoutEmptySegments(getPath(request)),
    defaultHook(result) {
      if (result.success) return
      throw new RequestFault({ kind: 'parameters-invalid', errors: parameterErrors(result.error.issues) })
    },
  })
  return Object.assign(router, { tag })
}

const KEYS = '/keys/'

/** Escapes slashes of the key in the path of `DELETE /keys/{key}`; undefined for other paths. */
function escapedKey(path: string): string | undefined {
  if (path.length === KEYS.length || !path.startsWith(KEYS)) return undefined
  return KEYS + path.slice(KEYS.length).replaceAll('/', '%2F')
}

/** Clients that join a base URL and a path send `//ingest` and `/ingest/`. No route has either. */
function withoutEmptySegments(path: string): string {
  return path.includes('//') || path.endsWith('/') ? `/${path.split('/').filter(Boolean).join('/')}` : path
}

/**
 * Registers a route's documentation and handler. The library would read a documented body of any
 * size, so it does not see the body: handlers use the bounded readers (json-body.ts).
 */
export function serve<R extends Route>(
  router: Router,
  route: R,
  handler: (c: Parameters<RouteHandler<R>>[0]) => Response | Promise<Response>,
): void {
  register(router, route)
  const { body, ...parameters } = route.request ?? {}
  router.openapi({ ...route, request: parameters, hide: true }, handler as Handler)
}

/** Documents a route: its tag, who may use it, and that its path responds 405 to other methods. */
export function register(router: Router, { access, ownKeys, queryCredentials, isProbe, ...route }: Route): void {
  const closed = { 401: UNAUTHENTICATED, 403: FORBIDDEN, 503: KEYS_UNKNOWN }
  router.openAPIRegistry.registerPath({
    ...route,
    [RULE]: { access, ownKeys, queryCredentials, isProbe } satisfies RouteRule,
    tags: [router.tag],
    security: access === 'open' ? [] : Object.keys(CREDENTIALS).map(scheme => ({ [scheme]: [access] })),
    responses: {
      ...(access === 'open' ? { 403: OTHER_SITE } : closed),
      ...(route.method === 'get' ? {} : { 415: NOT_JSON }),
      ...(UNLIMITED_ROUTES.has(route.path) ? {} : { 429: RATE_LIMITED }),
      ...route.responses,
      405: METHOD_NOT_ALLOWED,
    },
  })
}

const KEYS_UNKNOWN = outage('The API keys are not loaded yet.', 'store-unavailable')

/** The member of a documented operation that says who may use it. */
const RULE = 'x-access'

/** Notes the access of every documented route of an app. */
export function noteAccess(app: Router, access: RouteAccess): void {
  for (const definition of app.openAPIRegistry.definitions) {
    if (definition.type !== 'route') continue
    const { method, path, operationId, [RULE]: rule } = definition.route
    access.add(method.toUpperCase(), path.replaceAll(/\{(\w+)\}/g, ':$1'), rule, operationId)
  }
}

/**
 * Responds to what the routes registered before this call do not serve: to other methods of their
 * paths with those that they have, to other paths with the route that may have been meant.
 */
export function rejectOthers(app: Hono): void {
  const methodsOf = new Map<string, Set<string>>()
  for (const { method, path } of app.routes) {
    if (path === ANY_PATH) continue
    const methods = methodsOf.get(path) ?? new Set()
    methodsOf.set(path, methods.add(method))
    // Hono serves HEAD as GET without the body.
    if (method === 'GET') methods.add('HEAD')
  }
  // The first that matches responds: `/keys/cardinality` must come before `/keys/:key`.
  const byPrecision = [...methodsOf].sort(([a], [b]) => Number(a.includes(':')) - Number(b.includes(':')))
  for (const [path, methods] of byPrecision) {
    const allow = [...methods].join(', ')
    app.all(path, c =>
      c.req.method === 'OPTIONS'
        ? c.body(null, 204, { Allow: allow })
        : respondWith(c, { kind: 'method-not-allowed', allow }),
    )
  }
  const routes = [...methodsOf].map(([path, methods]) => ({ path, methods: [...methods].join(', ') }))
  app.notFound(c => {
    throw new RequestFault({ kind: 'route-unknown', meant: similarRoute(c.req.path, routes) })
  })
}

/**
 * Returns a route that has the path in another case, without segments before it, or without what
 * is behind its words: an escape, a parameter or an extension.
 */
function similarRoute(path: string, routes: readonly { readonly path: string; readonly methods: string }[]) {
  const segments = path
    .toLowerCase()
    .split('/')
    .map(segment => segment.replace(/[^a-z0-9_-].*/, ''))
    .filter(Boolean)
  for (let rest = segments; rest.length > 0; rest = rest.slice(1)) {
    const found = routes.find(({ path }) => {
      const template = path.split('/').filter(Boolean)
      return template.length === rest.length && template.every((part, i) => part.startsWith(':') || part === rest[i])
    })
    if (found !== undefined) return `${found.methods} ${found.path.replaceAll(/:(\w+)/g, '{$1}')}`
  }
  return undefined
}

/**
 * Returns the template of the route that serves a request, or UNMATCHED. Templates are a closed
 * set: a path as the client wrote it must never become the label of a metric.
 */
export function routeOf(c: Context): string {
  return matchedRoutes(c).find(({ path }) => path !== ANY_PATH)?.path ?? UNMATCHED
}
