import { authorizationFrom } from '../lib/api-key.ts'

/** Durations measured by a gateway: by route, the requests up to each bound in seconds. */
type GatewayTimes = ReadonlyMap<string, ReadonlyMap<number, number>>

export interface RouteP95 {
  readonly route: string
  readonly ms: number
}

const BUCKET = /^gateway_http_request_seconds_bucket\{([^}]*)\} (\d+)/gm
const ROUTES = ['/ingest', '/analyze']
const SCRAPE_LIMIT_MS = 2000

/** Reads the measurements of the gateway at `url`; undefined if its metrics are not available. */
export async function readGatewayTimes(url: string): Promise<GatewayTimes | undefined> {
  try {
    const init = { headers: authorizationFrom(process.env), signal: AbortSignal.timeout(SCRAPE_LIMIT_MS) }
    const response = await fetch(new URL('/metrics', url), init)
    return response.ok ? parseTimes(await response.text()) : undefined
  } catch {
    return undefined
  }
}

export function parseTimes(text: string): GatewayTimes {
  const times = new Map<string, Map<number, number>>()
  for (const [, labels = '', count] of text.matchAll(BUCKET)) {
    const route = /route="([^"]*)"/.exec(labels)?.[1] ?? ''
    const bound = /le="([^"]*)"/.exec(labels)?.[1] ?? ''
    const buckets = times.get(route) ?? new Map<number, number>()
    times.set(route, buckets.set(bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound), Number(count)))
  }
  return times
}

/** Returns the p95 between two readings, interpolated within a bucket as in Prometheus. */
export function p95Between(before: GatewayTimes, after: GatewayTimes): RouteP95[] {
  return ROUTES.flatMap(route => {
    const earlier = before.get(route)
    const buckets = [...(after.get(route) ?? [])]
      .map(([bound, count]) => ({ bound, count: count - (earlier?.get(bound) ?? 0) }))
      .sort((a, b) => a.bound - b.bound)
    const wanted = 0.95 * (buckets.at(-1)?.count ?? 0)
    const at = buckets.findIndex(({ count }) => count >= wanted)
    const bucket = buckets[at]
    if (wanted === 0 || bucket === undefined) return []
    const below = buckets[at - 1] ?? { bound: 0, count: 0 }
    // Above the last bound, only the bound is known.
    if (bucket.bound === Number.POSITIVE_INFINITY) return [{ route, ms: below.bound * 1000 }]
    const share = (wanted - below.count) / (bucket.count - below.count)
    return [{ route, ms: (below.bound + share * (bucket.bound - below.bound)) * 1000 }]
  })
}
