import type { AlertEvent } from '@tidemark/shared/detection/alerts/alert'
import { Judge } from '@tidemark/shared/detection/judge'
import { createRow, shapeOf } from '@tidemark/shared/detection/key-row'
import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import type { RuleInput } from '@tidemark/shared/detection/rules/rule'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { describe, expect, test } from 'vitest'
import { Random } from '../../src/random.ts'

const NOW = 1_700_000_000_000
const CHANGE = { who: 'mira', why: 'test', at: NOW }

/** One key with a sample per second, scored by a rule, or by the defaults if it is empty. */
class Key {
  readonly #judge: Judge
  readonly #row
  time = NOW
  readonly events: { n: number; kind: string; reason: string | undefined; time: number }[] = []
  readonly flagged: number[] = []
  readonly scores: number[] = []
  #samples = 0
  isFiring = false
  /** Samples during which an alert fired. */
  fired = 0
  peak: number | undefined

  constructor(rule: Omit<RuleInput, 'id' | 'pattern'> = {}) {
    const document =
      Object.keys(rule).length === 0
        ? EMPTY_DOCUMENT
        : withRule(EMPTY_DOCUMENT, { id: 'a', pattern: '*', ...rule }, CHANGE)
    const rules = new RuleSet(document)
    const policy = rules.policies[rules.resolve('key')]
    if (policy === undefined) throw new Error('no policy')
    this.#judge = new Judge(policy)
    this.#row = createRow(shapeOf(policy))
  }

  /** Sends values, the first one `after` ms after the last. Returns the numbers of openings. */
  send(values: Iterable<number>, { after = 1000, every = 1000 } = {}): number[] {
    const first = this.events.length
    let gap = after
    for (const value of values) {
      this.time += gap
      gap = every
      const judged = this.#judge.step(this.#row, value, this.time, this.time)
      this.#note(judged.alerts, judged.silences)
      if (judged.isFlagged) this.flagged.push(this.#samples)
      this.scores.push(judged.score)
      if (this.isFiring) this.fired++
      this.#samples++
    }
    return this.events.slice(first).flatMap(({ kind, n }) => (kind === 'opened' ? [n] : []))
  }

  /** Lets time pass without a sample, as the key's timer does. */
  wait(ms: number): void {
    this.time += ms
    const expired = { alerts: [], silences: [] }
    this.#judge.expire(this.#row, this.time, expired)
    this.#note(expired.alerts, expired.silences)
  }

  #note(alerts: readonly AlertEvent[], silences: readonly { kind: string; time: number }[]): void {
    const n = this.#samples
    for (const { kind, time } of silences) this.events.push({ n, kind, reason: undefined, time })
    for (const event of alerts) {
      const { kind, time } = event
      this.events.push({ n, kind, reason: event.kind === 'resolved' ? event.reason : undefined, time })
      this.isFiring = kind === 'opened'
      if (event.kind === 'resolved') this.peak = event.peakValue
    }
  }

  get kinds(): string[] {
    return this.events.map(({ kind }) => kind)
  }
}

const list = (length: number, valueAt: (i: number) => number): number[] => Array.from({ length }, (_, i) => valueAt(i))
const flat = (length: number, value: number): number[] => list(length, () => value)

/** Calm values around 20, the same in each call. */
const calm = (length: number): number[] => list(length, i => 20 + Math.sin(i * 1.7) + Math.sin(i * 0.9))

