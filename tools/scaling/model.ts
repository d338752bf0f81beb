import { Assignment } from '@tidemark/analyzer/ownership/assignment'
import type { Readings } from './autoscaler.ts'
import { Backlog } from './backlog.ts'
import type { TierSpec } from './manifests.ts'
import { type Pod, Tier } from './tier.ts'

/** How often Prometheus scrapes the pods: the PodMonitor's interval. */
const SCRAPE_S = 15

/** A partition pauses when its owner changes: one commits, the other loads windows. */
const HANDOFF_S = 1

/** Measured throughput of a pod: docs/performance.md. */
export interface Capacity {
  /** Samples/s that one gateway core accepts. */
  readonly gatewaySamplesPerCore: number
  /** Samples/s that one analyzer core analyses. */
  readonly analyzerSamplesPerCore: number
}

export interface Scenario {
  readonly name: string
  readonly title: string
  readonly durationS: number
  /** Samples that arrive in a second. */
  readonly load: (atS: number) => number
  /** Whether the analyzers run; always, if not given. */
  readonly isRunning?: (atS: number) => boolean
}

export interface ModelOptions {
  readonly scenario: Scenario
  readonly gateway: TierSpec
  readonly analyzer: TierSpec
  readonly partitions: number
  readonly capacity: Capacity
  /** From the request for a pod until it is ready. */
  readonly startS: number
}

/**
 * One second of a run. The load beyond the gateways' capacity is rejected. The CPU is a share of
 * the ready pods' request.
 */
export type Second = Readonly<
  Record<
    'atS' | 'load' | 'rejected' | 'gateways' | 'analyzers' | 'gatewayCpu' | 'analyzerCpu' | 'backlog' | 'ageS',
    number
  >
>

/** Simulates a scenario, second by second. Equal options give equal results. */
export function simulate(options: ModelOptions): Second[] {
  const { scenario, partitions, startS } = options
  const gateways = new Tier('gateway', options.gateway, startS)
  const analyzers = new Tier('analyzer', options.analyzer, startS)
  const backlog = new Backlog(partitions)
  const owners = new Owners(partitions)
  const seconds: Second[] = []
  let scraped: Readings['series'] = { age: 0, size: 0 }

  for (let atS = 0; atS < scenario.durationS; atS++) {
    const load = scenario.load(atS)
    const taken = serve(gateways, atS, load, options)
    backlog.add(atS, taken.samples)
    const isRunning = scenario.isRunning?.(atS) ?? true
    const analyzerCpu = isRunning ? drain(analyzers, atS, backlog, owners, options) : 0
    // A sample that is not analysed within the second of its arrival adds to the lag.
    const ageS = backlog.oldestAgeS(atS + 1)
    const rejected = Math.max(0, load - taken.samples)
    const sizes = { gateways: gateways.size, analyzers: analyzers.size, backlog: backlog.samples }
    seconds.push({ atS, load, rejected, gatewayCpu: taken.cpu, analyzerCpu, ageS, ...sizes })
    if (atS % SCRAPE_S === 0) {
      // The analyzers report the backlog: while none runs, the metric is missing.
      scraped = isRunning ? { age: ageS, size: backlog.samples } : { age: undefined, size: undefined }
    }
    gateways.tick(atS + 1, scraped)
    analyzers.tick(atS + 1, scraped)
  }
  return seconds
}

/** Simulates a second of the gateways: the load is spread over the ready ones. */
function serve(tier: Tier, atS: number, load: number, { gateway, capacity }: ModelOptions) {
  const ready = tier.ready(atS)
  const most = gateway.usableCores * capacity.gatewaySamplesPerCore
  const each = Math.min(load / ready.length, most)
  for (const pod of ready) pod.usedCoreS += each / capacity.gatewaySamplesPerCore
  return { samples: each * ready.length, cpu: each / capacity.gatewaySamplesPerCore / gateway.requestCores }
}

/** Simulates a second of the analyzers. Returns the share of CPU used. */
function drain(tier: Tier, atS: number, backlog: Backlog, owners: Owners, options: ModelOptions): number {
  const { analyzer, capacity } = options
  const ready = tier.ready(atS)
  const most = analyzer.usableCores * capacity.analyzerSamplesPerCore
  let cores = 0
  for (const [pod, partitions] of owners.at(atS, ready)) {
    const pending = partitions.map(partition => ({ partition, samples: backlog.of(partition) }))
    const wanted = pending.reduce((sum, { samples }) => sum + samples, 0)
    const share = Math.min(1, most / wanted)
    if (wanted > 0) for (const { partition, samples } of pending) backlog.take(partition, samples * share)
    const used = Math.min(most, wanted) / capacity.analyzerSamplesPerCore
    pod.usedCoreS += used
    cores += used
  }
  return cores / (ready.length * analyzer.requestCores)
}

/** The owners of the partitions, by the analyzers' own assignment function. */
class Owners {
  readonly #assignment: Assignment
  #members = ''
  /** By partition: the owner, and from when it works. */
  readonly #owners = new Map<number, { readonly pod: Pod; readonly sinceS: number }>()

  constructor(partitions: number) {
    this.#assignment = new Assignment(partitions)
  }

  /** Returns the partitions of each pod, without those whose owner has just changed. */
  at(nowS: number, ready: readonly Pod[]): Map<Pod, number[]> {
    const names = ready.map(({ name }) => name)
    if (names.join() !== this.#members) this.#assign(nowS, ready, names)
    const owned = new Map<Pod, number[]>(ready.map(pod => [pod, []]))
    for (const [partition, { pod, sinceS }] of this.#owners) if (sinceS <= nowS) owned.get(pod)?.push(partition)
    return owned
  }

  #assign(nowS: number, ready: readonly Pod[], names: readonly string[]): void {
    const sinceS = this.#members === '' ? nowS : nowS + HANDOFF_S
    this.#members = names.join()
    for (const pod of ready) {
      for (const partition of this.#assignment.of(pod.name, names)) {
        if (this.#owners.get(partition)?.pod !== pod) this.#owners.set(partition, { pod, sinceS })
      }
    }
  }
}
