import type { Cluster, KubeObject } from './kube.ts'

/** What a cluster offers. */
export interface Inspection {
  readonly version: string
  readonly nodes: readonly string[]
  /** How its nodes run pods, such as containerd://2.1.0. */
  readonly runtimes: readonly string[]
  readonly hasMetrics: boolean
  readonly ingressClasses: readonly string[]
  readonly gatewayClasses: readonly string[]
  readonly storageClasses: readonly string[]
  /** Every kind that the API server serves, as `Kind (group/version)`. */
  readonly kinds: ReadonlySet<string>
}

interface Node extends KubeObject {
  readonly status: { readonly nodeInfo: { readonly containerRuntimeVersion: string; readonly osImage: string } }
}

interface Groups {
  readonly groups: readonly { readonly versions: readonly { readonly groupVersion: string }[] }[]
}

interface Resources {
  readonly groupVersion: string
  readonly resources: readonly { readonly name: string; readonly kind: string }[]
}

/** Reads what a cluster is and what it serves. */
export async function inspect(cluster: Cluster): Promise<Inspection> {
  const [{ gitVersion }, nodes, groups] = await Promise.all([
    cluster.get<{ gitVersion: string }>('/version'),
    cluster.get<{ items: readonly Node[] }>('/api/v1/nodes'),
    cluster.get<Groups>('/apis'),
  ])
  const versions = groups.groups.flatMap(group => group.versions.map(({ groupVersion }) => `/apis/${groupVersion}`))
  // A group whose own server is unavailable is served by no one.
  const found = await Promise.all(
    ['/api/v1', ...versions].map(path => cluster.get<Resources>(path).catch(() => undefined)),
  )
  const lists = found.filter(list => list !== undefined)
  const kinds = new Set(
    lists.flatMap(({ groupVersion, resources }) => resources.map(({ kind }) => `${kind} (${groupVersion})`)),
  )
  const [ingressClasses, storageClasses, gatewayClasses] = await Promise.all([
    namesOf(cluster, '/apis/networking.k8s.io/v1/ingressclasses'),
    namesOf(cluster, '/apis/storage.k8s.io/v1/storageclasses'),
    namesOf(cluster, '/apis/gateway.networking.k8s.io/v1/gatewayclasses'),
  ])
  const metrics = await cluster.get('/apis/metrics.k8s.io/v1beta1/nodes').catch(() => undefined)
  return {
    version: gitVersion,
    nodes: nodes.items.map(({ metadata }) => metadata.name),
    runtimes: [...new Set(nodes.items.map(({ status }) => `${status.nodeInfo.containerRuntimeVersion}`))],
    hasMetrics: metrics !== undefined,
    ...{ ingressClasses, storageClasses, gatewayClasses, kinds },
  }
}

async function namesOf(cluster: Cluster, path: string): Promise<readonly string[]> {
  const list = await cluster.find<{ items: readonly KubeObject[] }>(path)
  return list?.items.map(({ metadata }) => metadata.name) ?? []
}
