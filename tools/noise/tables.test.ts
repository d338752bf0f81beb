import { DETECTOR_NAMES } from '@tidemark/shared/detection/detectors/registry'
import { Random } from '@tidemark/testkit/random'
import { expect, test } from 'vitest'
import { CHOSEN_BY, createRecording, HELD_OUT, REPORTED, type Recording, UNSEEN } from './labelled.ts'
import { measureNoise, measureShifts, measureSpikes } from './measure.ts'
import { SIGNALS } from './signals.ts'
import { windowScore } from './window-score.ts'

const SEED = 7

test('equal seeds give equal noise, and zscore flags about 1 in 18 normal samples', () => {
  const [normal] = SIGNALS
  if (normal === undefined) throw new Error('there are no signals')
  const noise = measureNoise(normal, 'zscore', 20_000, SEED)
  expect(measureNoise(normal, 'zscore', 20_000, SEED)).toEqual(noise)
  expect(noise.flagged / 20_000).toBeGreaterThan(0.05)
  expect(noise.flagged / 20_000).toBeLessThan(0.062)
  expect(noise.opened).toBeLessThanOrEqual(3)
})

test('the default alert layer opens on the sample of a spike of 8, and within 10 samples of a shift of 3', () => {
  expect(measureSpikes(8, 'zscore', 50, SEED).opened).toBeGreaterThanOrEqual(0.99)
  expect(measureShifts(3, 'zscore', 50, SEED).opened).toBeGreaterThanOrEqual(0.95)
  expect(measureShifts(0, 'zscore', 50, SEED).opened).toBeLessThan(0.05)
})

test('every detector scores every signal', () => {
  for (const signal of SIGNALS) {
    for (const detector of DETECTOR_NAMES) {
      const { flagged, opened } = measureNoise(signal, detector, 500, SEED)
      expect([signal.name, detector, flagged <= 500 && opened <= 500]).toEqual([signal.name, detector, true])
    }
  }
})

test('the groups of recordings share no kind, and every recording has labelled windows', () => {
  const kinds = [CHOSEN_BY, HELD_OUT, UNSEEN, REPORTED].flatMap(group => Object.keys(group))
  expect(new Set(kinds).size).toBe(kinds.length)
  for (const [kind, create] of Object.entries({ ...CHOSEN_BY, ...HELD_OUT, ...UNSEEN, ...REPORTED })) {
    for (let seed = 1; seed <= 4; seed++) {
      const { values, windows } = createRecording(kind, create, seed)
      expect(values.every(Number.isFinite)).toBe(true)
      expect(windows.length).toBeGreaterThan(0)
      for (const { start, end } of windows) expect(start >= 0 && end < values.length && start < end).toBe(true)
    }
  }
})

test('a window score is 100 for the first sample of each window, 0 for no flags, and less for late flags and false alarms', () => {
  const recording = {
    kind: 'k',
    values: new Float64Array(1000),
    windows: [{ start: 400, end: 499 }],
    clock: n => ({ takenAt: n, arrivedAt: n }),
  } satisfies Recording
  const at = (...places: number[]): number => {
    const scores = new Float64Array(1000)
    for (const place of places) scores[place] = 1
    return windowScore([{ recording, scores }], 1)
  }
  expect(at()).toBe(0)
  expect(at(400)).toBeCloseTo(100, 10)
  expect(at(499)).toBeLessThan(at(450))
  expect(at(450)).toBeLessThan(at(400))
  expect(at(400, 401, 402)).toBe(at(400))
  expect(at(300, 400)).toBeLessThan(at(400))
  // Flags at the beginning of a recording do not count.
  expect(at(10, 400)).toBe(at(400))
})

test('random distributions have the expected moments', () => {
  const random = new Random(SEED)
  const mean = (draw: () => number): number => {
    let sum = 0
    for (let n = 0; n < 50_000; n++) sum += draw()
    return sum / 50_000
  }
  expect(mean(() => random.uniform())).toBeCloseTo(0.5, 1)
  expect(mean(() => random.normal() ** 2)).toBeCloseTo(1, 1)
  expect(mean(() => random.poisson(5))).toBeCloseTo(5, 1)
  expect(mean(() => random.poisson(0.05))).toBeCloseTo(0.05, 2)
  expect(mean(() => Math.abs(random.student3()))).toBeCloseTo(1.1, 1)
  expect(mean(() => Math.min(10, random.pareto(1.5)))).toBeCloseTo(3 - 2 / Math.sqrt(10), 1)
})
