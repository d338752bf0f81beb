import { OpenAPIHono, type RouteConfig, type RouteHandler } from '@hono/zod-openapi'
import type { Context, Handler, Hono } from 'hono'
import { matchedRoutes } from 'hono/route'
import type { BlankEnv } from 'hono/types'
import { problem } from './documentation.ts'
import { RequestFault, respondWith } from './problem.ts'
import { parameterErrors } from './query.ts'

/** The path of middleware that runs for every request: no route. */
const ANY_PATH = '/*'

export type Router = OpenAPIHono<BlankEnv> & { readonly tag: string }

const METHOD_NOT_ALLOWED = {
  ...problem('The path does not support this method.', 'method-not-allowed'),
  headers: { Allow: { description: 'The methods of the path.', schema: { type: 'string' as const } } },
}

/** Creates a router: routes are documented under `tag` and respond 400 to invalid parameters. */
export function createRouter(tag: string): Router {
  const router = new OpenAPIHono<BlankEnv>({
    defaultHook(result, c) {
      if (result.success) return
      const isRepeated = (name: string) => result.target === 'query' && (c.req.queries(name)?.length ?? 0) > 1
      const errors = parameterErrors(result.error.issues, isRepeated)
      throw new RequestFault({ kind: 'parameters-invalid', errors })
    },
  })
  return Object.assign(router, { tag })
}

/**
 * Registers a route's documentation and handler. The library would read a documented body of any
 * size, so it does not see the body: handlers use the bounded readers (json-body.ts).
 */
export function serve<R extends RouteConfig>(
  router: Router,
  route: R,
  handler: (c: Parameters<RouteHandler<R>>[0]) => Response | Promise<Response>,
): void {
  register(router, route)
  const { body, ...parameters } = route.request ?? {}
  router.openapi({ ...route, request: parameters, hide: true }, handler as Handler)
}

/** Documents a route: its tag, and that its path responds 405 to other methods. */
export function register(router: Router, route: RouteConfig): void {
  router.openAPIRegistry.registerPath({
    ...route,
    tags: [router.tag],
    responses: { ...route.responses, 405: METHOD_NOT_ALLOWED },
  })
}

/** Responds 405 to the other methods of the paths that were registered before this call. */
export function rejectOtherMethods(app: Hono): void {
  const methodsOf = new Map<string, Set<string>>()
  for (const { method, path } of app.routes) {
    if (path === ANY_PATH) continue
    const methods = methodsOf.get(path) ?? new Set()
    methodsOf.set(path, methods.add(method))
    // Hono serves HEAD as GET without the body.
    if (method === 'GET') methods.add('HEAD')
  }
  for (const [path, methods] of methodsOf) {
    const allow = [...methods].join(', ')
    app.all(path, c => respondWith(c, { kind: 'method-not-allowed', allow }))
  }
}

/**
 * Returns the template of the route that serves a request, or `unmatched`. Templates are a closed
 * set: a path as the client wrote it must never become the label of a metric.
 */
export function routeOf(c: Context): string {
  return matchedRoutes(c).find(({ path }) => path !== ANY_PATH)?.path ?? 'unmatched'
}
