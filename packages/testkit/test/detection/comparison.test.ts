import { explainAlert } from '@tidemark/shared/detection/alerts/explain'
import { anomalyOpening } from '@tidemark/shared/detection/alerts/openings'
import { type AnomalyEvidence, assembleAlert } from '@tidemark/shared/detection/alerts/record'
import { Judge } from '@tidemark/shared/detection/judge'
import { createRow, shapeOf } from '@tidemark/shared/detection/key-row'
import { createPolicy, type PolicyParts } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { describe, expect, test } from 'vitest'
import { Random } from '../../src/random.ts'

const BEGIN = 1_700_000_000_000

interface Opened {
  readonly n: number
  readonly evidence: AnomalyEvidence
  readonly sentence: string
}

/** Returns the alerts that a policy opens on values that come once a second. */
function alertsOn(values: readonly number[], parts: PolicyParts = {}): Opened[] {
  const policy = createPolicy({ deviationMin: 0, ...parts }, VERDICT_DEFAULTS)
  const judge = new Judge(policy)
  const row = createRow(shapeOf(policy))
  return values.flatMap((value, n) => {
    const time = BEGIN + n * 1000
    const judged = judge.step(row, value, time, time)
    return judged.alerts.flatMap((event): Opened[] => {
      if (event.kind !== 'opened') return []
      const { judgement, window } = judged
      const opening = anomalyOpening(event, { partition: 0, key: 'edge-17/cpu', policy, judgement, window })
      if (opening.cause.kind !== 'anomaly') return []
      const sentence = explainAlert(assembleAlert({ opening, end: null, operator: null, notification: null }))
      return [{ n, evidence: opening.cause.evidence, sentence }]
    })
  })
}

const random = new Random(14)
const noise = (count: number, mean = 100): number[] => Array.from({ length: count }, () => mean + 3 * random.normal())

/** Usual values of several shapes, with spikes, shifts and excursions of a few samples. */
const SHAPES: Readonly<Record<string, () => number[]>> = {
  'noise with spikes': () => noise(6000).map((value, n) => (n % 701 === 700 ? value + 20 + (n % 13) * 10 : value)),
  'noise with excursions': () => noise(6000).map((value, n) => (n % 907 > 903 ? value - 12 - (n % 907) : value)),
  levels: () => noise(9000).map((value, n) => value + 40 * (Math.floor(n / 1500) % 4)),
  counts: () => noise(5000).map((value, n) => Math.round(value / 10) + (n % 811 === 810 ? 7 : 0)),
  'a walk': () => {
    let at = 0
    return noise(8000, 0).map(step => (at += step))
  },
  'a constant that changes': () => Array.from({ length: 3000 }, (_, n) => (n % 701 === 700 ? 20 + n / 701 : 20)),
}

const POLICIES: Readonly<Record<string, PolicyParts>> = {
  'the guard': {},
  'a rule that says when': { alert: createPolicy({ guard: null }, VERDICT_DEFAULTS).alert, guard: null },
  novelty: { detector: 'novelty' },
}

describe.each(Object.entries(SHAPES))('%s', (_, values) => {
  test.each(Object.entries(POLICIES))('what an alert says of the past is so: %s', (_, parts) => {
    const series = values()
    for (const { n, evidence, sentence } of alertsOn(series, parts)) {
      const { value, known, by } = evidence
      if (known === undefined) throw new Error('nothing is known')
      // The newest samples may belong to the deviation.
      const newest = by === 'samples' ? 5 : by === 'sustained' ? 9 : 0
      const before = series.slice(Math.max(0, n - newest - known.samples), n - newest)
      const isAbove = value > known.high
      if (isAbove || value < known.low) {
        expect([n, sentence]).toEqual([n, expect.stringMatching(isAbove ? /higher than any/ : /lower than any/)])
        expect([n, before.filter(one => (isAbove ? one >= value : one <= value))]).toEqual([n, []])
      }
      const all = series.slice(0, n)
      expect(known.high).toBeLessThanOrEqual(Math.max(...all) + 1e-4)
      expect(known.low).toBeGreaterThanOrEqual(Math.min(...all) - 1e-4)
      expect(sentence).not.toMatch(/NaN|Infinity|undefined|null|\d{11}/)
    }
  })
})

test('the sentence of the first spike after thousands of samples has them all', () => {
  const alert = alertsOn([...noise(4500), 412]).at(-1)
  expect(alert?.sentence).toMatch(
    /^cpu of edge-17 rose to 412.*; higher than anything in the last 4,000 samples \(max 11\d.*\); firing since 2023-11-14T23:28:20Z, opened by one sample, \d+ times the known range away/,
  )
})

test('a confirmation compares with what was known before the deviation began', () => {
  const usual = Array.from({ length: 4500 }, (_, n) => 100 + (n % 40 === 0 ? 20 : 6) * (random.uniform() - 0.5))
  const greatest = Math.max(...usual)
  const alert = alertsOn([...usual, greatest + 1.4, 100, greatest + 1.6]).find(({ n }) => n === 4502)
  expect(alert?.evidence).toMatchObject({ by: 'samples', known: { samples: expect.any(Number) } })
  const { high = 0, samples } = alert?.evidence.known ?? {}
  expect(samples).toBe(4000)
  expect(high).toBeLessThanOrEqual(greatest + 1e-4)
  expect(high).toBeGreaterThan(greatest - 0.6)
  expect(alert?.sentence).toMatch(/higher than anything in the last 4,000 samples \(max 110\); .* by confirmation: /)
})

test('a step of samples within the known range is compared with their mean', () => {
  const wide = Array.from({ length: 500 }, () => 80 + 40 * random.uniform())
  const values = [...wide, ...noise(2000), ...noise(60, 108)]
  const alert = alertsOn(values).find(({ evidence }) => evidence.by === 'sustained')
  expect(alert?.sentence).toMatch(
    /; the last 10 averaged 10\d; within the range of the last 2,\d{3} samples \(8\d[.\d]* to 1[12]\d[.\d]*\); .* by small deviations/,
  )
})
