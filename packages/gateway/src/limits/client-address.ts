import { BlockList, isIP } from 'node:net'

/** Proxies in front of the gateway: how many, or the networks that they are in. */
export type TrustedProxies = { readonly hops: number } | { readonly networks: BlockList }

/** Groups of an IPv6 address that name a site: a device has as many addresses in it as it likes. */
const SITE_GROUPS = 4

/** Reads a number of proxies, or their networks. Returns undefined if it is neither. */
export function parseTrustedProxies(text: string): TrustedProxies | undefined {
  if (/^\d{1,2}$/.test(text)) return { hops: Number(text) }
  const networks = new BlockList()
  for (const one of text.split(',')) {
    const [address = '', bits, ...rest] = one.trim().split('/')
    const family = isIP(address)
    const bitsMax = family === 6 ? 128 : 32
    if (family === 0 || rest.length > 0 || (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax)))
      return undefined
    networks.addSubnet(address, bits === undefined ? bitsMax : Number(bits), family === 6 ? 'ipv6' : 'ipv4')
  }
  return { networks }
}

/**
 * Returns the address of a request's client: that of the peer, or the one that the trusted proxies
 * have seen. Each proxy appends the address of its own peer to X-Forwarded-For, so the list is read
 * from its end: what stands before the entry of the first proxy is the client's own claim.
 */
export function clientAddress(peer: string, forwardedFor: string | undefined, trusted: TrustedProxies): string {
  const seen = (forwardedFor ?? '').split(',').flatMap(part => {
    const address = withoutPort(part.trim())
    return address === '' ? [] : [address]
  })
  let address = peer
  for (let hops = 1; seen.length > 0 && isTrusted(address, hops, trusted); hops++) {
    const next = seen.pop() ?? ''
    // What is not an address was not written by a proxy.
    if (isIP(next) === 0) break
    address = next
  }
  return address
}

function isTrusted(address: string, hops: number, trusted: TrustedProxies): boolean {
  if ('hops' in trusted) return hops <= trusted.hops
  const family = isIP(address)
  return family !== 0 && trusted.networks.check(address, family === 6 ? 'ipv6' : 'ipv4')
}

/** Some proxies add the port: `10.0.0.1:443`, `[2001:db8::1]:443`. */
function withoutPort(text: string): string {
  const address = /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text
  return address.replace(/^::ffff:(?=\d+\.)/i, '')
}

/** Returns what an address is limited as: itself, or the /64 network of an IPv6 address. */
export function limitedAddress(address: string): string {
  if (!address.includes(':')) return address
  const [head = '', tail] = address.replace(/%.*$/, '').split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const before = groups(head)
  const after = groups(tail ?? '')
  const zeros = tail === undefined ? [] : Array(Math.max(0, 8 - before.length - after.length)).fill('0')
  const site = [...before, ...zeros, ...after].slice(0, SITE_GROUPS)
  return `${site.map(group => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}
