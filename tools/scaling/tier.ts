import { Autoscaler, type Readings } from './autoscaler.ts'
import type { TierSpec } from './manifests.ts'

/** How often the autoscalers run: the controller's default. */
const SYNC_S = 15
/** How often metrics-server measures CPU, each time since the previous measurement: its default. */
const MEASURE_S = 15
/** After its start, a pod's CPU counts this long only if it is ready: the controller's default. */
const CPU_INITIALIZATION_S = 300

/** A pod, from the request for it until it is stopped. */
export interface Pod {
  readonly name: string
  readonly createdS: number
  readonly readyS: number
  /** Core seconds since its CPU was last measured. */
  usedCoreS: number
  measuredCores: number | undefined
  measuredAtS: number
}

/** The pods of one Deployment, their CPU usage, and the autoscaler that sets their number. */
export class Tier {
  readonly #name: string
  readonly #spec: TierSpec
  readonly #startS: number
  readonly #autoscaler: Autoscaler
  readonly #pods: Pod[] = []
  #made = 0

  constructor(name: string, spec: TierSpec, startS: number) {
    this.#name = name
    this.#spec = spec
    this.#startS = startS
    this.#autoscaler = new Autoscaler(spec.autoscaler)
    // The initial pods count as long running.
    for (let i = 0; i < spec.autoscaler.min; i++) this.#add(-2 * CPU_INITIALIZATION_S)
  }

  /** The number of requested pods, ready or not. */
  get size(): number {
    return this.#pods.length
  }

  ready(nowS: number): Pod[] {
    return this.#pods.filter(({ readyS }) => readyS <= nowS)
  }

  /** Measures or scales if it is time for it. */
  tick(nowS: number, series: Readings['series']): void {
    if (nowS % MEASURE_S === 0) this.#measure(nowS)
    // Not at the same moment: an autoscaler's measurements are always a little old.
    if (nowS % SYNC_S === Math.floor(SYNC_S / 2)) this.#scale(nowS, series)
  }

  #measure(nowS: number): void {
    for (const pod of this.#pods) {
      // A rate needs two measurements.
      if (pod.createdS <= nowS - MEASURE_S) {
        pod.measuredCores = pod.usedCoreS / MEASURE_S
        pod.measuredAtS = nowS
      }
      pod.usedCoreS = 0
    }
  }

  #scale(nowS: number, series: Readings['series']): void {
    const pods = this.#pods.map(({ createdS, readyS, measuredCores, measuredAtS }) => {
      const isYoung = createdS > nowS - CPU_INITIALIZATION_S
      const isSettled = readyS <= nowS && (!isYoung || measuredAtS >= readyS + MEASURE_S)
      return { usage: measuredCores, request: this.#spec.requestCores, isSettled }
    })
    const wanted = this.#autoscaler.decide(nowS, this.size, { pods, series })
    while (this.size < wanted) this.#add(nowS)
    // Kubernetes removes the pods that are not ready first, then the youngest.
    this.#pods.splice(wanted)
  }

  #add(nowS: number): void {
    this.#pods.push({
      name: `${this.#name}-${this.#made++}`,
      createdS: nowS,
      readyS: nowS + this.#startS,
      usedCoreS: 0,
      measuredCores: undefined,
      measuredAtS: Number.NEGATIVE_INFINITY,
    })
  }
}