describe('a steady trend', () => {
  const random = new Random(7)
  const counted = (draw: () => number) => {
    let count = 0
    return () => (count += draw())
  }
  test.each([
    ['a counter with noise', (i: number) => i * 1000 + 100 * random.normal()],
    ['a counter with as much noise as it counts', (i: number) => i * 1000 + 1000 * random.normal()],
    ['an exact counter', (i: number) => i * 1000],
    ['a counter that starts high', (i: number) => 1e15 + i],
    ['a counter of random counts', counted(() => random.poisson(5))],
    ['a tank that empties', (i: number) => 1e6 - i * 3],
    ['growth that accelerates', (i: number) => i * i],
    ['growth by a percentage', (i: number) => 1.01 ** i],
    ['uptime in seconds', (i: number) => 5 + i],
  ])('opens no alert: %s', (_, valueAt) => {
    expect(new Key().send(list(2000, valueAt))).toEqual([])
  })

  test.each([
    ['noisy', (i: number) => i * 1000 + 12_000 * random.normal()],
    ['mostly still', counted(() => random.poisson(0.5))],
    ['still between bursts', counted(() => (random.uniform() < 0.1 ? 100 : 0))],
  ])('opens no lasting alert if it is %s', (_, valueAt) => {
    const key = new Key()
    key.send(list(3000, valueAt))
    expect(key.fired).toBeLessThan(300)
  })

  test('that begins after a calm time opens an alert, which ends while the trend goes on', () => {
    const key = new Key()
    const opened = key.send(list(2000, i => random.normal() + Math.max(0, i - 1000)))
    // Its first values are each far from all before; later ones are near the one before.
    expect(opened.length).toBeLessThanOrEqual(2)
    expect(opened[0]).toBeLessThan(1010)
    expect(key.events.at(-1)).toMatchObject({ kind: 'resolved', reason: 'calm' })
    expect(key.fired).toBeLessThan(80)
  })

  test('that breaks opens an alert', () => {
    const trend = list(500, i => i * 1000 + 100 * random.normal())
    expect(new Key().send([...trend, 0])).toEqual([500])
    expect(new Key().send([...trend, 700_000])).toEqual([500])
  })

  test('hides no shift of three deviations in noise', () => {
    let found = 0
    for (let seed = 1; seed <= 500; seed++) {
      const noise = new Random(seed)
      if (new Key().send(list(510, i => noise.normal() + (i < 500 ? 0 : 3))).some(n => n >= 500)) found++
    }
    expect(found).toBeGreaterThanOrEqual(475)
  })
})

describe('a step of the resolution', () => {
  test.each([
    [20, 20.1],
    [20.1, 20],
    [21.5, 21.6],
    [-3.2, -3.3],
    [0, 0.1],
    [21, 21.5],
    [19.9375, 20],
    [1000, 1001],
    [0.001, 0.002],
    [1013.25, 1013.26],
  ])('opens no alert on a flat key: %f to %f', (level, next) => {
    expect(new Key().send([...flat(200, level), next])).toEqual([])
    expect(new Key().send([...flat(200, level), ...flat(200, next)])).toEqual([])
    expect(new Key({ detector: 'novelty' }).send([...flat(200, level), ...flat(200, next)])).toEqual([])
  })

  test.each([
    [20, 20.5],
    [20.1, 20.4],
    [20, 25],
    [1000, 1010],
    [0, 500],
    [0.001, 0.1],
    [1e15, 1.1e15],
    [1e-9, 2e-9],
  ])('is less than from %f to %f, which opens one at once', (level, next) => {
    const before = [...flat(100, level), ...(level === 20 ? [20.1, 20] : []), ...flat(100, level)]
    expect(new Key().send([...before.slice(-60, -50), ...before, next])).toHaveLength(
      level === 20 && next === 20.5 ? 0 : 1,
    )
  })

  const steps = [1, 0.5, 0.25, 0.1, 0.0625, 0.01, 0.0078125, 1e-4]
  test.each(steps)('opens no alert while a value in steps of %f drifts, with each step coming and going', step => {
    const random = new Random(3)
    const valueAt = (place: number) => Math.round(20 / step + place + 0.2 * random.normal()) * step
    expect(new Key().send(list(4000, i => valueAt(i / 100)))).toEqual([])
    expect(new Key().send(list(4000, i => valueAt(10 * Math.sin(i / 500))))).toEqual([])
    const toggling = list(200, i => 20 + (i % 7 === 0 ? step : 0))
    expect(new Key().send([...toggling, ...flat(2, 20 + 3 * step)])).not.toEqual([])
  })

  test.each([20.1, -40.7, 2000.1, 0.3])('opens no alert on a value that was a float32: %f', level => {
    const next = Math.fround(level + 0.1)
    expect(new Key().send([...flat(200, Math.fround(level)), ...flat(200, next)])).toEqual([])
    expect(new Key().send([...flat(200, Math.fround(level)), Math.fround(level + 0.2)])).toEqual([200])
  })

  test('is no excuse for a deviation of a large value', () => {
    expect(new Key().send([...flat(200, 8_388_608), 8_388_608.5 + 1])).toEqual([200])
    expect(new Key().send([...flat(200, 12_345_678.001), 12_345_678.9])).toEqual([200])
  })

  test('opens an alert if the rule says that every deviation counts', () => {
    expect(new Key({ deviation_min: 0 }).send([...flat(60, 1), 0])).toEqual([60])
  })

  test('is known from the window: several steps at once are more than one', () => {
    const hovering = list(200, i => 20 + (i % 7 === 0 ? 0.1 : 0))
    expect(new Key().send([...hovering, 20.1])).toEqual([])
    expect(new Key().send([...hovering, 20.5])).toEqual([200])
  })
})

