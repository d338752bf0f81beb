import { heatAt } from '@tidemark/shared/detection/alerts/guard'
import { Judge } from '@tidemark/shared/detection/judge'
import { createRow, shapeOf } from '@tidemark/shared/detection/key-row'
import { createPolicy } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { oracleNews, oraclePlaces, zScores } from '../../src/places-oracle.ts'
import { Random } from '../../src/random.ts'

const SECOND = 1000
const DAY = 86_400_000
const BEGIN = 1_700_000_000_000

interface Opening {
  readonly n: number
  readonly by: string
}

/** Returns the openings of the product, and whether an alert fires before each sample. */
function openingsOf(values: readonly number[], intervalMs: number) {
  const policy = createPolicy({ deviationMin: 0 }, VERDICT_DEFAULTS)
  const judge = new Judge(policy)
  const row = createRow(shapeOf(policy))
  const openings: Opening[] = []
  const isFiring: boolean[] = []
  let firing = false
  for (const [n, value] of values.entries()) {
    const time = BEGIN + n * intervalMs
    const wasFiring = firing
    let hasExpired = false
    for (const event of judge.step(row, value, time, time).alerts) {
      if (event.kind === 'opened') openings.push({ n, by: event.by })
      // One that had expired before the sample does not fire any more.
      else if (event.reason === 'no_samples') hasExpired = true
      firing = event.kind === 'opened'
    }
    // The sample that ends an alert is not weighed.
    isFiring.push(wasFiring && !hasExpired)
  }
  return { openings, isFiring }
}

/**
 * The recipe of the guard, line by line, without the sums. Only whether an alert still fires is
 * the product's: closing is not the guard's.
 */
function oracle(values: readonly number[], intervalMs: number, openings: readonly Opening[]): Opening[] {
  const memory = oraclePlaces({ capacity: 38, newAbove: 0.03 })
  const zs = zScores(values, 30)
  const firingUntil = firingRanges(values, intervalMs)
  let heat = 0
  let lastOpening = 0
  let candidate: { at: number; side: number } | undefined
  const opened: Opening[] = []
  const cool = (h: number, ms: number): number => {
    const d = ms / (2 * DAY)
    const k = Math.floor(d)
    return k >= 32 ? 0 : h * (1 - (d - k) / 2) * 2 ** -k
  }
  for (const [n, x] of values.entries()) {
    const z = zs[n] as number
    const t = BEGIN + n * intervalMs
    const { d, g, w } = memory.look(x, n)
    const news = oracleNews(d - 0.2 * g, w, Math.abs(x))
    const isFlagged = Math.abs(z) > 2 * (1 + 1e-12)
    const side = Math.sign(z)
    if (!firingUntil[n] && n >= 50 && !Number.isNaN(z)) {
      let by = isFlagged && candidate?.side === side && n - candidate.at <= 5 ? 'samples' : ''
      if (by === '' && isFlagged && news > 0.02) {
        const h = heat === 0 ? 0 : cool(heat, t - lastOpening)
        const youth = 400 / (n + 1)
        const f = (1 + youth * youth) * (1 + h / 2 + (h * h) / 2)
        if (news > 0.02 * f && Math.abs(z) < 1e6) candidate = { at: n, side }
        if (news > 0.1 * f) by = 'instant'
      }
      // The sums are tested on their own.
      if (by === '' && openings.some(one => one.n === n && one.by === 'sustained')) by = 'sustained'
      if (by !== '') {
        opened.push({ n, by })
        heat = (heat === 0 ? 0 : cool(heat, t - lastOpening)) + 1
        lastOpening = t
        candidate = undefined
      }
    }
    memory.visit(x, n)
  }
  return opened
}

const firingRanges = (values: readonly number[], intervalMs: number): boolean[] =>
  openingsOf(values, intervalMs).isFiring

/** Noise with spikes, new levels, drifts and flat stretches. */
function restless(seed: number, length: number): number[] {
  const random = new Random(seed)
  let level = 0
  let drift = 0
  return Array.from({ length }, (_, n) => {
    // Steps of the resolution and counts are no evidence, which the recipe does not know.
    if (Math.floor(n / 300) % 5 === 4) return Math.round(level)
    if (random.uniform() < 0.003) level = 20 * random.uniform()
    if (random.uniform() < 0.003) drift = 0.2 * random.normal()
    level += drift
    const spike = random.uniform() < 0.004 ? 40 * random.normal() : 0
    return level + spike + random.normal()
  })
}

