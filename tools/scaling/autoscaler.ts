// The algorithm of Kubernetes' HorizontalPodAutoscaler (autoscaling/v2), which KEDA uses too: see
// replica_calculator.go and horizontal.go of pkg/controller/podautoscaler.

/** A ratio of measured to target this close to 1 changes nothing: the controller's default. */
const TOLERANCE = 0.1

export type Series = 'age' | 'size'

export type Metric =
  /** Used CPU as a share of the pods' request. */
  | { readonly kind: 'cpu'; readonly target: number }
  /** A figure from Prometheus, divided by the number of pods. */
  | { readonly kind: 'average'; readonly series: Series; readonly target: number }

export interface Rules {
  readonly stabilizationS: number
  readonly policies: readonly { readonly type: 'Percent' | 'Pods'; readonly value: number; readonly periodS: number }[]
}

export interface AutoscalerSpec {
  readonly min: number
  readonly max: number
  readonly metrics: readonly Metric[]
  readonly up: Rules
  readonly down: Rules
}

/** The CPU measurement of a pod. */
export interface PodReading {
  /** Cores; undefined if not measured yet. */
  readonly usage: number | undefined
  readonly request: number
  /** False until a whole measurement window has passed since the pod became ready. */
  readonly isSettled: boolean
}

export interface Readings {
  readonly pods: readonly PodReading[]
  /** Results of the Prometheus queries; undefined if a query has no result. */
  readonly series: Readonly<Record<Series, number | undefined>>
}

/** One autoscaler with its recent recommendations and changes. */
export class Autoscaler {
  readonly #spec: AutoscalerSpec
  readonly #recommendations: { readonly atS: number; readonly replicas: number }[] = []
  readonly #changes: { readonly atS: number; readonly by: number }[] = []

  constructor(spec: AutoscalerSpec) {
    this.#spec = spec
  }

  /** Returns the number of pods that there should be now. */
  decide(nowS: number, current: number, readings: Readings): number {
    const { min, max, metrics } = this.#spec
    const proposals = metrics.map(metric => proposalOf(metric, current, readings))
    const valid = proposals.filter(proposal => proposal !== undefined)
    // While a metric is missing, the others can only scale up.
    const floor = valid.length < proposals.length ? current : 0
    const wanted = Math.max(floor, ...(valid.length === 0 ? [current] : valid))
    const stable = this.#stabilize(nowS, current, wanted)
    const limited = this.#limit(nowS, current, stable)
    const replicas = Math.min(max, Math.max(min, limited))
    if (replicas !== current) this.#changes.push({ atS: nowS, by: replicas - current })
    return replicas
  }

  /** Limits the size to the lowest recommendation of the up, and the highest of the down window. */
  #stabilize(nowS: number, current: number, wanted: number): number {
    const { up, down } = this.#spec
    const since = (windowS: number): number[] =>
      this.#recommendations.filter(({ atS }) => atS > nowS - windowS).map(({ replicas }) => replicas)
    const upTo = Math.min(wanted, ...since(up.stabilizationS))
    const downTo = Math.max(wanted, ...since(down.stabilizationS))
    this.#recommendations.push({ atS: nowS, replicas: wanted })
    return Math.min(Math.max(current, upTo), downTo)
  }

  /** Limits the speed by the policies. Of several policies the most permissive one counts. */
  #limit(nowS: number, current: number, wanted: number): number {
    if (wanted === current) return current
    const isUp = wanted > current
    const { policies } = isUp ? this.#spec.up : this.#spec.down
    const proposals = policies.map(({ type, value, periodS }) => {
      const changes = this.#changes.filter(({ atS }) => atS > nowS - periodS)
      const atStart = current - changes.reduce((sum, { by }) => sum + by, 0)
      if (isUp) return type === 'Pods' ? atStart + value : Math.ceil(atStart * (1 + value / 100))
      return type === 'Pods' ? atStart - value : Math.trunc(atStart * (1 - value / 100))
    })
    return isUp ? Math.min(wanted, Math.max(current, ...proposals)) : Math.max(wanted, Math.min(current, ...proposals))
  }
}

/** Returns the number of pods by one metric; undefined if the metric is missing. */
function proposalOf(metric: Metric, current: number, { pods, series }: Readings): number | undefined {
  if (metric.kind === 'cpu') return replicasByCpu(metric.target, current, pods)
  const value = series[metric.series]
  if (value === undefined) return undefined
  return isWithinTolerance(value / (metric.target * current)) ? current : Math.ceil(value / metric.target)
}

function replicasByCpu(target: number, current: number, pods: readonly PodReading[]): number | undefined {
  const missing = pods.filter(({ usage }) => usage === undefined)
  const measured = pods.filter(({ usage }) => usage !== undefined)
  const [settled, unsettled] = [measured.filter(one => one.isSettled), measured.filter(one => !one.isSettled)]
  if (settled.length === 0) return undefined

  const ratio = ratioOf(target, settled)
  if (missing.length === 0 && (unsettled.length === 0 || ratio <= 1)) {
    return isWithinTolerance(ratio) ? current : Math.ceil(ratio * settled.length)
  }
  // Unknown usage makes the change smaller: idle when scaling up, the full request when down.
  const assumed = [
    ...settled,
    ...missing.map(pod => ({ ...pod, usage: ratio < 1 ? pod.request * Math.max(1, target) : 0 })),
    ...(ratio > 1 ? unsettled.map(pod => ({ ...pod, usage: 0 })) : []),
  ]
  const cautious = ratioOf(target, assumed)
  const isReversed = (ratio < 1 && cautious > 1) || (ratio > 1 && cautious < 1)
  if (isWithinTolerance(cautious) || isReversed) return current
  const replicas = Math.ceil(cautious * assumed.length)
  return (cautious < 1 && replicas > current) || (cautious > 1 && replicas < current) ? current : replicas
}

/** Returns the ratio of used to target, with used in whole percent as in the controller. */
function ratioOf(target: number, pods: readonly PodReading[]): number {
  const usage = pods.reduce((sum, pod) => sum + (pod.usage ?? 0), 0)
  const request = pods.reduce((sum, pod) => sum + pod.request, 0)
  return Math.trunc((usage * 100) / request) / (target * 100)
}

function isWithinTolerance(ratio: number): boolean {
  return Math.abs(ratio - 1) <= TOLERANCE
}
