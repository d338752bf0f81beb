import { isIP } from 'node:net'

/** Scheme, host and port, as the Origin header has them. */
const ORIGIN = /^https?:\/\/[^/?#@\s\\]+\/?$/i

/** Returns the origin that a URL without a path names, in its normal form; else undefined. */
export function originOf(url: string): string | undefined {
  return ORIGIN.test(url) && URL.canParse(url) ? new URL(url).origin : undefined
}

/** Returns the host name of a Host header in its normal form; undefined if it has none. */
export function hostnameOf(host: string): string | undefined {
  const url = `http://${host}`
  return URL.canParse(url) ? new URL(url).hostname.replace(/\.$/, '') : undefined
}

interface OriginOptions {
  /** Of the gateway's own port. */
  readonly scheme: 'http' | 'https'
  /** The origin under which a proxy publishes the gateway. */
  readonly publicOrigin: string | undefined
  /** Origins of other sites whose pages may use API keys. */
  readonly corsOrigins: readonly string[]
  /** Host names that are the gateway's, beside localhost and addresses. */
  readonly allowedHosts: readonly string[]
}

/**
 * Where a request comes from: a page of the gateway's `own` origin, one of a `friend` in
 * corsOrigins, a `foreign` page, or `unknown`, which is no page: browsers name their origin.
 */
export type Provenance = 'own' | 'friend' | 'foreign' | 'unknown'

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

/** Tells requests of the gateway's own pages from those that other sites' pages make. */
export function createOriginRules({ scheme, publicOrigin, corsOrigins, allowedHosts }: OriginOptions) {
  const friends = new Set(corsOrigins)
  const publicHosts = publicOrigin === undefined ? [] : [new URL(publicOrigin).host]
  const hosts = new Set([...allowedHosts, ...publicHosts].map(hostnameOf))
  /** The Host header that was allowed last: nearly every request has the same. */
  let lastAllowed: string | undefined

  /** Whether the origin is that of the Host header. */
  function isOwn(origin: string, host: string, site: unknown): boolean {
    // A proxy that ends TLS changes the scheme. Browsers say whether a page has the same origin
    // only to https and localhost, and pages cannot set the header.
    const ownScheme = site === 'same-origin' ? origin.slice(0, origin.indexOf(':')) : scheme
    return originOf(`${ownScheme}://${host}`) === origin
  }

  function isAllowedName(host: string): boolean {
    // Only addresses of IPv6 have a bracket.
    if (host.startsWith('[')) return true
    const name = hostnameOf(host)
    if (name === undefined) return false
    return isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost') || hosts.has(name)
  }

  return {
    /** For requests that change something: browsers send Origin with all of those. */
    provenanceOf({ origin: written, host, 'sec-fetch-site': site }: Headers): Provenance {
      if (written === undefined && site === undefined) return 'unknown'
      if (written === undefined) return site === 'same-origin' ? 'own' : site === 'none' ? 'unknown' : 'foreign'
      const origin = originOf(String(written))
      if (origin === undefined) return 'foreign'
      if (origin === publicOrigin) return 'own'
      if (friends.has(origin)) return 'friend'
      if (site !== undefined && site !== 'same-origin' && site !== 'none') return 'foreign'
      return isOwn(origin, String(host ?? ''), site) ? 'own' : 'foreign'
    },
    /**
     * Whether a Host header cannot be the result of DNS rebinding: a name of another site that
     * resolves to the gateway's address. Addresses and localhost are not resolved by DNS.
     */
    isHostAllowed({ host }: Headers): boolean {
      if (host === undefined || host === '' || host === lastAllowed) return true
      const isAllowed = isAllowedName(String(host))
      if (isAllowed) lastAllowed = String(host)
      return isAllowed
    },
  }
}

export type OriginRules = ReturnType<typeof createOriginRules>
