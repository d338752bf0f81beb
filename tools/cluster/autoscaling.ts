import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { Deployment } from './deployment.ts'
import type { Cluster, KubeObject } from './kube.ts'

const EVERY_MS = 5000

interface Autoscaler extends KubeObject {
  readonly spec: { readonly minReplicas?: number; readonly maxReplicas: number }
  readonly status: {
    readonly currentReplicas?: number
    readonly desiredReplicas?: number
    readonly currentMetrics?: readonly {
      readonly resource?: { readonly current?: { readonly averageUtilization?: number } }
    }[]
  }
}

/** An autoscaler at a moment, in seconds since the recording began. */
export interface Point {
  readonly at: number
  readonly replicas: number
  readonly desired: number
  /** Of the requested CPU; null while it is not measured. */
  readonly percent: number | null
}

export interface AutoscalerRecord {
  readonly name: string
  readonly min: number
  readonly max: number
  readonly points: readonly Point[]
}

/** Records the autoscalers of a deployment over time. */
export class AutoscalingRecorder {
  readonly #begin = performance.now()
  readonly #records = new Map<string, { min: number; max: number; points: Point[] }>()
  readonly #stop = new AbortController()
  readonly #done: Promise<void>

  constructor(cluster: Cluster, deployment: Deployment) {
    const path = `/apis/autoscaling/v2/namespaces/${deployment.namespace}/horizontalpodautoscalers`
    this.#done = this.#run(() => cluster.get<{ items: readonly Autoscaler[] }>(path))
  }

  /** Seconds since the recording began. */
  now(): number {
    return (performance.now() - this.#begin) / 1000
  }

  async stop(): Promise<readonly AutoscalerRecord[]> {
    this.#stop.abort()
    await this.#done
    return [...this.#records].map(([name, record]) => ({ name, ...record }))
  }

  async #run(list: () => Promise<{ items: readonly Autoscaler[] }>): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const { items } = await list().catch(() => ({ items: [] }))
      const at = Math.round(this.now())
      for (const item of items) this.#add(at, item)
      await pause(EVERY_MS, this.#stop.signal)
    }
  }

  #add(at: number, { metadata, spec, status }: Autoscaler): void {
    const { minReplicas: min = 1, maxReplicas: max } = spec
    const record = this.#records.get(metadata.name) ?? { min, max, points: [] }
    this.#records.set(metadata.name, record)
    const percent = status.currentMetrics?.[0]?.resource?.current?.averageUtilization ?? null
    record.points.push({ at, replicas: status.currentReplicas ?? 0, desired: status.desiredReplicas ?? 0, percent })
  }
}

/** Returns the most replicas between two moments. */
export function mostReplicas(
  { points }: Pick<AutoscalerRecord, 'points'>,
  from = 0,
  to = Number.POSITIVE_INFINITY,
): number {
  return Math.max(0, ...points.filter(({ at }) => at >= from && at <= to).map(({ replicas }) => replicas))
}
