import { Autoscaler, type Readings } from './autoscaler.ts'
import type { TierSpec } from './manifests.ts'

/** How often the autoscalers look: the controller's default. */
const SYNC_S = 15
/** How often metrics-server measures CPU, each time over the time since the last: its default. */
const MEASURE_S = 15
/** For so long after its start a pod's CPU counts only when it was measured while ready: the controller's default. */
const CPU_INITIALIZATION_S = 300

/** A pod, from when it is asked for until it is told to stop. */
export interface Pod {
  readonly name: string
  readonly createdS: number
  readonly readyS: number
}

interface Usage {
  /** Core seconds since it was last measured. */
  sinceMeasured: number
  measuredCores: number | undefined
  measuredAtS: number
}

/** The pods of one Deployment, how busy they are, and the autoscaler that says how many there are. */
export class Tier {
  readonly #name: string
  readonly #spec: TierSpec
  readonly #startS: number
  readonly #autoscaler: Autoscaler
  readonly #usage = new Map<Pod, Usage>()
  #pods: Pod[] = []
  #made = 0

  constructor(name: string, spec: TierSpec, { startS, pods }: { readonly startS: number; readonly pods: number }) {
    this.#name = name
    this.#spec = spec
    this.#startS = startS
    this.#autoscaler = new Autoscaler(spec.autoscaler)
    // Those that are there at the beginning have been there for long.
    for (let i = 0; i < pods; i++) this.#add(-2 * CPU_INITIALIZATION_S)
  }

  /** Pods that are wanted, ready or not. */
  get size(): number {
    return this.#pods.length
  }

  ready(nowS: number): Pod[] {
    return this.#pods.filter(({ readyS }) => readyS <= nowS)
  }

  /** Notes that `pod` used `cores` for a second. */
  use(pod: Pod, cores: number): void {
    const usage = this.#usage.get(pod)
    if (usage !== undefined) usage.sinceMeasured += cores
  }

  /** Measures and scales, when it is time for either. */
  tick(nowS: number, series: Readings['series']): void {
    if (nowS % MEASURE_S === 0) this.#measure(nowS)
    // Not at the same moment: what the autoscaler sees is always a little old.
    if (nowS % SYNC_S === Math.floor(SYNC_S / 2)) this.#scale(nowS, series)
  }

  #measure(nowS: number): void {
    for (const [pod, usage] of this.#usage) {
      // A rate takes two measurements.
      if (pod.createdS <= nowS - MEASURE_S) {
        usage.measuredCores = usage.sinceMeasured / MEASURE_S
        usage.measuredAtS = nowS
      }
      usage.sinceMeasured = 0
    }
  }

  #scale(nowS: number, series: Readings['series']): void {
    const pods = this.#pods.map(pod => {
      const usage = this.#usage.get(pod)
      const isYoung = pod.createdS > nowS - CPU_INITIALIZATION_S
      const wasReady = (usage?.measuredAtS ?? 0) >= pod.readyS + MEASURE_S
      return {
        usage: usage?.measuredCores,
        request: this.#spec.requestCores,
        isSettled: pod.readyS <= nowS && (!isYoung || wasReady),
      }
    })
    const wanted = this.#autoscaler.decide(nowS, this.size, { pods, series })
    while (this.size < wanted) this.#add(nowS)
    // Kubernetes takes away those that are not ready first, then the youngest.
    for (const pod of this.#pods.splice(wanted)) this.#usage.delete(pod)
  }

  #add(nowS: number): void {
    const pod: Pod = { name: `${this.#name}-${this.#made++}`, createdS: nowS, readyS: nowS + this.#startS }
    this.#pods.push(pod)
    this.#usage.set(pod, { sinceMeasured: 0, measuredCores: undefined, measuredAtS: Number.NEGATIVE_INFINITY })
  }
}
