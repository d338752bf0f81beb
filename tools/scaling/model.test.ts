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

  test.each(variants)('no tier leaves its bounds, and both end small or busy', analyzer => {
    const seconds = run(scenario, { analyzer })
    for (const { gateways, analyzers } of seconds) {
      expect(gateways).toBeGreaterThanOrEqual(deployed.gateway.autoscaler.min)
      expect(gateways).toBeLessThanOrEqual(deployed.gateway.autoscaler.max)
      expect(analyzers).toBeGreaterThanOrEqual(analyzer.autoscaler.min)
      expect(analyzers).toBeLessThanOrEqual(Math.min(analyzer.autoscaler.max, deployed.partitions))
    }
  })

  test.each(variants)('the number of analyzers does not flap', analyzer => {
    expect(summarize(run(scenario, { analyzer })).turns).toBeLessThanOrEqual(1)
  })

  test('the same options give the same run', () => {
    expect(run(scenario)).toEqual(run(scenario))
  })
})

describe('the model', () => {
  test('loses no sample: what came is drained, waits or was refused', () => {
    // Two analyzers can drain 10,000 of the 15,000 of each second until there are more.
    const [first, second] = run(steady(15_000, 2))
    expect(first).toMatchObject({ refused: 0, backlog: 5000, ageS: 1 })
    expect(second).toMatchObject({ refused: 0, backlog: 10_000 })
  })

  test('refuses what the gateways have no time for', () => {
    expect(run(steady(25_000, 1))[0]).toMatchObject({ refused: 5000, gatewayCpu: 2 })
  })

  test('a new pod helps only once it is ready, and after its partitions have changed hands', () => {
    const seconds = run(steady(15_000, 90))
    const asked = seconds.findIndex(({ analyzers }) => analyzers > 2)
    const growth = (atS: number): number => (seconds[atS]?.backlog ?? 0) - (seconds[atS - 1]?.backlog ?? 0)
    expect(growth(asked + 10)).toBeCloseTo(5000)
    expect(growth(asked + 25)).toBeLessThan(0)
  })

  test('nobody scales by a backlog that nobody measures', () => {
    const away: Scenario = { ...steady(5000, 300), works: atS => atS < 60 }
    const sizes = run(away, { analyzer: deployed.analyzerByBacklog }).map(({ analyzers }) => analyzers)
    expect(new Set(sizes.slice(120))).toEqual(new Set([sizes[120]]))
  })

  test('a backlog alone makes them flap, which is why CPU is among the triggers', () => {
    const { analyzerByBacklog } = deployed
    const { autoscaler } = analyzerByBacklog
    const metrics = autoscaler.metrics.filter(({ kind }) => kind !== 'cpu')
    const analyzer = { ...analyzerByBacklog, autoscaler: { ...autoscaler, metrics } }
    expect(summarize(run(steady(16_000, 3600), { analyzer })).turns).toBeGreaterThan(3)
    expect(summarize(run(steady(16_000, 3600), { analyzer: analyzerByBacklog })).turns).toBe(0)
  })
})
