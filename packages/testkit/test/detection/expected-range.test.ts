import { alertPhase } from '@tidemark/shared/detection/alerts/alert'
import { alertDefaults } from '@tidemark/shared/detection/alerts/defaults'
import { HEAT } from '@tidemark/shared/detection/alerts/state'
import { DETECTOR_NAMES } from '@tidemark/shared/detection/detectors/registry'
import { Judge, type Judged } from '@tidemark/shared/detection/judge'
import { ALERT, createRow, PUSHED, shapeOf } from '@tidemark/shared/detection/key-row'
import { createPolicy, type PolicyParts } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { describe, expect, test } from 'vitest'
import { Random } from '../../src/random.ts'

const BEGIN = 1_700_000_000_000
const RANGE = { min: 0, max: 100 }

function judgeAll(values: readonly number[], parts: PolicyParts = {}) {
  const policy = createPolicy({ range: RANGE, ...parts }, VERDICT_DEFAULTS)
  const judge = new Judge(policy)
  const row = createRow(shapeOf(policy))
  const judged = values.map((value, n): Judged => {
    const { alerts, ...rest } = judge.step(row, value, BEGIN + 1000 * n, BEGIN + 1000 * n)
    return { ...rest, alerts: [...alerts] }
  })
  const events = judged.flatMap(({ alerts }, n) => alerts.map(({ kind }) => `${kind} ${n}`))
  return { judged, events, row }
}

/** Noise around 50 with a deviation of 2. */
function noise(samples: number, seed = 7): number[] {
  const random = new Random(seed)
  return Array.from({ length: samples }, () => 50 + 2 * random.normal())
}

describe('a value outside the range of its rule', () => {
  test.each(DETECTOR_NAMES)('is an anomaly and opens an alert at once, also of a new key, with %s', detector => {
    for (const [value, side] of [
      [100.5, 1],
      [-0.5, -1],
    ] as const) {
      const { judged } = judgeAll([value], { detector })
      const threshold = judged[0]?.threshold ?? 0
      expect(judged[0]).toMatchObject({ isFlagged: true, outside: side })
      expect(judged[0]?.score).toBeNaN()
      const alerts = [{ kind: 'opened', by: 'range', value, score: side * threshold, time: BEGIN, count: 1 }]
      expect(judged[0]).toMatchObject({ alerts })
    }
  })

  test('does so whatever the detector says: it may find the value usual', () => {
    const { judged, events } = judgeAll([...noise(60), ...noise(100).map(value => value + 75), ...noise(60)])
    expect(judged.slice(60, 160).every(({ isFlagged, outside }) => isFlagged && outside === 1)).toBe(true)
    expect(Math.abs(judged[150]?.score ?? 9)).toBeLessThan(4)
    expect(events[0]).toBe('opened 60')
    expect(events.filter(event => event.startsWith('opened'))).toHaveLength(1)
    expect(alertPhase(judgeAll([...noise(60), 120]).row.rows, ALERT)).toBe('firing')
  })

  test.each([
    ['of the guard', {}],
    ['of a rule', { alert: { ...alertDefaults('zscore', false), holdMs: 3_600_000 } }],
  ])('opens one alert %s, which resolves after five samples in the range, also of a warming key', (_, parts) => {
    const { events } = judgeAll([50, 101, 102, 50, 103, 50, 51, 50, 52, 50, 51], parts)
    expect(events).toEqual(['opened 1', 'resolved 9'])
  })

  test('is not needed for the ends: they are in the range, and each may be missing', () => {
    expect(judgeAll([0, 100]).judged.map(({ outside }) => outside)).toEqual([0, 0])
    const { judged } = judgeAll([-1e300, 1e300], { range: { min: Number.NEGATIVE_INFINITY, max: 5 } })
    expect(judged.map(({ outside }) => outside)).toEqual([0, 1])
  })

  test('is not in the window of a rule that holds anomalies, and its level is never accepted', () => {
    const values = [...noise(40), ...Array.from({ length: 30 }, () => 150)]
    const held = judgeAll(values, { hygiene: { isHeld: true, levelShiftAfter: 4 } })
    expect(held.row.rows[PUSHED]).toBe(40)
    const full = judgeAll(values, { hygiene: { isHeld: false, levelShiftAfter: 4 } })
    expect([...held.judged, ...full.judged].filter(({ isShift }) => isShift)).toEqual([])
    expect(held.events).toEqual(['opened 40'])
  })

  test('leaves the scores of all samples as they are', () => {
    const values = [...noise(80), 130, ...noise(80), -40, 30, ...noise(30)]
    const scored = judgeAll(values).judged.map(({ score }) => score)
    expect(scored).toEqual(judgeAll(values, { range: null }).judged.map(({ score }) => score))
  })

  test('does not make the guard more cautious', () => {
    const { row, events } = judgeAll([...noise(60), 120, ...noise(10), 130, ...noise(10)])
    expect(events.filter(event => event.startsWith('opened'))).toHaveLength(2)
    expect(row.rows[ALERT + HEAT]).toBe(0)
    expect(Object.is(row.rows[ALERT + HEAT], -0)).toBe(false)
  })

  test('is not one that the rule ignores', () => {
    const { judged, events } = judgeAll([50, -127, 50], { ignored: new Set([-127]) })
    expect(judged[1]).toMatchObject({ isIgnored: true, outside: 0, isFlagged: false })
    expect(events).toEqual([])
  })

  test('keeps the alert open while it is the usual trend', () => {
    const { events } = judgeAll(Array.from({ length: 200 }, (_, n) => n))
    expect(events).toEqual(['opened 101'])
  })
})

test('of a counter the range is that of its rate', () => {
  const counts = [0, 50, 100, 350, 400, 10, 60]
  const { judged, events } = judgeAll(counts, { isCounter: true })
  expect(judged.map(({ rate, outside }) => [rate, outside])).toEqual([
    [Number.NaN, 0],
    [50, 0],
    [50, 0],
    [250, 1],
    [50, 0],
    [Number.NaN, 0],
    [50, 0],
  ])
  expect(events).toEqual(['opened 3'])
  // A reset has no rate, so it is no sample in the range.
  expect(judgeAll([...counts, 110, 160, 210], { isCounter: true }).events).toEqual(['opened 3', 'resolved 9'])
})