describe('the hold time', () => {
  const rule = { alert: { hold: '20s' } }
  // A value that stays beyond the limits, but not beyond `instant`, whatever the window holds.
  const held = { ...rule, influence: 'held', level_shift_after: 1000 } as const
  const beyond = (length: number) => flat(length, 24)

  test('is as long as without a break', () => {
    expect(new Key(held).send([...calm(60), ...beyond(30)])).toEqual([81])
  })

  test('is broken by a calm sample', () => {
    const key = new Key(held)
    expect(key.send([...calm(60), ...beyond(15), 20, ...beyond(15), 20, ...beyond(15)])).toEqual([])
    expect(key.send(beyond(10))).toHaveLength(1)
  })

  test('is broken by a gap', () => {
    const key = new Key(held)
    key.send([...calm(60), ...beyond(5)])
    expect(key.send(beyond(15), { after: 300_000 })).toEqual([])
    expect(key.send(beyond(10))).toHaveLength(1)
  })

  test('is not broken by a key that sends rarely', () => {
    const key = new Key(held)
    const every = 60_000
    key.send(calm(60), { every })
    expect(key.send(beyond(2), { after: every, every })).toEqual([])
    expect(key.send(beyond(1), { after: every })).toHaveLength(1)
  })
})

describe('an open alert of a key that becomes silent', () => {
  const outliers = [...calm(60), 95, 97, 99]

  test('stays open until the key counts as silent', () => {
    const key = new Key({ silent: '60s', alert: { resolve_after: '30s' } })
    key.send(outliers)
    key.wait(59_999)
    expect(key.kinds).toEqual(['opened'])
    key.wait(1)
    expect(key.kinds).toEqual(['opened', 'silent', 'resolved'])
    expect(key.events[2]).toMatchObject({ reason: 'no_samples', time: key.time })
  })

  test('stays open for `resolve_after` if that is longer', () => {
    const key = new Key({ silent: '60s', alert: { resolve_after: '2m' } })
    key.send(outliers)
    key.wait(60_000)
    expect(key.kinds).toEqual(['opened', 'silent'])
    key.wait(59_999)
    expect(key.kinds).toEqual(['opened', 'silent'])
    key.wait(1)
    expect(key.kinds).toEqual(['opened', 'silent', 'resolved'])
  })

  test('stays open until a learned silence', () => {
    const key = new Key({ silent: 'learned', alert: { resolve_after: '1s' } })
    key.send(outliers)
    key.wait(9999)
    expect(key.kinds).toEqual(['opened'])
    key.wait(1)
    expect(key.kinds).toEqual(['opened', 'silent', 'resolved'])
  })

  test('is resolved as of the same time if a late sample reports it', () => {
    const key = new Key({ silent: '60s', alert: { resolve_after: '30s' } })
    key.send(outliers)
    const silentAt = key.time + 60_000
    key.send([20], { after: 3_600_000 })
    expect(key.events.filter(({ time }) => time === silentAt).map(({ kind }) => kind)).toEqual(['silent', 'resolved'])
  })

  test('ends after `resolve_after` if silence is not watched', () => {
    const key = new Key({ alert: { resolve_after: '30s' } })
    key.send(outliers)
    key.wait(30_000)
    expect(key.events.at(-1)).toMatchObject({ kind: 'resolved', reason: 'no_samples' })
  })
})

