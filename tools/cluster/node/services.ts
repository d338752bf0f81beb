import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Cluster, KubeObject } from '../kube.ts'
import { type Addresses, loopbackOf } from './addresses.ts'

interface Service extends KubeObject {
  readonly spec: {
    readonly clusterIP?: string
    readonly selector?: Readonly<Record<string, string>>
    readonly ports?: readonly { readonly name?: string; readonly port: number; readonly protocol?: string }[]
  }
}

interface EndpointSlice extends KubeObject {
  readonly endpoints?: readonly {
    readonly addresses: readonly string[]
    readonly conditions?: { readonly ready?: boolean }
  }[]
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[]
}

interface Target {
  readonly host: string
  readonly port: number
}

const SERVICE_LABEL = 'kubernetes.io/service-name'

/** A published Service: `gateway` of a namespace on a port of 127.0.0.1. */
export interface Published {
  readonly name: string
  readonly namespace: string
  readonly port: number
}

/**
 * Relays connections to Services, as kube-proxy does: each new connection goes to one of the ready
 * pods. The pods are those of the EndpointSlices, which the control plane derives from readiness.
 */
export class ServiceProxy implements AsyncDisposable {
  readonly #addresses: Addresses
  readonly #published: readonly Published[]
  readonly #services = new Map<string, Service>()
  readonly #slices = new Map<string, EndpointSlice>()
  readonly #servers = new Map<string, Server>()
  readonly #sockets = new Set<Socket>()
  #turn = 0

  constructor(addresses: Addresses, published: readonly Published[]) {
    this.#addresses = addresses
    this.#published = published
  }

  /** Follows the cluster's Services until `stop` aborts. */
  async run(cluster: Cluster, stop: AbortSignal): Promise<void> {
    const services = cluster.watch<Service>(
      '/api/v1/services',
      {
        onList: items => {
          for (const item of items) this.#add(item)
        },
        onChange: item => this.#add(item),
        onDelete: item => this.#remove(item),
      },
      stop,
    )
    const slices = cluster.watch<EndpointSlice>(
      '/apis/discovery.k8s.io/v1/endpointslices',
      {
        onList: items => {
          this.#slices.clear()
          for (const item of items) this.#slices.set(nameOf(item), item)
        },
        onChange: item => void this.#slices.set(nameOf(item), item),
        onDelete: item => void this.#slices.delete(nameOf(item)),
      },
      stop,
    )
    await Promise.all([services, slices])
  }

  #add(service: Service): void {
    const { name, namespace = '' } = service.metadata
    // The API server's own Service has no selector: no pod stands behind it.
    if (service.spec.selector === undefined) return
    const isHeadless = service.spec.clusterIP === 'None'
    this.#services.set(nameOf(service), service)
    const { loopback } = this.#addresses.addService({ name, namespace, isHeadless })
    if (isHeadless) return
    for (const { name: portName = '', port, protocol = 'TCP' } of service.spec.ports ?? []) {
      if (protocol === 'TCP') this.#listen(loopback, port, { name, namespace, portName })
      const published = this.#published.find(one => one.name === name && one.namespace === namespace)
      if (published !== undefined) this.#listen('127.0.0.1', published.port, { name, namespace, portName })
    }
  }

  #remove(service: Service): void {
    const { name, namespace = '' } = service.metadata
    if (!this.#services.delete(nameOf(service))) return
    const { loopback } = this.#addresses.addService({ name, namespace, isHeadless: false })
    this.#addresses.removeService(namespace, name)
    for (const [at, server] of this.#servers) {
      if (!at.startsWith(`${loopback}:`)) continue
      server.close()
      this.#servers.delete(at)
    }
  }

  #listen(host: string, port: number, to: { name: string; namespace: string; portName: string }): void {
    const at = `${host}:${port}`
    if (this.#servers.has(at)) return
    const server = createServer({ noDelay: true }, socket => this.#relay(socket, to))
    server.on('error', error => process.stderr.write(`tidemark: no Service at ${at}: ${error.message}\n`))
    server.listen({ host, port })
    this.#servers.set(at, server)
  }

  #relay(client: Socket, { name, namespace, portName }: { name: string; namespace: string; portName: string }): void {
    const targets = readyTargets([...this.#slices.values()], namespace, name, portName)
    const target = targets[this.#turn++ % Math.max(1, targets.length)]
    this.#sockets.add(client)
    client.on('close', () => this.#sockets.delete(client))
    client.on('error', () => client.destroy())
    // No pod is ready: kube-proxy rejects the connection too.
    if (target === undefined) return void client.resetAndDestroy()
    const pod = connect({ ...target, noDelay: true })
    pod.on('error', () => client.resetAndDestroy())
    client.on('close', () => pod.destroy())
    pod.on('close', () => client.destroySoon())
    client.pipe(pod).pipe(client)
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers.values()) server.close()
    for (const socket of this.#sockets) socket.destroy()
    return Promise.resolve()
  }
}

/** Returns where the ready pods of a Service's port listen on this computer. */
export function readyTargets(
  slices: readonly EndpointSlice[],
  namespace: string,
  service: string,
  portName: string,
): readonly Target[] {
  return slices
    .filter(({ metadata }) => metadata.namespace === namespace && metadata.labels?.[SERVICE_LABEL] === service)
    .flatMap(({ endpoints = [], ports = [] }) => {
      const port = ports.find(one => (one.name ?? '') === portName)?.port
      if (port === undefined) return []
      return endpoints
        .filter(({ conditions }) => conditions?.ready !== false)
        .flatMap(({ addresses }) => addresses.map(loopbackOf))
        .filter(host => host !== undefined)
        .map(host => ({ host, port }))
    })
}

function nameOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`
}
