import { Hono } from 'hono'
import { secureHeaders } from 'hono/secure-headers'

const NOTHING = ["'none'"]

/** Without subdomains: they may be other services. */
const HSTS = 'max-age=15552000'

/**
 * Returns the security headers of Hono, the same for every response, so that the fast path has them
 * too. A response's own values take precedence, such as the policy of a page.
 */
async function securityHeaders(strictTransportSecurity: string | false): Promise<readonly string[]> {
  const app = new Hono()
  app.use(
    secureHeaders({
      strictTransportSecurity,
      xFrameOptions: 'DENY',
      // JSON needs nothing. The pages have policies of their own.
      contentSecurityPolicy: { defaultSrc: NOTHING, baseUri: NOTHING, formAction: NOTHING, frameAncestors: NOTHING },
    }),
  )
  app.get('/', c => c.body(null))
  const { headers } = await app.request('/')
  // Responses depend on who sends the request, and become stale within milliseconds.
  return ['cache-control', 'no-store', ...[...headers].flat()]
}

/** For plain HTTP, and for refusals before there is a request. */
export const SECURITY_HEADERS = await securityHeaders(false)

/** Where browsers reach the gateway by https only. */
export const TLS_SECURITY_HEADERS = await securityHeaders(HSTS)

/** For clients that are no browsers: each further header costs the fast path half a microsecond. */
export const BARE_SECURITY_HEADERS: readonly string[] = ['X-Content-Type-Options', 'nosniff']
