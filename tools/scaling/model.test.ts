import { describe, expect, test } from 'vitest'
import { readDeployed } from './manifests.ts'
import { type ModelOptions, type Scenario, simulate } from './model.ts'
import { SCENARIOS } from './scenarios.ts'
import { summarize } from './summary.ts'

const deployed = readDeployed()
const CAPACITY = { gatewaySamplesPerCore: 10_000, analyzerSamplesPerCore: 5000 }

function run(scenario: Scenario, changes: Partial<ModelOptions> = {}) {
  const { gateway, analyzer, partitions } = deployed
  return simulate({ scenario, gateway, analyzer, partitions, capacity: CAPACITY, startS: 20, ...changes })
}

function steady(load: number, durationS: number): Scenario {
  return { name: 'steady', title: 'steady', durationS, load: () => load }
}

describe.each(SCENARIOS)('$name', scenario => {
  const variants = [deployed.analyzer, deployed.analyzerByBacklog]

  test.each(variants)('both tiers stay within their bounds', analyzer => {
    const seconds = run(scenario, { analyzer })
    for (const { gateways, analyzers } of seconds) {
      expect(gateways).toBeGreaterThanOrEqual(deployed.gateway.autoscaler.min)
      expect(gateways).toBeLessThanOrEqual(deployed.gateway.autoscaler.max)
      expect(analyzers).toBeGreaterThanOrEqual(analyzer.autoscaler.min)
      expect(analyzers).toBeLessThanOrEqual(Math.min(analyzer.autoscaler.max, deployed.partitions))
    }
  })

  test.each(variants)('the number of analyzers does not flap', analyzer => {
    expect(summarize(run(scenario, { analyzer })).reversals).toBeLessThanOrEqual(1)
  })

  test('equal options give equal runs', () => {
    expect(run(scenario)).toEqual(run(scenario))
  })
})

describe('the model', () => {
  test('loses no sample: each is analysed, in the backlog or rejected', () => {
    // Two analyzers can analyse 10,000 of the 15,000 samples of each second.
    const [first, second] = run(steady(15_000, 2))
    expect(first).toMatchObject({ rejected: 0, backlog: 5000, ageS: 1 })
    expect(second).toMatchObject({ rejected: 0, backlog: 10_000 })
  })

  test('rejects load beyond the capacity of the gateways', () => {
    expect(run(steady(25_000, 1))[0]).toMatchObject({ rejected: 5000, gatewayCpu: 2 })
  })

  test('a new pod helps only when it is ready and has taken over its partitions', () => {
    const seconds = run(steady(15_000, 90))
    const requested = seconds.findIndex(({ analyzers }) => analyzers > 2)
    const growth = (atS: number): number => (seconds[atS]?.backlog ?? 0) - (seconds[atS - 1]?.backlog ?? 0)
    expect(growth(requested + 10)).toBeCloseTo(5000)
    expect(growth(requested + 25)).toBeLessThan(0)
  })

  test('a backlog that is not measured does not scale the analyzers', () => {
    const stopped: Scenario = { ...steady(5000, 300), isRunning: atS => atS < 60 }
    const sizes = run(stopped, { analyzer: deployed.analyzerByBacklog }).map(({ analyzers }) => analyzers)
    expect(new Set(sizes.slice(120))).toEqual(new Set([sizes[120]]))
  })

  test('scaling by backlog alone flaps, which is why CPU is one of the triggers', () => {
    const { analyzerByBacklog } = deployed
    const { autoscaler } = analyzerByBacklog
    const metrics = autoscaler.metrics.filter(({ kind }) => kind !== 'cpu')
    const analyzer = { ...analyzerByBacklog, autoscaler: { ...autoscaler, metrics } }
    expect(summarize(run(steady(16_000, 3600), { analyzer })).reversals).toBeGreaterThan(3)
    expect(summarize(run(steady(16_000, 3600), { analyzer: analyzerByBacklog })).reversals).toBe(0)
  })
})
