/**
 * The loopback address of a pod or Service, and the address that the API server knows it by. It
 * rejects loopback addresses in EndpointSlices, so a node reports one for documentation
 * (RFC 5737), to which no packet is sent.
 */
export interface Address {
  readonly loopback: string
  readonly reported: string
}

const PODS = { loopback: '127.77.0', reported: '198.51.100' } as const
const SERVICES = { loopback: '127.78.0', reported: '203.0.113' } as const
const HOSTS_MAX = 254

/** Gives each name an address of its own until it is released. */
class Pool {
  readonly #prefixes: Address
  readonly #numbers = new Map<string, number>()
  #next = 1

  constructor(prefixes: Address) {
    this.#prefixes = prefixes
  }

  take(name: string): Address {
    const number = this.#numbers.get(name) ?? this.#free()
    this.#numbers.set(name, number)
    const { loopback, reported } = this.#prefixes
    return { loopback: `${loopback}.${number}`, reported: `${reported}.${number}` }
  }

  release(name: string): void {
    this.#numbers.delete(name)
  }

  /** In turn, so that an address is not used again soon: connections to it may linger. */
  #free(): number {
    const taken = new Set(this.#numbers.values())
    for (let i = 0; i < HOSTS_MAX; i++) {
      const number = ((this.#next - 1 + i) % HOSTS_MAX) + 1
      if (taken.has(number)) continue
      this.#next = number + 1
      return number
    }
    throw new Error(`more than ${HOSTS_MAX} addresses are in use`)
  }
}

interface Named {
  readonly name: string
  readonly namespace: string
  readonly isHeadless: boolean
}

/** The addresses of pods and Services, and the names that resolve to them. */
export class Addresses {
  readonly #pods = new Pool(PODS)
  readonly #services = new Pool(SERVICES)
  readonly #named = new Map<string, Named>()

  /** Pods of a StatefulSet keep their address, as they keep their name. */
  ofPod(namespace: string, name: string, subdomain?: string): Address {
    return this.#pods.take(subdomain === undefined ? `${namespace}/${name}` : stableName(namespace, name, subdomain))
  }

  releasePod(namespace: string, name: string): void {
    this.#pods.release(`${namespace}/${name}`)
  }

  addService(service: Named): Address {
    this.#named.set(`${service.namespace}/${service.name}`, service)
    return this.#services.take(`${service.namespace}/${service.name}`)
  }

  removeService(namespace: string, name: string): void {
    this.#named.delete(`${namespace}/${name}`)
    this.#services.release(`${namespace}/${name}`)
  }

  /** Resolves a name as the cluster's DNS does for a pod of `namespace`. */
  resolve(host: string, namespace: string): string | undefined {
    const labels = host.replace(/\.(svc|svc\.cluster\.local)\.?$/, '').split('.')
    const [first = '', second, third] = labels
    const service = this.#named.get(`${second ?? namespace}/${first}`) ?? this.#named.get(`${namespace}/${first}`)
    if (service !== undefined && labels.length <= 2) {
      if (!service.isHeadless) return this.#services.take(`${service.namespace}/${service.name}`).loopback
      // A headless Service resolves to its pods: here to the first one of its StatefulSet.
      return this.ofPod(service.namespace, `${service.name}-0`, service.name).loopback
    }
    const owner = second === undefined ? undefined : this.#named.get(`${third ?? namespace}/${second}`)
    if (owner?.isHeadless !== true) return undefined
    return this.ofPod(owner.namespace, first, owner.name).loopback
  }
}

function stableName(namespace: string, name: string, subdomain: string): string {
  return `${namespace}/${name}.${subdomain}`
}

/** Returns the loopback address for one that a node reported. */
export function loopbackOf(reported: string): string | undefined {
  for (const { loopback, reported: prefix } of [PODS, SERVICES]) {
    if (reported.startsWith(`${prefix}.`)) return loopback + reported.slice(prefix.length)
  }
  return undefined
}
