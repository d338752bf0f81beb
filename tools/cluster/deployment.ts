import { createDeploymentSecrets } from '@tidemark/gateway/secrets/deployment-secrets'
import { Failure } from '../lib/options.ts'
import { kubernetesSecrets } from '../secrets/kubernetes.ts'
import type { Cluster, KubeObject } from './kube.ts'
import { applyManifests, type Manifest } from './manifests.ts'
import { until } from './wait.ts'

const READY_LIMIT_S = 300
const REMOVED_LIMIT_S = 300

/** Marks a namespace that this program created, and may remove. */
const OWNED = { 'tidemark.example.com/made-by': 'npm-run-cluster' }
const [[OWNED_LABEL]] = Object.entries(OWNED) as [[string, string]]

interface Workload extends KubeObject {
  readonly spec: { readonly replicas?: number }
  readonly status: {
    readonly observedGeneration?: number
    readonly replicas?: number
    readonly readyReplicas?: number
    readonly updatedReplicas?: number
  }
}

interface Pod extends KubeObject {
  readonly spec: { readonly nodeName?: string }
  readonly status: {
    readonly phase: string
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
    readonly containerStatuses?: readonly {
      readonly restartCount: number
      readonly state: { readonly waiting?: { readonly reason: string; readonly message?: string } }
    }[]
  }
}

interface Autoscaler extends KubeObject {
  readonly spec: { readonly minReplicas?: number }
  readonly status: { readonly currentReplicas?: number; readonly currentMetrics?: readonly object[] }
}

const WORKLOADS = { gateway: 'deployments', analyzer: 'deployments', redis: 'statefulsets' } as const
export type WorkloadName = keyof typeof WORKLOADS

function isReady({ status }: Pod): boolean {
  return status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false
}

/** Tidemark in a namespace of a cluster. */
export class Deployment {
  readonly namespace: string
  readonly #cluster: Cluster
  readonly #stop: AbortSignal

  constructor(cluster: Cluster, namespace: string, stop: AbortSignal) {
    this.#cluster = cluster
    this.namespace = namespace
    this.#stop = stop
  }

