import type { MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'

/** How long browsers may keep the response to a preflight, in seconds. */
const PREFLIGHT_MAX_AGE_S = 600

/**
 * Returns what lets pages of these origins send requests with an API key and read the responses;
 * nothing without origins. Credentials stay off: a cookie is for the gateway's own pages.
 */
export function corsFor(origins: readonly string[]): MiddlewareHandler[] {
  if (origins.length === 0) return []
  const allow = cors({
    origin: [...origins],
    allowMethods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposeHeaders: ['ETag', 'Retry-After', 'RateLimit', 'RateLimit-Policy', 'WWW-Authenticate'],
    maxAge: PREFLIGHT_MAX_AGE_S,
  })
  // Without an Origin it is no request of a page, and OPTIONS lists the methods of the path.
  return [(c, next) => (c.req.header('Origin') === undefined ? next() : allow(c, next))]
}
