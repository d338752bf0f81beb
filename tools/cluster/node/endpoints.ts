import { readFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createCertificate } from '@tidemark/testkit/certificates'
import type { Cluster } from '../kube.ts'
import type { Kubelet } from './kubelet.ts'
import { MANAGER } from './node.ts'
import { matchesSelector, podMetrics, quantities } from './usage.ts'

const GROUP = 'metrics.k8s.io'
const METRICS = `/apis/${GROUP}/v1beta1`
const HOST = '127.0.0.1'

const RESOURCES = {
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion: `${GROUP}/v1beta1`,
  resources: [
    { name: 'pods', singularName: '', namespaced: true, kind: 'PodMetrics', verbs: ['get', 'list'] },
    { name: 'nodes', singularName: '', namespaced: false, kind: 'NodeMetrics', verbs: ['get', 'list'] },
  ],
}

/**
 * Serves what the API server requests of a node: the logs of containers, and metrics.k8s.io with
 * what the pods use. Only on loopback: it does not authenticate.
 */
export async function startEndpoints(kubelet: Kubelet): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer(await createCertificate(), async (request, response) => {
    const url = new URL(request.url ?? '/', 'https://node')
    const body = await respond(kubelet, url)
    const isText = typeof body === 'string'
    response.writeHead(body === undefined ? 404 : 200, { 'Content-Type': isText ? 'text/plain' : 'application/json' })
    response.end(
      isText ? body : JSON.stringify(body ?? { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: 404 }),
    )
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.on('error', reject)
  server.listen({ host: HOST, port: 0 }, resolve)
  await promise
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(done => server.close(done))
    },
  }
}

async function respond(kubelet: Kubelet, url: URL): Promise<object | string | undefined> {
  const path = url.pathname.replace(/\/$/, '')
  const log = /^\/containerLogs\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(path)
  if (log !== null) return readLog(kubelet, log.slice(1), url.searchParams.get('tailLines'))
  if (path === METRICS) return RESOURCES
  if (path === `${METRICS}/nodes`) return nodeMetrics(kubelet)
  const pods = new RegExp(`^${METRICS}(?:/namespaces/([^/]+))?/pods(?:/([^/]+))?$`).exec(path)
  if (pods === null) return undefined
  const [, namespace, name] = pods
  const selector = url.searchParams.get('labelSelector') ?? ''
  const items = kubelet
    .pods()
    .flatMap(pod => pod.measured() ?? [])
    .filter(one => (namespace === undefined || one.namespace === namespace) && matchesSelector(one.labels, selector))
    .map(podMetrics)
  if (name !== undefined) return items.find(({ metadata }) => metadata.name === name)
  return { kind: 'PodMetricsList', apiVersion: `${GROUP}/v1beta1`, metadata: {}, items }
}

/** The sum of a node's pods. */
function nodeMetrics(kubelet: Kubelet): object {
  const sums = new Map<string, { cores: number; bytes: number }>()
  for (const running of kubelet.pods()) {
    const { nodeName = '' } = running.pod.spec
    const sum = sums.get(nodeName) ?? { cores: 0, bytes: 0 }
    for (const { usage } of running.measured()?.containers ?? []) {
      sum.cores += usage.cores
      sum.bytes += usage.bytes
    }
    sums.set(nodeName, sum)
  }
  const timestamp = new Date().toISOString()
  const items = [...sums].map(([name, usage]) => ({
    metadata: { name },
    timestamp,
    window: '15s',
    usage: quantities(usage),
  }))
  return { kind: 'NodeMetricsList', apiVersion: `${GROUP}/v1beta1`, metadata: {}, items }
}

async function readLog(kubelet: Kubelet, [namespace = '', name = '', container]: string[], tail: string | null) {
  const file = kubelet.find(namespace, name)?.logFile(container)
  const text = file === undefined ? undefined : await readFile(file, 'utf8').catch(() => '')
  if (text === undefined || tail === null) return text
  return text
    .split('\n')
    .slice(-Number(tail) - 1)
    .join('\n')
}

const API_SERVICE = `/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.${GROUP}`

/** Makes the API server pass requests for metrics.k8s.io on to this node, until it is disposed. */
export async function registerMetrics(cluster: Cluster, port: number): Promise<AsyncDisposable> {
  const service = { name: 'tidemark-node-metrics', namespace: 'kube-system' }
  await cluster.apply(
    `/api/v1/namespaces/${service.namespace}/services/${service.name}`,
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: service,
      // The only kind of Service that leads out of the cluster, to this computer.
      spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port }] },
    },
    MANAGER,
  )
  await cluster.apply(
    API_SERVICE,
    {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name: `v1beta1.${GROUP}` },
      spec: {
        ...{ group: GROUP, version: 'v1beta1', groupPriorityMinimum: 100, versionPriority: 100 },
        ...{ service: { ...service, port }, insecureSkipTLSVerify: true },
      },
    },
    MANAGER,
  )
  // While an API is registered and does not respond, no namespace can be deleted.
  return { [Symbol.asyncDispose]: async () => void (await cluster.delete(API_SERVICE)) }
}
