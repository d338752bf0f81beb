import {
  type AlertEvent,
  type AlertPolicy,
  alertExpiresAt,
  alertPhase,
  expireAlert,
  shiftAlert,
  stepAlert,
} from '@tidemark/shared/detection/alerts/alert'
import { createScoredSample, type ScoredSample } from '@tidemark/shared/detection/alerts/context'
import { ALERT_DEFAULTS } from '@tidemark/shared/detection/alerts/defaults'
import { ALERT_STATE_LENGTH } from '@tidemark/shared/detection/alerts/state'
import { createJudgement } from '@tidemark/shared/detection/detectors/detector'
import { createSlab } from '@tidemark/shared/detection/detectors/places'
import { createZscore } from '@tidemark/shared/detection/detectors/zscore'
import { createPolicy, signedScore } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HistoryRing } from '../../src/history-ring.ts'
import { Random } from '../../src/random.ts'

const MINUTE = 60_000

/** The alert of one key with a sample per second. */
function createAlert(policy: Partial<AlertPolicy> = {}) {
  const states = new Float64Array(ALERT_STATE_LENGTH)
  const sample = createScoredSample()
  sample.threshold = 2
  const events: AlertEvent[] = []
  const filled = { ...ALERT_DEFAULTS, ...policy }
  return {
    states,
    events,
    step(score: number, after = 1000): AlertEvent[] {
      sample.score = score
      sample.value = 10 + score
      sample.time += after
      sample.count++
      const known = events.length
      stepAlert(states, 0, filled, sample, events)
      return events.slice(known)
    },
    steps(...scores: number[]): string {
      return scores
        .map(
          score =>
            this.step(score)
              .map(({ kind }) => kind[0])
              .join('') || '.',
        )
        .join('')
    },
    sample,
  }
}

describe('an alert opens', () => {
  test.each([
    ['on the second sample in a row beyond 3', [3.1, 3.1], '.o'],
    ['not on one', [3.1, 0, 3.1, 0], '....'],
    ['not at 3 itself', [3, 3, 3], '...'],
    ['on one sample beyond 6', [6.1], 'o'],
    ['not at 6 itself', [6], '.'],
    ['below as above', [-3.1, -3.1], '.o'],
    ['not on samples of different sides', [3.1, -3.1, 3.1], '...'],
    ['not while warming', [Number.NaN, Number.NaN], '..'],
    ['across a sample without a score', [3.1, Number.NaN, 3.1], '..o'],
  ])('%s', (_, scores, expected) => {
    expect(createAlert().steps(...scores)).toBe(expected)
  })

  test('on samples of different sides if `sides` is any', () => {
    expect(createAlert({ sides: 'any' }).steps(3.1, -3.1)).toBe('.o')
  })

  test('on the sum of smaller deviations to one side', () => {
    // Each is 1.5 beyond half the threshold; the limit is 6.5.
    expect(createAlert().steps(2.5, 2.5, 2.5, 2.5, 2.5)).toBe('....o')
    expect(createAlert().steps(2.5, 2.5, 2.5, -2.5, 2.5)).toBe('.....')
    expect(createAlert({ sustained: Number.POSITIVE_INFINITY }).steps(2.5, 2.5, 2.5, 2.5, 2.5)).toBe('.....')
  })

  test('on no number of samples at half the threshold', () => {
    expect(createAlert().steps(...Array<number>(100).fill(1))).toBe('.'.repeat(100))
  })

  test('on `samples` of the newest `of`', () => {
    expect(createAlert({ samples: 3, of: 5 }).steps(3.1, 0, 3.1, 0, 3.1)).toBe('....o')
    expect(createAlert({ samples: 3, of: 5, sustained: 100 }).steps(3.1, 0, 3.1, 0, 0, 3.1)).toBe('......')
  })

  test('after its hold time, which restarts after a break', () => {
    expect(createAlert({ holdMs: 3000 }).steps(3.1, 3.1, 3.1, 3.1, 3.1)).toBe('....o')
    expect(createAlert({ holdMs: 3000, sustained: 100 }).steps(3.1, 3.1, 3.1, 0, 3.1, 3.1, 3.1, 3.1, 3.1)).toBe(
      '........o',
    )
  })

  test('after its hold time, also if the clock goes back meanwhile', () => {
    const alert = createAlert({ holdMs: 3000 })
    alert.sample.time = 100 * MINUTE
    expect(alert.steps(3.1, 3.1)).toBe('..')
    alert.sample.time -= 60 * MINUTE
    expect(alert.steps(3.1, 3.1, 3.1, 3.1)).toBe('...o')
  })

  test('after its hold time, which restarts after a gap, whether or not samples without a score were in it', () => {
    for (const between of [[], [Number.NaN], [Number.NaN, Number.NaN]]) {
      const alert = createAlert({ holdMs: 3000 })
      expect(alert.steps(3.1, 3.1)).toBe('..')
      const after = 12_000 / (between.length + 1)
      for (const score of between) alert.step(score, after)
      expect(alert.step(3.1, after)).toEqual([])
      expect(alert.steps(3.1, 3.1, 3.1)).toBe('..o')
    }
  })

  test('at once beyond `instant`, whatever the hold time', () => {
    expect(createAlert({ holdMs: MINUTE }).steps(6.1)).toBe('o')
  })

  test('and records what opened it', () => {
    const alert = createAlert()
    alert.step(3.5)
    expect(alertPhase(alert.states, 0)).toBe('pending')
    expect(alert.step(-7)).toEqual([
      { kind: 'opened', time: 2000, count: 2, value: 3, score: -7, threshold: 2, by: 'instant', openedBefore: 0 },
    ])
    expect(alertPhase(alert.states, 0)).toBe('firing')
  })
})

