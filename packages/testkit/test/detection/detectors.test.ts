import { createDetector, DETECTOR_NAMES, isDetectorName } from '@tidemark/shared/detection/detectors/registry'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { anySeries, Series } from '../../src/series.ts'

const STATE_BYTES_MAX = 1536

/** The sample that gets the first score. A step is one between two samples. */
const FIRST_SCORED: Readonly<Record<string, number>> = { novelty: 50, habit: 50, step: 101 }

/** What the first value that differs from a constant scores, if not the cap. */
const FIRST_SCORES: Readonly<Record<string, number>> = { novelty: 0.3e6, habit: 10 }

describe.each(DETECTOR_NAMES)('%s', name => {
  const detector = createDetector(name)

  test('has the name under which it is registered', () => {
    expect(detector.name).toBe(name)
    expect(isDetectorName(name)).toBe(true)
  })

  test('needs at most 1.5 KiB of state per key', () => {
    expect(detector.stateLength * 8).toBeLessThanOrEqual(STATE_BYTES_MAX)
  })

  test('continues identically after its state is restored from bytes', () => {
    fc.assert(
      fc.property(anySeries, fc.nat(), fc.nat(40), (values, cut, at) => {
        const stayed = new Series(detector)
        let moved = new Series(detector)
        for (const [n, value] of values.entries()) {
          if (n === cut % values.length) moved = moved.movedTo(at)
          expect(moved.next(value)).toEqual(stayed.next(value))
        }
        expect(moved.state()).toEqual(stayed.state())
      }),
    )
  })

  test('judging any value any number of times does not change the state', () => {
    fc.assert(
      fc.property(anySeries, anySeries, (values, others) => {
        const series = new Series(detector)
        for (const [n, value] of values.entries()) {
          const before = series.state()
          series.judge(others[n % Math.max(1, others.length)] ?? 0)
          expect(series.state()).toEqual(before)
          expect(series.judge(value)).toEqual(series.next(value))
        }
      }),
      { numRuns: 30 },
    )
  })

  test('scores are NaN while warming, then from 0 to the cap, and only its own state is written', () => {
    fc.assert(
      fc.property(anySeries, values => {
        const series = new Series(detector)
        const scores = values.map(value => series.next(value).score)
        const warm = scores.findIndex(score => !Number.isNaN(score))
        expect(warm === -1 ? values.length : warm).toBe(Math.min(values.length, FIRST_SCORED[name] ?? 30))
        expect(scores.slice(warm === -1 ? values.length : warm).every(score => score >= 0 && score <= 1e6)).toBe(true)
        expect(series.isContained()).toBe(true)
      }),
    )
  })

  test('the minimum number of samples is configurable', () => {
    // Steps must be calibrated first.
    const samplesMin = name === 'step' ? 120 : 5
    const early = new Series(createDetector(name, { samplesMin }))
    const scores = Array.from({ length: 130 }, (_, n) => early.next(n % 3).score)
    expect(scores.findIndex(score => !Number.isNaN(score))).toBe(name === 'step' ? 121 : 5)
  })

  test('a constant has score 0, and a jitter in its last place is not an anomaly', () => {
    for (const constant of [0, 1, 0.1, -7.3, 1e300, 5e-324]) {
      const series = new Series(detector)
      for (let n = 0; n < 200; n++) {
        const value = n % 7 === 3 ? constant * (1 + Number.EPSILON) : constant
        const { score } = series.next(Math.abs(value) <= 1e300 ? value : constant)
        expect([n, Number.isNaN(score) ? 0 : score]).toEqual([n, 0])
      }
    }
  })

  test('the first value that differs from a constant is an anomaly', () => {
    for (const [constant, other] of [
      [0, 1],
      [5, 5.001],
      [1e9, 1e9 - 1],
      [1e300, 0],
      [0, -1e300],
    ] as const) {
      const series = new Series(detector)
      for (let n = 0; n < 110; n++) series.next(constant)
      expect(series.next(other).score).toBeGreaterThanOrEqual(FIRST_SCORES[name] ?? 1e6)
    }
  })

  test('a value of 1e300 leaves a finite state', () => {
    const series = new Series(detector)
    for (let n = 0; n < 300; n++) {
      const { score } = series.next(n === 110 ? 1e300 : n === 130 ? -1e300 : Math.sin(n))
      expect(n < (FIRST_SCORED[name] ?? 30) || (score >= 0 && score <= 1e6)).toBe(true)
    }
    const state = new Float64Array(series.state().buffer)
    expect(state.some(Number.isNaN)).toBe(false)
  })
})

test('an inherited property of objects is not the name of a detector', () => {
  expect(isDetectorName('constructor')).toBe(false)
  expect(isDetectorName('__proto__')).toBe(false)
})
