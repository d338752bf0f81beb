import { describe, expect, test } from 'vitest'
import { Autoscaler, type AutoscalerSpec, type PodReading, type Readings } from './autoscaler.ts'

const SPEC: AutoscalerSpec = {
  min: 1,
  max: 10,
  metrics: [{ kind: 'cpu', target: 0.7 }],
  up: { stabilizationS: 0, policies: [{ type: 'Percent', value: 900, periodS: 15 }] },
  down: { stabilizationS: 300, policies: [{ type: 'Pods', value: 1, periodS: 60 }] },
}

/** Pods that use this share of their request. */
function busy(share: number, count: number): PodReading[] {
  return Array.from({ length: count }, () => ({ usage: share * 0.5, request: 0.5, isSettled: true }))
}

function readings(pods: readonly PodReading[], series: Partial<Readings['series']> = {}): Readings {
  return { pods, series: { age: undefined, size: undefined, ...series } }
}

describe('by CPU', () => {
  test.each([
    [1.4, 2, 4],
    [0.7, 3, 3],
    [0.76, 3, 3], // within the tolerance of a tenth
    [0.78, 3, 4],
    [9, 3, 10], // the maximum
  ])('at %d of the request %i pods become %i', (share, current, expected) => {
    expect(new Autoscaler(SPEC).decide(0, current, readings(busy(share, current)))).toBe(expected)
  })

  test('starting pods count as idle when scaling up', () => {
    const starting = { usage: 0.5, request: 0.5, isSettled: false }
    // Two pods at twice the target need four pods, and two new ones are already starting.
    expect(new Autoscaler(SPEC).decide(0, 4, readings([...busy(1.4, 2), starting, starting]))).toBe(4)
  })

  test('pods without a measurement count as busy when scaling down', () => {
    const unknown = { usage: undefined, request: 0.5, isSettled: false }
    const scaler = new Autoscaler({ ...SPEC, down: { ...SPEC.down, stabilizationS: 0 } })
    expect(scaler.decide(0, 4, readings([...busy(0.35, 3), unknown]))).toBe(3)
  })
})

describe('by a Prometheus metric', () => {
  const spec: AutoscalerSpec = { ...SPEC, metrics: [{ kind: 'average', series: 'age', target: 2 }] }

  test('the number of pods is the metric divided by its target', () => {
    expect(new Autoscaler(spec).decide(0, 2, readings([], { age: 9 }))).toBe(5)
  })

  test('the largest proposal counts', () => {
    const both = new Autoscaler({ ...spec, metrics: [...SPEC.metrics, ...spec.metrics] })
    expect(both.decide(0, 2, readings(busy(2.1, 2), { age: 2 }))).toBe(6)
  })

  test('a missing metric prevents scaling down, and the others can still scale up', () => {
    const both = { ...spec, metrics: [...SPEC.metrics, ...spec.metrics], down: { ...spec.down, stabilizationS: 0 } }
    expect(new Autoscaler(both).decide(0, 4, readings(busy(0.1, 4)))).toBe(4)
    expect(new Autoscaler(both).decide(0, 2, readings(busy(1.4, 2)))).toBe(4)
  })
})

describe('the behaviour', () => {
  test('scales down to the maximum of the whole window, one pod per minute', () => {
    const scaler = new Autoscaler(SPEC)
    const sizes = new Map<number, number>()
    let current = scaler.decide(0, 4, readings(busy(0.7, 4)))
    for (let atS = 15; atS <= 480; atS += 15) {
      current = scaler.decide(atS, current, readings(busy(0.05, current)))
      sizes.set(atS, current)
    }
    expect([285, 300, 345, 360, 420, 480].map(atS => sizes.get(atS))).toEqual([4, 3, 3, 2, 1, 1])
  })

  test('scales up no faster than the most permissive policy', () => {
    const policies = [
      { type: 'Percent', value: 100, periodS: 15 },
      { type: 'Pods', value: 2, periodS: 15 },
    ] as const
    const scaler = new Autoscaler({ ...SPEC, up: { stabilizationS: 0, policies } })
    let current = 1
    const sizes = [0, 15, 30].map(atS => {
      current = scaler.decide(atS, current, readings(busy(9, current)))
      return current
    })
    expect(sizes).toEqual([3, 6, 10])
  })

  test('with a window for scaling up it waits until the need has lasted', () => {
    const scaler = new Autoscaler({ ...SPEC, up: { ...SPEC.up, stabilizationS: 30 } })
    scaler.decide(0, 2, readings(busy(0.7, 2)))
    expect(scaler.decide(15, 2, readings(busy(2.1, 2)))).toBe(2)
    expect(scaler.decide(30, 2, readings(busy(2.1, 2)))).toBe(6)
  })
})