describe('a firing alert', () => {
  test('closes after five consecutive samples that are not beyond 1.5', () => {
    expect(createAlert().steps(7, 1, 1, 1, 1, 1.6, 1, -1, 1.5, 1, 0, 0)).toBe('o.........r.')
  })

  test('is not closed by samples without a score', () => {
    expect(createAlert().steps(7, 1, 1, 1, 1, Number.NaN, Number.NaN, 1)).toBe('o......r')
  })

  test('records its opening, its peak and its end', () => {
    const alert = createAlert()
    alert.steps(7, -9, 1, 1, 1, 1)
    expect(alert.step(1)).toEqual([
      {
        kind: 'resolved',
        time: 7000,
        reason: 'calm',
        openedAt: 1000,
        openedCount: 1,
        peak: -9,
        peakValue: 1,
        samples: 7,
      },
    ])
    alert.steps(7)
    expect(alert.events.at(-1)).toMatchObject({ kind: 'opened', openedBefore: 1000 })
  })

  test('does not open again while it fires', () => {
    expect(createAlert().steps(7, 7, 3.1, 3.1, 7)).toBe('o....')
  })

  test('expires once when no sample comes', () => {
    const alert = createAlert()
    alert.step(7)
    expect(alertExpiresAt(alert.states, 0)).toBe(1000 + 10 * MINUTE)
    expireAlert(alert.states, 0, 10 * MINUTE, alert.events)
    expect(alert.events).toHaveLength(1)
    expireAlert(alert.states, 0, 20 * MINUTE, alert.events)
    expireAlert(alert.states, 0, 30 * MINUTE, alert.events)
    expect(alert.events.slice(1)).toMatchObject([{ kind: 'resolved', reason: 'no_samples', time: 1000 + 10 * MINUTE }])
  })

  test('expires later for a key that sends rarely', () => {
    const alert = createAlert()
    alert.sample.intervalMs = 60 * MINUTE
    alert.step(7)
    expect(alertExpiresAt(alert.states, 0)).toBe(1000 + 5 * 60 * MINUTE)
  })

  test('that expired before the next sample is resolved as of that time, and may open again', () => {
    const alert = createAlert()
    alert.step(7)
    expect(alert.step(8, 60 * MINUTE)).toMatchObject([
      { kind: 'resolved', reason: 'no_samples', time: 1000 + 10 * MINUTE },
      { kind: 'opened', openedBefore: 1000 },
    ])
  })

  test('is resolved when its level is accepted as new', () => {
    const alert = createAlert()
    alert.step(7)
    shiftAlert(alert.states, 0, 1500, alert.events)
    expect(alert.events.at(-1)).toMatchObject({ kind: 'resolved', reason: 'level_shift', time: 1500 })
    expect(alertPhase(alert.states, 0)).toBe('ok')
  })
})

test('evidence from before a level shift does not count after it', () => {
  for (const before of [[3.1], [2.5, 2.5, 2.5, 2.5], [-2.5, -2.5, -2.5, -2.5]]) {
    const alert = createAlert()
    alert.steps(...before)
    shiftAlert(alert.states, 0, 1, alert.events)
    expect(alert.states).toEqual(new Float64Array(ALERT_STATE_LENGTH))
  }
})