describe('the peak of an alert', () => {
  const end = [...calm(200)]

  test.each([
    [[95, 97, 99], 99],
    [[95, 99, 97], 99],
    [[-60, -62, -61], -62],
    [[27, -300], -300],
  ])('of %j is the furthest value', (outliers, peak) => {
    const key = new Key()
    key.send([...calm(60), ...outliers, ...end])
    expect(key.peak).toBe(peak)
  })
})

describe.each(['novelty', 'habit', 'range', 'ewma', 'mad'] as const)('a rule with the detector %s', detector => {
  test('opens an alert on one sample that is just flagged', () => {
    // To a new key most things are new.
    const age = detector === 'novelty' || detector === 'habit' ? 5000 : 500
    const keys = Array.from({ length: age === 5000 ? 40 : 200 }, (_, i) => {
      const key = new Key({ detector })
      key.send([...calm(age), 22 + i / 10])
      return key
    })
    const first = keys.find(({ flagged }) => flagged.at(-1) === age)
    expect(first?.events.at(-1)).toMatchObject({ kind: 'opened', n: age })
  })
})

describe.each(['novelty', 'habit'] as const)('with %s, a score beyond the range hides nothing after it', detector => {
  test('a small step, then a jump', () => {
    const key = new Key({ detector })
    expect(key.send([...flat(500, 0), 1, ...flat(20, 0), ...flat(10, 500)])).toContain(521)
    expect(key.flagged).toContain(521)
  })

  test.each([1e-9, 3, -1])('a step of %f, then a jump', step => {
    const key = new Key({ detector, deviation_min: 0 })
    expect(key.send([...flat(500, 0), step, ...flat(20, 0), ...flat(10, 500)])).toEqual([500, 521])
  })

  test('an error value soon after the first score', () => {
    const key = new Key({ detector })
    expect(key.send([...calm(80), ...flat(8, -127)])).toEqual([80])
    expect(key.flagged).toContain(80)
  })
})

describe('an ignored value', () => {
  const rule = { ignore: [-127, 85] }

  test('is not analysed, and changes neither window nor alerts', () => {
    const values = [...calm(100), 30, ...calm(20)]
    const withErrors = values.flatMap((value, i) => (i % 10 === 0 ? [-127, value, 85] : [value]))
    const key = new Key(rule)
    const same = new Key({ ignore: [1e9] })
    key.send(withErrors)
    same.send(values)
    expect(key.scores.filter((_, i) => withErrors[i] !== -127 && withErrors[i] !== 85)).toEqual(same.scores)
    expect(key.kinds).toEqual(same.kinds)
  })

  test.each(['zscore', 'novelty', 'habit', 'range', 'ewma', 'mad'] as const)(
    'does not hide what follows: %s',
    detector => {
      const key = new Key({ ...rule, detector, alert: { open: 1, samples: 1, instant: 1 } })
      expect(key.send([...calm(500), ...flat(8, -127), 85, 45]).at(-1)).toBe(509)
    },
  )

  test('counts as a sign of life, but keeps no alert open', () => {
    const key = new Key({ ...rule, silent: '60s', alert: { resolve_after: '30s' } })
    key.send([...calm(60), 95, 97, 99])
    key.send(flat(100, -127))
    expect(key.kinds).toEqual(['opened'])
    key.wait(0)
    expect(key.kinds).toEqual(['opened', 'resolved'])
    key.wait(60_000)
    expect(key.kinds).toEqual(['opened', 'resolved', 'silent'])
  })

  test('is matched by value: -0 is 0', () => {
    const key = new Key({ ignore: [0] })
    expect(key.send([...calm(60), -0, 0])).toEqual([])
  })
})

