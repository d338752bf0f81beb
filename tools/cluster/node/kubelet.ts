import { join } from 'node:path'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { type Cluster, KubeError, type KubeObject } from '../kube.ts'
import type { Addresses } from './addresses.ts'
import type { Claims } from './claims.ts'
import type { Contents, Pod, Sources } from './pod.ts'
import type { Programs } from './program.ts'
import { RunningPod } from './running-pod.ts'

const MEASURE_MS = 5000
const STATUS_RETRY_MS = 1000

interface WithData extends KubeObject {
  readonly data?: Readonly<Record<string, string>>
  readonly binaryData?: Readonly<Record<string, string>>
}

export interface KubeletContext {
  readonly cluster: Cluster
  readonly nodes: readonly string[]
  readonly addresses: Addresses
  readonly claims: Claims
  readonly programs: Programs
  readonly folder: string
  readonly hostIp: string
  say(text: string): void
}

/** Runs the pods that the scheduler binds to its nodes. */
export class Kubelet {
  readonly #context: KubeletContext
  /** By UID: a pod of a StatefulSet comes back under its name. */
  readonly #pods = new Map<string, RunningPod>()
  readonly #ending = new Set<string>()
  /** Pods that are being killed, by name: one that replaces them waits for their end. */
  readonly #killed = new Map<string, Promise<void>>()
  readonly #dirty = new Set<string>()
  readonly #reporting = new Set<string>()

  constructor(context: KubeletContext) {
    this.#context = context
  }

  /** The pods of the nodes, with what has ended. */
  pods(): readonly RunningPod[] {
    return [...this.#pods.values()]
  }

  find(namespace: string, name: string): RunningPod | undefined {
    return this.pods().find(({ pod }) => pod.metadata.namespace === namespace && pod.metadata.name === name)
  }

  async run(stop: AbortSignal): Promise<void> {
    const watcher = {
      onList: (pods: readonly Pod[]) => {
        const listed = new Set(pods.map(({ metadata }) => metadata.uid))
        for (const pod of this.pods()) if (!listed.has(pod.pod.metadata.uid)) this.#gone(pod.pod)
        for (const pod of pods) this.#take(pod)
      },
      onChange: (pod: Pod) => this.#take(pod),
      onDelete: (pod: Pod) => this.#gone(pod),
    }
    const watching = this.#context.cluster.watch<Pod>('/api/v1/pods', watcher, stop)
    while (!stop.aborted) {
      const now = Date.now()
      await Promise.all(this.pods().map(pod => pod.measure(now)))
      await pause(MEASURE_MS, stop)
    }
    await watching
    await Promise.all(this.pods().map(pod => pod.kill()))
  }

  #take(pod: Pod): void {
    const { nodeName = '' } = pod.spec
    const { uid = '', deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata
    if (!this.#context.nodes.includes(nodeName)) return
    const running = this.#pods.get(uid)
    running?.update(pod)
    if (deletionTimestamp !== undefined) {
      if (!this.#ending.has(uid)) void this.#terminate(pod, running, deletionGracePeriodSeconds)
      return
    }
    const { phase } = pod.status ?? {}
    if (running === undefined && phase !== 'Succeeded' && phase !== 'Failed') this.#start(pod, uid)
  }

  #start(pod: Pod, uid: string): void {
    const { cluster, addresses, claims, programs, folder, hostIp, say } = this.#context
    const { name, namespace = '' } = pod.metadata
    const running = new RunningPod(pod, {
      after: this.#killed.get(`${namespace}/${name}`),
      address: addresses.ofPod(namespace, name, pod.spec.subdomain),
      folder: join(folder, 'pods', uid),
      hostIp,
      programs,
      sources: sourcesOf(cluster, namespace),
      resolve: host => addresses.resolve(host, namespace),
      claimFolder: claim => claims.folderOf(namespace, claim),
      onStatus: () => void this.#report(uid),
    })
    this.#pods.set(uid, running)
    say(`${name} starts on ${pod.spec.nodeName}`)
    void this.#report(uid)
  }

  /** Reports the status of a pod: one request at a time, so that the newest one is last. */
  async #report(uid: string): Promise<void> {
    this.#dirty.add(uid)
    if (this.#reporting.has(uid)) return
    this.#reporting.add(uid)
    while (this.#dirty.delete(uid)) await this.#send(uid)
    this.#reporting.delete(uid)
  }

  async #send(uid: string): Promise<void> {
    const running = this.#pods.get(uid)
    if (running === undefined) return
    const { name, namespace } = running.pod.metadata
    try {
      const path = `/api/v1/namespaces/${namespace}/pods/${name}/status`
      const change = { metadata: { uid }, status: running.status() }
      running.update(await this.#context.cluster.merge<Pod>(path, change))
    } catch (error) {
      // The pod has gone, or another one has its name.
      if (error instanceof KubeError && (error.status === 404 || error.status === 409)) return
      this.#context.say(`the status of ${name}: ${error instanceof Error ? error.message : error}`)
      this.#dirty.add(uid)
      await pause(STATUS_RETRY_MS)
    }
  }

  async #terminate(pod: Pod, running: RunningPod | undefined, graceS: number | undefined): Promise<void> {
    const { name, namespace, uid = '' } = pod.metadata
    this.#ending.add(uid)
    this.#context.say(`${name} stops`)
    await running?.terminate(graceS)
    await this.#report(uid)
    this.#release(pod)
    const body = { gracePeriodSeconds: 0, preconditions: { uid } }
    await this.#context.cluster.delete(`/api/v1/namespaces/${namespace}/pods/${name}`, body).catch(() => {})
  }

  /** A pod that was deleted without a grace period. */
  #gone({ metadata }: Pod): void {
    this.#ending.delete(metadata.uid ?? '')
    const running = this.#pods.get(metadata.uid ?? '')
    if (running === undefined) return
    this.#context.say(`${metadata.name} is killed`)
    this.#release(running.pod)
    const key = `${metadata.namespace}/${metadata.name}`
    const killed = running.kill()
    this.#killed.set(key, killed)
    void killed.then(() => this.#killed.delete(key))
  }

  #release({ metadata }: Pod): void {
    this.#pods.delete(metadata.uid ?? '')
    this.#context.addresses.releasePod(metadata.namespace ?? '', metadata.name)
  }
}

function sourcesOf(cluster: Cluster, namespace: string): Sources {
  const read = async (kind: 'secrets' | 'configmaps', name: string): Promise<Contents> => {
    const object = await cluster.find<WithData>(`/api/v1/namespaces/${namespace}/${kind}/${name}`)
    if (object === undefined) return undefined
    const encoding = kind === 'secrets' ? 'base64' : 'utf8'
    const text = Object.entries(object.data ?? {}).map(([key, value]) => [key, Buffer.from(value, encoding)] as const)
    const bytes = Object.entries(object.binaryData ?? {})
    return new Map([...text, ...bytes.map(([key, value]) => [key, Buffer.from(value, 'base64')] as const)])
  }
  return { secret: name => read('secrets', name), configMap: name => read('configmaps', name) }
}