  /** Applies the manifests, with new Secrets at the first time. */
  async apply(manifests: readonly Manifest[]): Promise<void> {
    const { namespace } = this
    await this.#requireOwn()
    const labels = manifests.find(({ kind }) => kind === 'Namespace')?.metadata.labels
    const own = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: { ...labels, ...OWNED } } }
    await applyManifests(this.#cluster, [own])
    if ((await this.#cluster.find(this.path('secrets', 'tidemark-redis'))) === undefined) {
      const secrets = createDeploymentSecrets(Date.now())
      const { items } = kubernetesSecrets(secrets, { namespace, redisUrl: 'redis://redis:6379' })
      await applyManifests(this.#cluster, items)
    }
    await applyManifests(
      this.#cluster,
      manifests.filter(({ kind }) => kind !== 'Namespace'),
    )
  }

  /** Waits until every workload has all its pods ready, of the newest version. */
  async ready(limitS = READY_LIMIT_S): Promise<void> {
    for (const name of Object.keys(WORKLOADS) as WorkloadName[]) {
      try {
        await until(`${name}: all pods ready`, limitS, this.#stop, async () => {
          const { metadata, spec, status } = await this.#workload(name)
          const { replicas = 1 } = spec
          const isCurrent = status.observedGeneration === (metadata as { generation?: number }).generation
          const counts = [status.replicas, status.readyReplicas, status.updatedReplicas].map(count => count ?? 0)
          // The counts may be those before a pod was deleted.
          const pods = (await this.pods(name)).filter(isReady)
          return isCurrent && [...counts, pods.length].every(count => count === replicas) ? true : undefined
        })
      } catch (error) {
        const [waiting] = (await this.pods(name))
          .flatMap(pod => pod.status.containerStatuses ?? [])
          .map(one => one.state.waiting)
        const reason = waiting === undefined ? '' : ` (${waiting.reason}: ${waiting.message ?? ''})`
        throw error instanceof Failure ? new Failure(`${error.message}${reason}`, { cause: error }) : error
      }
    }
  }

  /** Waits until the autoscalers have measured all pods and have at least their minimum. */
  async autoscaled(): Promise<void> {
    const path = `/apis/autoscaling/v2/namespaces/${this.namespace}/horizontalpodautoscalers`
    await until('the autoscalers measure the pods', READY_LIMIT_S, this.#stop, async () => {
      const { items } = await this.#cluster.get<{ items: readonly Autoscaler[] }>(path)
      const isDone = items.every(({ spec, status }) => {
        return (status.currentReplicas ?? 0) >= (spec.minReplicas ?? 1) && (status.currentMetrics?.length ?? 0) > 0
      })
      return isDone ? true : undefined
    })
    await this.ready()
  }

  async pods(name: WorkloadName): Promise<readonly Pod[]> {
    const selector = `?labelSelector=app.kubernetes.io/name%3D${name}`
    const { items } = await this.#cluster.get<{ items: readonly Pod[] }>(`${this.path('pods')}${selector}`)
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  }

  /** Kills a pod without a grace period, and waits until another one has replaced it. */
  async kill(name: WorkloadName): Promise<void> {
    const [victim] = await this.pods(name)
    if (victim === undefined) throw new Failure(`${name} has no pod`)
    await this.kubectl('delete', 'pod', victim.metadata.name, '--grace-period=0', '--force')
    await until(`${name}: the pod is replaced`, READY_LIMIT_S, this.#stop, async () => {
      const pods = await this.pods(name)
      return pods.length > 0 && pods.every(pod => pod.metadata.uid !== victim.metadata.uid) ? true : undefined
    })
    await this.ready()
  }

  /** Sets the pods of a workload and waits until they are there, or gone. */
  async scale(name: WorkloadName, replicas: number): Promise<void> {
    await this.kubectl('scale', `${WORKLOADS[name]}/${name}`, `--replicas=${replicas}`)
    await until(`${name}: ${replicas} pods`, READY_LIMIT_S, this.#stop, async () => {
      const { status } = await this.#workload(name)
      const isDone = replicas === 0 ? (status.replicas ?? 0) === 0 : (status.readyReplicas ?? 0) >= replicas
      const pods = replicas === 0 ? await this.#allPods(name) : []
      return isDone && pods.length === 0 ? true : undefined
    })
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return this.#cluster.kubectl(['--namespace', this.namespace, ...args], { limitMs: READY_LIMIT_S * 1000 })
  }

  /** Returns the value of a Secret. */
  async secret(name: string, key: string): Promise<string> {
    const { data } = await this.#cluster.get<{ data: Record<string, string> }>(this.path('secrets', name))
    return Buffer.from(data[key] ?? '', 'base64').toString()
  }

  path(resource: string, name?: string): string {
    const group = { deployments: 'apps/v1', statefulsets: 'apps/v1', jobs: 'batch/v1' }[resource]
    const base = group === undefined ? '/api/v1' : `/apis/${group}`
    return `${base}/namespaces/${this.namespace}/${resource}${name === undefined ? '' : `/${name}`}`
  }

  /** Removes the namespace with everything in it, and what the manifests have outside of it. */
  async remove(manifests: readonly Manifest[]): Promise<boolean> {
    if ((await this.#requireOwn()) === undefined) return false
    await this.#cluster.kubectl(['delete', 'namespace', this.namespace, '--wait=false'])
    await until(`the namespace ${this.namespace} is gone`, REMOVED_LIMIT_S, this.#stop, async () =>
      (await this.#findNamespace()) === undefined ? true : undefined,
    )
    const others = manifests.filter(({ kind, metadata }) => kind !== 'Namespace' && metadata.namespace === undefined)
    if (others.length > 0) {
      const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: others })
      await this.#cluster.kubectl(['delete', '--ignore-not-found', '-f', '-'], { input })
    }
    return true
  }

  /** Fails for a namespace that this program did not create: what follows deletes pods and data. */
  async #requireOwn(): Promise<KubeObject | undefined> {
    const found = await this.#findNamespace()
    if (found === undefined || OWNED_LABEL in (found.metadata.labels ?? {})) return found
    throw new Failure(
      `the namespace ${this.namespace} was not created by this program, which kills pods and replaces data: ` +
        'use a cluster without it',
    )
  }

  #findNamespace(): Promise<KubeObject | undefined> {
    return this.#cluster.find<KubeObject>(`/api/v1/namespaces/${this.namespace}`)
  }

  /** With those that are terminating. */
  async #allPods(name: WorkloadName): Promise<readonly Pod[]> {
    const selector = `?labelSelector=app.kubernetes.io/name%3D${name}`
    return (await this.#cluster.get<{ items: readonly Pod[] }>(`${this.path('pods')}${selector}`)).items
  }

  #workload(name: WorkloadName): Promise<Workload> {
    return this.#cluster.get<Workload>(this.path(WORKLOADS[name], name))
  }
}
