import {
  checkSilence,
  SILENCE_STATE_LENGTH,
  type SilenceEvent,
  type SilencePolicy,
  silentAt,
  stepSilence,
  usualGap,
} from '@tidemark/shared/detection/alerts/silence'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Random } from '../../src/random.ts'

const START = 1_700_000_000_000
const HOUR = 3_600_000
const LEARNED: SilencePolicy = { afterMs: null }

function createKey(policy: SilencePolicy = LEARNED) {
  const states = new Float64Array(SILENCE_STATE_LENGTH)
  const events: SilenceEvent[] = []
  let time = START
  let count = 0
  return {
    states,
    events,
    /** Adds samples `gapMs` apart. */
    samples(...gaps: number[]): void {
      for (const gap of gaps) {
        time += gap
        count++
        stepSilence(states, 0, policy, { time, count }, events)
      }
    },
    check(after: number): void {
      checkSilence(states, 0, policy, time + after, events)
    },
    silences: () => events.filter(({ kind }) => kind === 'silent').length,
  }
}

describe('a key', () => {
  test("is silent after its rule's time, and heard with the next sample", () => {
    const key = createKey({ afterMs: 60_000 })
    key.samples(0)
    key.check(59_999)
    expect(key.events).toEqual([])
    key.check(60_000)
    key.check(90_000)
    key.samples(100_000)
    expect(key.events).toEqual([
      { kind: 'silent', time: START + 60_000, lastAt: START, lastCount: 1, expectedMs: 60_000 },
      { kind: 'heard', time: START + 100_000, lastAt: START, lastCount: 1 },
    ])
  })

  test('is silent after its time although the clock went back by an hour', () => {
    const key = createKey({ afterMs: 60_000 })
    key.samples(0, 1000, -3_600_000)
    key.check(59_999)
    expect(key.events).toEqual([])
    key.check(60_000)
    expect(key.events).toMatchObject([{ kind: 'silent', time: START + 1000 - 3_600_000 + 60_000 }])
  })

  test('is reported as silent as of the right time even if no timer ran', () => {
    const looked = createKey({ afterMs: 60_000 })
    const overlooked = createKey({ afterMs: 60_000 })
    for (const key of [looked, overlooked]) key.samples(0)
    looked.check(60_000)
    for (const key of [looked, overlooked]) key.samples(100_000)
    expect(overlooked.events).toEqual(looked.events)
  })

  test('without samples is never silent', () => {
    const key = createKey({ afterMs: 60_000 })
    key.check(HOUR)
    expect(key.events).toEqual([])
  })

  test('is silent after three times its longest usual gap, once learned', () => {
    const key = createKey()
    key.samples(...Array(10).fill(60_000))
    expect(silentAt(key.states, 0, LEARNED)).toBe(Number.POSITIVE_INFINITY)
    key.samples(60_000)
    expect(silentAt(key.states, 0, LEARNED)).toBe(START + 11 * 60_000 + 180_000)
  })

  test('is not silent before ten seconds have passed', () => {
    const key = createKey()
    key.samples(...Array(50).fill(100))
    key.check(9999)
    expect(key.silences()).toBe(0)
    key.check(10_000)
    expect(key.silences()).toBe(1)
  })

  test('that sends hourly batches is not silent between them, once learned', () => {
    const key = createKey()
    for (let hour = 0; hour < 5; hour++) key.samples(HOUR, ...Array(60).fill(15))
    expect(key.silences()).toBeLessThanOrEqual(4)
    key.events.length = 0
    for (let hour = 0; hour < 100; hour++) key.samples(HOUR, ...Array(60).fill(15))
    expect(key.silences()).toBe(0)
  })

  test('that sends at random times is rarely silent', () => {
    const random = new Random(7)
    const key = createKey()
    // Half the sum of two squared normal numbers is exponential: a Poisson process with a mean gap
    // of a minute.
    for (let i = 0; i < 100_000; i++)
      key.samples(1 + Math.round(30_000 * (random.normal() ** 2 + random.normal() ** 2)))
    expect(key.silences()).toBeLessThanOrEqual(5)
  })

  test('does not treat an outage as usual, and learns a slower pace within few silences', () => {
    const key = createKey()
    key.samples(...Array(100).fill(10_000), 24 * HOUR)
    expect(usualGap(key.states, 0)).toBeLessThanOrEqual(60_000)
    key.samples(...Array(100).fill(HOUR))
    expect(key.silences()).toBeLessThanOrEqual(4)
    expect(usualGap(key.states, 0)).toBe(HOUR)
  })

  test('that sends faster is expected sooner', () => {
    const key = createKey()
    key.samples(...Array(100).fill(60_000), ...Array(1000).fill(10_000))
    expect(usualGap(key.states, 0)).toBe(10_000)
  })
})

test('events come in pairs and depend on the samples alone, whenever timers run and the state is restored', () => {
  const gap = fc.constantFrom(0, 1000, 1000, 5000, 60_000, HOUR)
  const policy = fc.constantFrom<SilencePolicy>(LEARNED, { afterMs: 30_000 })
  fc.assert(
    fc.property(fc.array(gap, { maxLength: 60 }), policy, fc.array(fc.nat(60)), (gaps, policy, looks) => {
      const quiet = new Float64Array(SILENCE_STATE_LENGTH)
      let looked = new Float64Array(SILENCE_STATE_LENGTH)
      const events: SilenceEvent[] = []
      const again: SilenceEvent[] = []
      let time = START
      for (const [i, gap] of gaps.entries()) {
        time += gap
        if (looks.includes(i)) {
          checkSilence(looked, 0, policy, time, again)
          looked = new Float64Array(Uint8Array.from(new Uint8Array(looked.buffer)).buffer)
        }
        stepSilence(quiet, 0, policy, { time, count: i + 1 }, events)
        stepSilence(looked, 0, policy, { time, count: i + 1 }, again)
      }
      expect(again).toEqual(events)
      expect(looked).toEqual(quiet)
      expect(events.map(({ kind }) => kind)).toEqual(events.map((_, i) => (i % 2 === 0 ? 'silent' : 'heard')))
    }),
  )
})