describe('a counter', () => {
  const random = new Random(3)
  /** Counts with the given increments. */
  const counts = (increments: readonly number[], from = 0): number[] => {
    let count = from
    return increments.map(by => (count += by))
  }
  const steady = (length: number) => list(length, () => 100 + random.integer(-5, 5))
  const rule = { counter: true } as const

  test('is scored by its rate per second', () => {
    const key = new Key(rule)
    key.send(counts(flat(40, 500)), { every: 10_000 })
    expect(key.scores.slice(0, 31).every(Number.isNaN)).toBe(true)
    expect(key.scores.slice(31)).toEqual(flat(9, 0))
  })

  test('opens an alert on another rate, up or down', () => {
    expect(new Key(rule).send(counts([...steady(100), 200]))).toEqual([100])
    expect(new Key(rule).send(counts([...steady(100), 0, 0]))).toEqual([100])
  })

  test('opens none on a longer interval', () => {
    const key = new Key(rule)
    const values = counts([...steady(100), 6000, ...steady(100)])
    expect(key.send(values.slice(0, 100))).toEqual([])
    expect(key.send(values.slice(100), { after: 60_000 })).toEqual([])
  })

  test.each([
    ['a reset', (values: number[]) => values.map((value, i) => (i < 100 ? value : value - (values[100] ?? 0)))],
    [
      'a reset that the counter has already left behind',
      (values: number[]) => values.map((value, i) => (i < 100 ? value : value - (values[95] ?? 0))),
    ],
    ['a wrap at 32 bits', (values: number[]) => values.map(value => (value + 2 ** 32 - 10_000) % 2 ** 32)],
    [
      'a reset just below 32 bits',
      (values: number[]) => values.map((value, i) => (i < 100 ? 2 ** 32 - 20_000_000 + value : value)),
    ],
    [
      'counts beyond 53 bits',
      (values: number[]) => values.map(value => (value * 2 ** 40 + 2 ** 64 - 5000 * 2 ** 40) % 2 ** 64),
    ],
    ['a repeated count and time', (values: number[]) => values],
  ])('opens no alert: %s', (_, change) => {
    const key = new Key(rule)
    expect(key.send(change(counts(steady(300))))).toEqual([])
    expect(key.scores.filter(Number.isNaN).length).toBeLessThanOrEqual(32)
  })

  test('has no rate between samples of the same time', () => {
    const key = new Key(rule)
    expect(key.send(counts(steady(200)), { every: 0 })).toEqual([])
    expect(key.scores.every(Number.isNaN)).toBe(true)
  })

  test.each(['zscore', 'novelty', 'habit', 'range', 'ewma', 'mad'] as const)(
    'that seldom counts opens no alert with %s, whenever its samples are taken',
    detector => {
      for (const share of [0.01, 0.05]) {
        const key = new Key({ ...rule, detector })
        const values = counts(list(600, () => (random.uniform() < share ? 1 : 0)))
        for (const value of values) key.send([value], { after: 1000 + random.integer(-30, 30) })
        expect(key.events).toEqual([])
        expect(key.send([(values.at(-1) ?? 0) + 50])).toEqual([600])
      }
    },
  )

  test.each(['novelty', 'habit', 'range', 'ewma', 'mad'] as const)('suits the detector %s', detector => {
    const key = new Key({ ...rule, detector })
    const opened = key.send(counts([...steady(500), 900, ...steady(100)]))
    expect(opened).toContain(500)
    expect(opened.filter(n => n > 200 && n !== 500).length).toBeLessThanOrEqual(1)
  })

  test('that is a level all the time is not scored', () => {
    const key = new Key(rule)
    expect(key.send(list(200, i => (i % 2 === 0 ? 5 : 4)))).toEqual([])
  })
})