describe('the guard', () => {
  test.each([
    ['one a second', SECOND],
    ['one in five minutes', 300 * SECOND],
  ])('equals its recipe, bit for bit: %s', (_, intervalMs) => {
    let found = 0
    fc.assert(
      fc.property(fc.nat(1e6), fc.integer({ min: 60, max: 1500 }), (seed, length) => {
        const values = restless(seed, length)
        const { openings } = openingsOf(values, intervalMs)
        expect(openings).toEqual(oracle(values, intervalMs, openings))
        found += openings.length
      }),
      { numRuns: 30 },
    )
    expect(found).toBeGreaterThan(5)
  })

  test('equals its recipe beyond its memory of 4,000 samples', () => {
    const values = restless(7, 12_000)
    const { openings } = openingsOf(values, 60 * SECOND)
    expect(openings).toEqual(oracle(values, 60 * SECOND, openings))
    expect(openings.length).toBeGreaterThan(1)
  })

  test('halves the heat of an opening in two days, and forgets it after 64', () => {
    const states = new Float64Array(13)
    states[3] = -1
    states[5] = BEGIN
    const days = [0, 1, 2, 3, 4, 63.9, 64]
    const heats = days.map(day => heatAt(states, 0, BEGIN + day * DAY))
    expect(heats.slice(0, 5)).toEqual([1, 0.75, 0.5, 0.375, 0.25])
    expect(heats[5]).toBeGreaterThan(0)
    expect(heats[6]).toBe(0)
  })
})

/** Runs trials of calm noise followed by `valueAt`. Returns the share opened within 10 samples. */
function found(trials: number, calm: number, valueAt: (random: Random) => number, intervalMs = 60 * SECOND): number {
  const random = new Random(11)
  let opened = 0
  for (let trial = 0; trial < trials; trial++) {
    const policy = createPolicy({}, VERDICT_DEFAULTS)
    const judge = new Judge(policy)
    const row = createRow(shapeOf(policy))
    let isFiring = false
    let n = 0
    const step = (value: number): boolean => {
      const time = BEGIN + n++ * intervalMs
      const { alerts } = judge.step(row, value, time, time)
      for (const { kind } of alerts) isFiring = kind === 'opened'
      return alerts.some(({ kind }) => kind === 'opened')
    }
    while (n < calm || (isFiring && n < 2 * calm)) step(random.normal())
    if (Array.from({ length: 10 }, () => step(valueAt(random))).some(Boolean)) opened++
  }
  return opened / trials
}

describe('shifts inside the known range', () => {
  test('a shift of 3 deviations opens an alert within 10 samples in 95 % of cases, one of 2 in half', () => {
    expect(found(400, 500, random => random.normal() + 3)).toBeGreaterThanOrEqual(0.95)
    expect(found(400, 500, random => random.normal() + 2)).toBeGreaterThanOrEqual(0.5)
  })

  test('so does one of a key that has opened alerts on noise before, at one sample a second', () => {
    expect(found(100, 5000, random => random.normal() + 3, SECOND)).toBeGreaterThanOrEqual(0.95)
    expect(found(100, 5000, random => random.normal() + 2, SECOND)).toBeGreaterThanOrEqual(0.5)
  })

  test('a key that shifts all the time opens few: the sum is news only after 4,000 samples', () => {
    const random = new Random(3)
    let level = 0
    const values = Array.from({ length: 50_000 }, () => {
      level = 0.95 * level + random.normal()
      return level
    })
    expect(openingsOf(values, SECOND).openings.filter(({ by }) => by === 'sustained')).toEqual([])
  })
})

test('noise opens at most 25 alerts in a million samples at one a second', { timeout: 60_000 }, () => {
  const signals: Record<string, (random: Random) => () => number> = {
    normal: random => () => random.normal(),
    walk: random => {
      let level = 0
      return () => {
        level += random.normal()
        return level
      }
    },
    pareto: random => () => random.pareto(1.5),
  }
  for (const [name, create] of Object.entries(signals)) {
    const next = create(new Random(5))
    const samples = 200_000
    const openings = openingsOf(Array.from({ length: samples }, next), SECOND).openings.length
    // The first openings come before the heat: a fifth of a million has more than a fifth of them.
    expect([name, openings <= 12]).toEqual([name, true])
    expect(openings).toBeGreaterThan(0)
  }
})