/** A gap that breaks evidence, of keys without a known interval. */
const GAP_MS = 10_000

const policies: fc.Arbitrary<AlertPolicy> = fc.record({
  open: fc.constantFrom(1, 1.5, 2),
  samples: fc.integer({ min: 1, max: 3 }),
  of: fc.integer({ min: 3, max: 5 }),
  sides: fc.constantFrom('same', 'any'),
  instant: fc.constantFrom(2, 3),
  sustained: fc.constantFrom(Number.POSITIVE_INFINITY, 1, 3.25),
  close: fc.constantFrom(0.5, 0.75),
  closeAfter: fc.integer({ min: 1, max: 4 }),
  holdMs: fc.constantFrom(0, 0, 2500),
  resolveAfterMs: fc.constantFrom(3000, 10 * MINUTE),
  severity: fc.constant('warning'),
})

const scored: fc.Arbitrary<ScoredSample[]> = fc
  .array(
    fc.record({
      score: fc.constantFrom(Number.NaN, 0, 1, -1, 1.5, 2.5, 3.5, -3.5, 5, 7, -7),
      after: fc.constantFrom(0, 1000, 1000, 1000, 3000, 5000),
    }),
    { maxLength: 60 },
  )
  .map(steps => {
    let time = 1
    return steps.map(({ score, after }, i) => {
      time += after
      return { score, time, count: i + 1, value: i, timestamp: 0, threshold: 2, intervalMs: 0 }
    })
  })

describe('on any samples and policy', () => {
  test('the alerts equal those of a slow, obvious computation', () => {
    fc.assert(
      fc.property(policies, scored, (policy, samples) => {
        const states = new Float64Array(ALERT_STATE_LENGTH)
        const events: AlertEvent[] = []
        for (const sample of samples) stepAlert(states, 0, policy, sample, events)
        expect(events).toEqual(oracle(policy, samples))
      }),
      { numRuns: 2000 },
    )
  })

  test('a state restored from its bytes continues identically, with or without timers', () => {
    fc.assert(
      fc.property(policies, scored, fc.nat(60), (policy, samples, cut) => {
        const kept = new Float64Array(ALERT_STATE_LENGTH)
        let restored = new Float64Array(ALERT_STATE_LENGTH + 3)
        const events: AlertEvent[] = []
        const again: AlertEvent[] = []
        for (const [i, sample] of samples.entries()) {
          if (i === cut) {
            const bytes = Uint8Array.from(new Uint8Array(restored.buffer))
            restored = new Float64Array(bytes.buffer)
          }
          stepAlert(kept, 0, policy, sample, events)
          expireAlert(restored, 3, sample.time, again)
          stepAlert(restored, 3, policy, sample, again)
        }
        expect(again).toEqual(events)
        expect(restored.slice(3)).toEqual(kept)
      }),
    )
  })
})

