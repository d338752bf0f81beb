import { assignedTo } from '@tidemark/analyzer/ownership/assignment'
import type { Readings } from './autoscaler.ts'
import { Backlog } from './backlog.ts'
import type { TierSpec } from './manifests.ts'
import { type Pod, Tier } from './tier.ts'

/** How often Prometheus asks the pods: the PodMonitor's interval. */
const SCRAPE_S = 15

/** A partition that changes its owner rests for so long: the old one commits and lets go, the new one loads windows. */
const HANDOVER_S = 1

/** What a pod does, measured: docs/performance.md. */
export interface Capacity {
  /** Samples that a gateway takes each second for each core. */
  readonly gatewaySamplesPerCore: number
  /** Samples that an analyzer drains each second for each core. */
  readonly analyzerSamplesPerCore: number
}

export interface Scenario {
  readonly name: string
  readonly title: string
  readonly durationS: number
  /** Samples that come each second. */
  readonly load: (atS: number) => number
  /** Whether there are analyzers; always when absent. */
  readonly works?: (atS: number) => boolean
}

export interface ModelOptions {
  readonly scenario: Scenario
  readonly gateway: TierSpec
  readonly analyzer: TierSpec
  readonly partitions: number
  readonly capacity: Capacity
  /** From when a pod is asked for until it is ready. */
  readonly startS: number
}

/** One second of a run. */
export interface Second {
  readonly atS: number
  readonly load: number
  /** Samples that no gateway had the time for. */
  readonly refused: number
  readonly gateways: number
  readonly analyzers: number
  /** Share of what the ready pods ask for. */
  readonly gatewayCpu: number
  readonly analyzerCpu: number
  readonly backlog: number
  readonly ageS: number
}

/** Runs a scenario, second by second. The same options give the same run. */
export function simulate(options: ModelOptions): Second[] {
  const { scenario, partitions, startS } = options
  const gateways = new Tier('gateway', options.gateway, { startS, pods: options.gateway.autoscaler.min })
  const analyzers = new Tier('analyzer', options.analyzer, { startS, pods: options.analyzer.autoscaler.min })
  const backlog = new Backlog(partitions)
  const owners = new Owners(partitions)
  const seconds: Second[] = []
  let scraped: Readings['series'] = { age: 0, size: 0 }

  for (let atS = 0; atS < scenario.durationS; atS++) {
    const load = scenario.load(atS)
    const taken = serve(gateways, atS, load, options)
    backlog.add(atS, taken.samples)
    const works = scenario.works?.(atS) ?? true
    const analyzerCpu = works ? drain(analyzers, atS, backlog, owners, options) : 0
    // A sample is analysed within the second that it came in, or it is behind.
    const ageS = backlog.oldestAgeS(atS + 1)
    seconds.push({
      atS,
      load,
      refused: Math.max(0, load - taken.samples),
      gateways: gateways.size,
      analyzers: analyzers.size,
      gatewayCpu: taken.cpu,
      analyzerCpu,
      backlog: backlog.samples,
      ageS,
    })
    if (atS % SCRAPE_S === 0) {
      // It is the analyzers who say how far they are behind: while there is none nobody does.
      scraped = works ? { age: ageS, size: backlog.samples } : { age: undefined, size: undefined }
    }
    gateways.tick(atS + 1, scraped)
    analyzers.tick(atS + 1, scraped)
  }
  return seconds
}

/** A second of the gateways: the load is spread over those that are ready. */
function serve(tier: Tier, atS: number, load: number, { gateway, capacity }: ModelOptions) {
  const ready = tier.ready(atS)
  const most = gateway.usableCores * capacity.gatewaySamplesPerCore
  const each = Math.min(load / ready.length, most)
  for (const pod of ready) tier.use(pod, each / capacity.gatewaySamplesPerCore)
  return { samples: each * ready.length, cpu: each / capacity.gatewaySamplesPerCore / gateway.requestCores }
}

/** A second of the analyzers: each drains its partitions as far as its core goes. Returns the share of CPU that was used. */
function drain(
  tier: Tier,
  atS: number,
  backlog: Backlog,
  owners: Owners,
  { analyzer, capacity }: ModelOptions,
): number {
  const ready = tier.ready(atS)
  const most = analyzer.usableCores * capacity.analyzerSamplesPerCore
  let cores = 0
  for (const [pod, partitions] of owners.at(atS, ready)) {
    const waiting = partitions.map(partition => ({ partition, samples: backlog.of(partition) }))
    const wanted = waiting.reduce((sum, { samples }) => sum + samples, 0)
    const share = Math.min(1, most / wanted)
    if (wanted > 0) for (const { partition, samples } of waiting) backlog.take(partition, samples * share)
    const used = Math.min(most, wanted) / capacity.analyzerSamplesPerCore
    tier.use(pod, used)
    cores += used
  }
  return cores / (ready.length * analyzer.requestCores)
}

/** Who owns which partition, as the analyzers themselves work it out. */
class Owners {
  readonly #partitions: number
  #members = ''
  #owned: ReadonlyMap<Pod, readonly number[]> = new Map()
  readonly #ownerOf = new Map<number, { readonly name: string; readonly sinceS: number }>()

  constructor(partitions: number) {
    this.#partitions = partitions
  }

  /** What each may work on now; a partition that has just changed hands is left out. */
  at(nowS: number, ready: readonly Pod[]): Map<Pod, number[]> {
    const names = ready.map(({ name }) => name)
    if (names.join() !== this.#members) this.#assign(nowS, ready, names)
    return new Map(
      [...this.#owned].map(([pod, partitions]) => [
        pod,
        partitions.filter(partition => (this.#ownerOf.get(partition)?.sinceS ?? 0) <= nowS),
      ]),
    )
  }

  #assign(nowS: number, ready: readonly Pod[], names: readonly string[]): void {
    const isFirst = this.#members === ''
    this.#members = names.join()
    this.#owned = new Map(ready.map(pod => [pod, assignedTo(pod.name, names, this.#partitions)]))
    for (const [{ name }, partitions] of this.#owned) {
      for (const partition of partitions) {
        if (this.#ownerOf.get(partition)?.name === name) continue
        this.#ownerOf.set(partition, { name, sinceS: isFirst ? nowS : nowS + HANDOVER_S })
      }
    }
  }
}
