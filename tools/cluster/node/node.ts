import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { Cluster } from '../kube.ts'

/** As a node's defaults: the control plane gives up a node after 50 s (40 s before 1.32). */
const LEASE_S = 40
const RENEW_MS = 10_000
const STATUS_EVERY_MS = 300_000

export const MANAGER = 'tidemark-node'

export interface NodeSettings {
  readonly name: string
  readonly zone: string
  readonly cores: number
  readonly memoryBytes: number
  readonly podsMax: number
  readonly hostIp: string
  readonly port: number
  readonly version: string
}

/** Registers a node and keeps its lease and status fresh until `stop` aborts. */
export async function keepNode(cluster: Cluster, settings: NodeSettings, stop: AbortSignal): Promise<void> {
  const { name, zone } = settings
  const path = `/api/v1/nodes/${name}`
  const labels = {
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': process.arch === 'x64' ? 'amd64' : process.arch,
    'topology.kubernetes.io/zone': zone,
  }
  await cluster.apply(path, { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } }, MANAGER)
  let reportedAt = Number.NEGATIVE_INFINITY
  while (!stop.aborted) {
    try {
      if (performance.now() - reportedAt >= STATUS_EVERY_MS) {
        await cluster.merge(`${path}/status`, { status: nodeStatus(settings, new Date()) })
        reportedAt = performance.now()
      }
      await cluster.apply(
        `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${name}`,
        lease(name),
        MANAGER,
      )
    } catch (error) {
      if (!stop.aborted) process.stderr.write(`tidemark: the lease of ${name}: ${String(error)}\n`)
    }
    await pause(RENEW_MS, stop)
  }
}

function lease(name: string) {
  // Microseconds, as MicroTime requires.
  const renewTime = new Date().toISOString().replace('Z', '000Z')
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace: 'kube-node-lease' },
    spec: { holderIdentity: name, leaseDurationSeconds: LEASE_S, renewTime },
  }
}

/** Returns the status of a healthy node of this size. */
export function nodeStatus({ name, cores, memoryBytes, podsMax, hostIp, port, version }: NodeSettings, now: Date) {
  const time = now.toISOString()
  const condition = (type: string, status: string, reason: string) => {
    return { type, status, reason, message: '', lastHeartbeatTime: time, lastTransitionTime: time }
  }
  const size = { cpu: String(cores), memory: `${Math.floor(memoryBytes / 1024)}Ki`, pods: String(podsMax) }
  return {
    capacity: size,
    allocatable: size,
    addresses: [
      { type: 'InternalIP', address: hostIp },
      { type: 'Hostname', address: name },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    nodeInfo: {
      ...{ machineID: name, systemUUID: name, bootID: name, kernelVersion: '', osImage: 'stand-in kubelet' },
      ...{ containerRuntimeVersion: 'processes://1', kubeletVersion: version, kubeProxyVersion: '' },
      ...{ operatingSystem: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch },
    },
    conditions: [
      condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory'),
      condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure'),
      condition('PIDPressure', 'False', 'KubeletHasSufficientPID'),
      condition('Ready', 'True', 'KubeletReady'),
    ],
  }
}