/** The alerts of a key, recomputed for each sample from all samples since the last alert ended. */
function oracle(policy: AlertPolicy, samples: readonly ScoredSample[]): AlertEvent[] {
  const events: AlertEvent[] = []
  const beyond = ({ score, threshold }: ScoredSample, line: number): boolean =>
    Math.abs(score) > line * threshold * (1 + 1e-12)
  /** Samples with a score since the last alert. */
  let since: ScoredSample[] = []
  let firing: ScoredSample[] = []
  const end = (time: number, reason: 'calm' | 'no_samples'): void => {
    const [first] = firing
    if (first === undefined) throw new Error('nothing is firing')
    let peak = first.score
    let peakValue = first.value
    for (const { score, value } of firing.filter(({ score }) => !Number.isNaN(score))) {
      const changesSide = Math.abs(score) > Math.abs(peak) && score * peak < 0
      if (Math.abs(score) > Math.abs(peak)) peak = score
      if (changesSide) peakValue = value
      else peakValue = peak > 0 ? Math.max(peakValue, value) : Math.min(peakValue, value)
    }
    events.push({
      kind: 'resolved',
      time,
      reason,
      openedAt: first.time,
      openedCount: first.count,
      peak,
      peakValue,
      samples: firing.length,
    })
    firing = []
    since = []
  }
  const byNumber = (until: number): boolean => {
    const newest = since.slice(0, until).slice(-policy.of)
    const speaking = newest.filter(sample => beyond(sample, policy.open))
    const ups = speaking.filter(({ score }) => score > 0).length
    const most = policy.sides === 'any' ? speaking.length : Math.max(ups, speaking.length - ups)
    return most >= policy.samples
  }
  const bySum = (until: number): boolean => {
    const sum = (side: number): number =>
      since.slice(0, until).reduce((sum, { score, threshold }) => {
        const counted = Math.max(-policy.open, Math.min(policy.open, score / threshold))
        return Math.max(0, sum + side * counted - 0.5)
      }, 0)
    return Math.max(sum(1), sum(-1)) > policy.sustained
  }
  for (const sample of samples) {
    const last = firing.at(-1)
    if (last !== undefined && sample.time >= last.time + policy.resolveAfterMs)
      end(last.time + policy.resolveAfterMs, 'no_samples')
    if (firing.length > 0) {
      firing.push(sample)
      const judged = firing.slice(1).filter(({ score }) => !Number.isNaN(score))
      const calm = judged.slice(-policy.closeAfter)
      if (
        !Number.isNaN(sample.score) &&
        calm.length === policy.closeAfter &&
        !calm.some(one => beyond(one, policy.close))
      ) {
        end(sample.time, 'calm')
      }
      continue
    }
    if (Number.isNaN(sample.score)) continue
    since.push(sample)
    let begin = since.length
    while (begin > 0 && (byNumber(begin) || bySum(begin)) && beyond(since[begin - 1] ?? sample, policy.close)) {
      begin--
      // Samples without a score do not bridge a gap: there is no evidence in it.
      if (begin > 0 && (since[begin]?.time ?? 0) - (since[begin - 1]?.time ?? 0) > GAP_MS) break
    }
    const first = since[begin]
    const isLongEnough = first !== undefined && sample.time - first.time >= policy.holdMs
    const isInstant = beyond(sample, policy.instant)
    if (!isInstant && !isLongEnough) continue
    const { time, count, value, score, threshold } = sample
    const before = events.findLast(({ kind }) => kind === 'opened')?.time ?? 0
    const by = isInstant ? 'instant' : byNumber(since.length) ? 'samples' : 'sustained'
    events.push({ kind: 'opened', time, count, value, score, threshold, by, openedBefore: before })
    firing = [sample]
  }
  return events
}

describe('with the z-score of a window of 50 and the defaults of a rule that sets alert', () => {
  const policy = createPolicy({ alert: ALERT_DEFAULTS }, VERDICT_DEFAULTS)
  const stateless = createSlab(0)
  const detector = createZscore()

  /** Feeds a key. Returns the index of the sample of each opening. */
  function openings(count: number, valueAt: (i: number) => number): number[] {
    const ring = new HistoryRing(policy.window)
    const states = new Float64Array(ALERT_STATE_LENGTH)
    const sample = createScoredSample()
    const judgement = createJudgement()
    const events: AlertEvent[] = []
    sample.threshold = policy.threshold
    for (let i = 0; i < count; i++) {
      sample.value = valueAt(i)
      sample.time = 1000 * (i + 1)
      sample.count = i + 1
      detector.judge(ring.history, stateless, 0, sample.value, judgement)
      sample.score = signedScore(policy, judgement, sample.value)
      stepAlert(states, 0, policy.alert, sample, events)
      ring.push(sample.value, sample.time)
    }
    return events.flatMap(event => (event.kind === 'opened' ? [event.count - 1] : []))
  }

  test('normal noise opens at most 25 alerts in a million samples', () => {
    const random = new Random(2)
    const found = openings(1_000_000, () => random.normal()).length
    expect(found).toBeGreaterThan(0)
    expect(found).toBeLessThanOrEqual(25)
  })

  test('a spike of 8 deviations opens an alert with its first sample', () => {
    const values = Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? 1 : -1))
    expect(openings(51, i => values[i] ?? 8)).toEqual([50])
  })

  test('a level shift of 3 deviations opens an alert within 10 samples in 95 of 100 cases', () => {
    let found = 0
    for (let seed = 1; seed <= 1000; seed++) {
      const random = new Random(seed)
      if (openings(110, i => random.normal() + (i < 100 ? 0 : 3)).some(i => i >= 100)) found++
    }
    expect(found).toBeGreaterThanOrEqual(950)
  })
})
