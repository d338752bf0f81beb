import type { RouteAccess } from '../access/route-access.ts'
import { clientAddress, type TrustedProxies } from '../limits/client-address.ts'
import { type Client, type Clients, type RateLimit, type RatePolicy, UNLIMITED_ROUTES } from '../limits/clients.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { Concern, Exchange } from './pipeline.ts'
import { RequestFault } from './problem.ts'

/** Sets a request's address to the one that the proxies in front of the gateway have seen. */
export function forwardedAddress(trusted: TrustedProxies): Concern {
  return {
    name: 'forwarded address',
    begin(exchange) {
      const header = exchange.headers['x-forwarded-for']
      const { address } = exchange.connection
      exchange.address = clientAddress(address, typeof header === 'string' ? header : header?.join(), trusted)
    },
  }
}

interface RateLimitsOptions {
  readonly clients: Clients
  readonly access: RouteAccess
  readonly metrics: Pick<GatewayMetrics, 'rateLimited'>
}

/**
 * Limits the requests of each client, and the failed authentications of each address. It follows
 * authentication, which knows the client. A request with a valid API key is never refused because
 * of others from its address: many devices may be behind one.
 */
export function rateLimits({ clients, access, metrics }: RateLimitsOptions): Concern {
  return {
    name: 'rate limits',
    begin(exchange) {
      const client = clients.of(exchange.principal, exchange.address)
      exchange.client = client
      const { requests, samples } = client
      if ((requests === undefined && samples === undefined) || UNLIMITED_ROUTES.has(exchange.route)) return undefined
      // The body of a client that may not send even one sample is not read.
      if (samples !== undefined && access.of(exchange.method, exchange.route).access === 'ingest') {
        refuseUnless(samples.bucket.waitFor(1), client, samples, metrics)
      }
      if (requests === undefined) return undefined
      const decision = requests.bucket.take(1)
      if (typeof decision !== 'number') return decision.then(waitS => refuseUnless(waitS, client, requests, metrics))
      refuseUnless(decision, client, requests, metrics)
      return undefined
    },
    fail({ address }, error) {
      if (!(error instanceof RequestFault && error.fault.kind === 'unauthenticated')) return undefined
      const limit = clients.authenticationFailed(address)
      if (limit === undefined) return undefined
      metrics.rateLimited(limit.policy)
      return rateLimited(limit, limit.bucket.waitFor(1), 'too many authentications failed from this address')
    },
    end({ client: { requests, samples }, status }, headers) {
      // A 429 has those of the limit that was exceeded.
      if (status === 429 || (requests?.bucket.isLow !== true && samples?.bucket.isLow !== true)) return
      const low = [requests, samples].filter(limit => limit?.bucket.isLow === true) as RateLimit[]
      headers.push('RateLimit-Policy', low.map(policyOf).join(', '))
      headers.push('RateLimit', low.map(limit => stateOf(limit, fullInS(limit))).join(', '))
    },
  }
}

/**
 * Counts the samples of a request against the limit of its client. All are admitted, or none. The
 * promise is returned only if the store has to decide.
 */
export function admitSamples(
  { client }: Pick<Exchange, 'client'>,
  count: number,
  metrics: Pick<GatewayMetrics, 'rateLimited' | 'rejected'>,
): void | Promise<void> {
  const limit = client.samples
  if (limit === undefined || count === 0) return undefined
  const refuseAllUnless = (waitS: number): void => {
    if (waitS > 0) metrics.rejected('rate', count)
    refuseUnless(waitS, client, limit, metrics, NONE_STORED)
  }
  const decision = limit.bucket.take(count)
  return decision === 0
    ? undefined
    : typeof decision === 'number'
      ? refuseAllUnless(decision)
      : decision.then(refuseAllUnless)
}

/** The result of an ingest request, as its problem has it. */
const NONE_STORED = { accepted: 0, rejected: [], receipts: [] }

function refuseUnless(
  waitS: number,
  { isKey }: Client,
  limit: RateLimit,
  metrics: Pick<GatewayMetrics, 'rateLimited'>,
  members?: Readonly<Record<string, unknown>>,
): void {
  if (waitS === 0) return
  metrics.rateLimited(limit.policy)
  const { perS, burst } = limit.bucket
  const who = isKey ? 'this API key' : 'an address without an API key'
  const reason = `${who} may send ${perS} ${limit.policy} a second, and ${Math.floor(burst)} at once. Nothing was done.`
  throw new RequestFault(rateLimited(limit, waitS, reason, members))
}

function rateLimited(limit: RateLimit, waitS: number, reason: string, members = {}) {
  return {
    kind: 'rate-limited',
    reason,
    retryAfterS: waitS,
    members,
    headers: { 'RateLimit-Policy': policyOf(limit), RateLimit: stateOf(limit, waitS) },
  } as const
}

/** Units other than requests, which are the default, are named. */
const UNITS: Readonly<Record<RatePolicy, string>> = {
  requests: '',
  samples: ';qu="samples"',
  'failed-authentications': '',
}

/** As in draft-ietf-httpapi-ratelimit-headers-11: the quota of a bucket is its burst. */
function policyOf({ policy, bucket: { perS, burst } }: RateLimit): string {
  return `"${policy}";q=${Math.floor(burst)};w=${Math.max(1, Math.ceil(burst / perS))}${UNITS[policy]}`
}

function stateOf({ policy, bucket }: RateLimit, resetS: number): string {
  return `"${policy}";r=${Math.max(0, Math.floor(bucket.remaining))};t=${Math.max(0, Math.ceil(resetS))}`
}

function fullInS({ bucket: { perS, burst, remaining } }: RateLimit): number {
  return (burst - remaining) / perS
}
