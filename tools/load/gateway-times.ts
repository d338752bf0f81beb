/** A histogram of one route: how many requests took at most so many seconds, by ascending bounds, the last of them infinite. */
type Buckets = ReadonlyMap<number, number>

/** What a gateway has measured of its requests, by route. */
export type GatewayTimes = ReadonlyMap<string, Buckets>

export interface RouteP95 {
  readonly route: string
  readonly ms: number
}

const BUCKET = /^gateway_http_request_seconds_bucket\{([^}]*)\} (\d+)/gm
const ROUTES = ['/ingest', '/analyze']
const SCRAPE_LIMIT_MS = 2000

/** Reads what the gateway at `url` has measured up to now; undefined where its metrics are not to be had. */
export async function readGatewayTimes(url: string): Promise<GatewayTimes | undefined> {
  try {
    const response = await fetch(new URL('/metrics', url), { signal: AbortSignal.timeout(SCRAPE_LIMIT_MS) })
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

/** The 95th percentile of what was measured between two readings: within a bucket by a straight line, as Prometheus has it. */
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
    // Beyond the last bound nothing is known but that.
    if (bucket.bound === Number.POSITIVE_INFINITY) return [{ route, ms: below.bound * 1000 }]
    const share = (wanted - below.count) / (bucket.count - below.count)
    return [{ route, ms: (below.bound + share * (bucket.bound - below.bound)) * 1000 }]
  })
}
