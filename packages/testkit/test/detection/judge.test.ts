import type { AlertEvent } from '@tidemark/shared/detection/alerts/alert'
import type { SilenceEvent } from '@tidemark/shared/detection/alerts/silence'
import { createHistory } from '@tidemark/shared/detection/detectors/detector'
import { DETECTOR_NAMES } from '@tidemark/shared/detection/detectors/registry'
import { Judge, type Judged } from '@tidemark/shared/detection/judge'
import { copyRow, createRow, type KeyRow, readHistory, shapeFor, shapeOf } from '@tidemark/shared/detection/key-row'
import { type Budget, parseBudget } from '@tidemark/shared/detection/rules/budget'
import { createPolicy, type Policy, type PolicyParts } from '@tidemark/shared/detection/rules/policy'
import {
  decodeWindow,
  encodeMemory,
  encodeRow,
  encodeTail,
  fillRow,
  hasStateBeside,
  learnedTo,
  mustStoreMemory,
  type StoredWindow,
  storedLengthMax,
} from '@tidemark/shared/detection/window-row'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { exactSummary } from '../../src/exact.ts'
import { oracleAnalysis } from '../../src/oracle.ts'
import { Random } from '../../src/random.ts'

const DEFAULT = createPolicy({}, VERDICT_DEFAULTS)

/** Calm, flat, spiky, huge and tied values; some late, duplicate, or after a long time. */
const anySamples = fc.array(
  fc.record({
    value: fc.oneof(
      fc.integer({ min: 0, max: 3 }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.constant(40),
    ),
    gap: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constantFrom(700_000, 30_000)),
    late: fc.constantFrom(0, 0, 0, 2),
  }),
  { minLength: 1, maxLength: 160 },
)

const anyPolicy = fc
  .record({
    detector: fc.constantFrom(...DETECTOR_NAMES),
    window: fc.constantFrom(10, 50, 120),
    hygiene: fc.constantFrom({ isHeld: false, levelShiftAfter: 0 }, { isHeld: true, levelShiftAfter: 4 }),
    silence: fc.constantFrom(null, { afterMs: null }, { afterMs: 20_000 }),
    order: fc.constantFrom(
      { refusesLate: false, dropsDuplicates: false },
      { refusesLate: true, dropsDuplicates: true },
    ),
  })
  .map(parts => createPolicy(parts, VERDICT_DEFAULTS))

interface Arrived {
  readonly value: number
  readonly timestamp: number
  readonly time: number
}

function arrive(samples: readonly { value: number; gap: number; late: number }[]): Arrived[] {
  let time = 1_700_000_000_000
  return samples.map(({ value, gap, late }) => {
    time += gap
    return { value, timestamp: time - late, time }
  })
}

const newRow = (policy: Policy): KeyRow => createRow(shapeOf(policy))

/** The whole observable result of a judge. */
function seen(judged: Judged) {
  const { judgement, alerts, silences, ...rest } = judged
  return { ...rest, alerts: [...alerts], silences: [...silences] }
}

test('the default policy gives the verdict of the oracle', () => {
  fc.assert(
    fc.property(anySamples, samples => {
      const judge = new Judge(DEFAULT)
      const row = newRow(DEFAULT)
      const past: Arrived[] = []
      for (const sample of arrive(samples)) {
        past.push(sample)
        const judged = judge.step(row, sample.value, sample.timestamp, sample.time)
        const expected = oracleAnalysis('k', past, VERDICT_DEFAULTS)
        expect(judged).toMatchObject({ count: expected.count, window: expected.window, isFlagged: expected.anomaly })
        expect(Number.isNaN(judged.score) ? null : judged.score).toEqual(expected.z)
        expect(Number.isNaN(judged.low) ? null : judged.low).toEqual(expected.low)
      }
    }),
  )
})

test('the score of a jitter of 1e-3 around 1e9 has ten digits', () => {
  const judge = new Judge(DEFAULT)
  const row = newRow(DEFAULT)
  const values = Array.from({ length: 200 }, (_, i) => 1e9 + 1e-3 * Math.sin(i * i))
  for (const [n, value] of values.entries()) {
    const { score } = judge.step(row, value, n, n)
    if (Number.isNaN(score)) continue
    const { z } = exactSummary(values.slice(Math.max(0, n - DEFAULT.window), n), value)
    expect(Math.abs(score / z - 1)).toBeLessThan(1e-11)
  }
})

test('a key continues identically after being stored and loaded, as a row or as a row and its tail', () => {
  fc.assert(
    fc.property(anyPolicy, anySamples, fc.nat(), fc.nat(12), (policy, samples, cut, added) => {
      const judge = new Judge(policy)
      const arrived = arrive(samples)
      let row = newRow(policy)
      const whole = newRow(policy)
      const cutAt = cut % arrived.length
      let stored: StoredWindow | undefined
      let memory: StoredMemory = { bytes: null, pushed: -1 }
      let rowPushed = 0
      let isShifted = false
      for (const [i, { value, timestamp, time }] of arrived.entries()) {
        const expected = seen(judge.step(whole, value, timestamp, time))
        expect(seen(judge.step(row, value, timestamp, time))).toEqual(expected)
        isShifted ||= expected.isShift
        if (expected.isShift) memory = { bytes: null, pushed: -1 }
        // The memory may be older than the row.
        if (i === cutAt - 3 * added) memory = memoryOf(row, memory)
        if (i === cutAt) {
          memory = memoryOf(row, memory)
          stored = { row: bytesOf(row, encodeRow), tail: null, memory: memory.bytes }
          rowPushed = row.rows[1] as number
          isShifted = false
        }
        if (stored === undefined || i !== cutAt + added || isShifted) continue
        const pairs = (row.rows[1] as number) - rowPushed
        // A tail follows only the row of a full window.
        const hasTail = rowPushed >= policy.window && pairs <= policy.window
        const isNewer = (row.rows[0] as number) > new DataView(stored.row.buffer).getFloat64(0, true)
        const tail = bytesOf(row, (one, target, at) => encodeTail(one, pairs, target, at))
        if (!(isNewer && hasTail) || hasStateBeside(row.shape)) memory = memoryOf(row, memory)
        const newest = { row: bytesOf(row, encodeRow), tail: null, memory: memory.bytes }
        const content = decodeWindow(isNewer && hasTail ? { row: stored.row, tail, memory: memory.bytes } : newest)
        if (content === undefined) throw new Error('the row cannot be read')
        const loaded = createRow(content.shape)
        fillRow(loaded, content)
        const adopted = shapeFor(loaded, policy)
        if (adopted !== loaded.shape) {
          // The samples of a window that was never full tell all.
          expect((row.rows[1] as number) < policy.window).toBe(true)
          row = createRow(adopted)
          copyRow(loaded, row)
        } else row = loaded
      }
    }),
  )
})

interface StoredMemory {
  readonly bytes: Uint8Array | null
  readonly pushed: number
}

function memoryOf(row: KeyRow, stored: StoredMemory): StoredMemory {
  if (!mustStoreMemory(row, stored.pushed)) return stored
  return { bytes: bytesOf(row, encodeMemory), pushed: learnedTo(row) }
}

function bytesOf(row: KeyRow, encode: (row: KeyRow, target: Float64Array, at: number) => number): Uint8Array {
  const target = new Float64Array(storedLengthMax(row.shape) + 100)
  return new Uint8Array(target.buffer.slice(0, 8 * encode(row, target, 0)))
}

describe('a timer', () => {
  test('has the same result as the next sample', () => {
    fc.assert(
      fc.property(anyPolicy, anySamples, fc.array(fc.nat(100)), (policy, samples, checks) => {
        const judge = new Judge(policy)
        const [alone, watched] = [newRow(policy), newRow(policy)]
        const expected: { alerts: AlertEvent[]; silences: SilenceEvent[] } = { alerts: [], silences: [] }
        const found: typeof expected = { alerts: [], silences: [] }
        let before = 0
        for (const { value, timestamp, time } of arrive(samples)) {
          // A timer may run at any time between two samples once it has expired.
          for (const check of before === 0 ? [] : checks.toSorted((a, b) => a - b)) {
            const now = before + ((time - before) * check) / 100
            if (judge.timerAt(watched) <= now) judge.expire(watched, now, found)
          }
          const one = judge.step(alone, value, timestamp, time)
          expected.alerts.push(...one.alerts)
          expected.silences.push(...one.silences)
          const other = judge.step(watched, value, timestamp, time)
          found.alerts.push(...other.alerts)
          found.silences.push(...other.silences)
          before = time
        }
        expect(found).toEqual(expected)
      }),
    )
  })

  test('is rescheduled only to an earlier time', () => {
    const policy = createPolicy({ silence: { afterMs: 20_000 } }, VERDICT_DEFAULTS)
    const judge = new Judge(policy)
    const row = newRow(policy)
    judge.step(row, 1, 1000, 1000)
    expect(judge.nextTimer(row)).toBe(21_000)
    judge.step(row, 1, 5000, 5000)
    expect(judge.nextTimer(row)).toBeUndefined()
    expect(judge.timerAt(row)).toBe(25_000)
  })
})

describe('a change of policy', () => {
  const random = new Random(1)
  const values = Array.from({ length: 200 }, () => 100 + random.normal())

  test('keeps the window as far as the shape allows', () => {
    const row = newRow(DEFAULT)
    for (const [i, value] of values.entries()) new Judge(DEFAULT).step(row, value, i, i)
    for (const window of [120, 50, 20]) {
      const policy = createPolicy({ window, detector: 'mad' }, VERDICT_DEFAULTS)
      const other = createRow(shapeFor(row, policy))
      copyRow(row, other)
      const history = createHistory()
      readHistory(other, history)
      expect(history.size).toBe(Math.min(window, 50))
      const judged = new Judge(policy).step(other, 100, 300, 300)
      expect(judged).toMatchObject({ count: 201, window: Math.min(window, 50), order: 'in_order' })
      expect(judged.score).toBeLessThan(3)
    }
  })

  test('keeps the state of the same detector, and initialises that of another', () => {
    const policy = createPolicy({ detector: 'ewma' }, VERDICT_DEFAULTS)
    const row = newRow(policy)
    for (const [i, value] of values.entries()) new Judge(policy).step(row, value, i, i)
    const same = createPolicy({ detector: 'ewma', window: 100 }, VERDICT_DEFAULTS)
    const [kept, begun] = [same, createPolicy({ detector: 'range' }, VERDICT_DEFAULTS)].map(policy => {
      const other = createRow(shapeFor(row, policy))
      copyRow(row, other)
      return new Judge(policy).step(other, 100, 300, 300).score
    })
    expect(kept).toBeLessThan(3)
    expect(begun).toBeNaN()
  })

  test('that no longer expects samples of a silent key ends its silence', () => {
    const watching = createPolicy({ silence: { afterMs: 20_000 } }, VERDICT_DEFAULTS)
    const row = newRow(watching)
    new Judge(watching).step(row, 1, 1000, 1000)
    const lapsed = { alerts: [], silences: [] as SilenceEvent[] }
    new Judge(watching).expire(row, 30_000, lapsed)
    expect(lapsed.silences.map(({ kind }) => kind)).toEqual(['silent'])
    const other = createRow(shapeFor(row, DEFAULT))
    copyRow(row, other)
    expect(new Judge(DEFAULT).step(other, 1, 40_000, 40_000).silences).toMatchObject([{ kind: 'heard', time: 40_000 }])
    expect(shapeFor(other, DEFAULT).hasSilence).toBe(false)
  })
})

test.each<[string, PolicyParts, number]>([
  ['the default threshold', {}, 0.0556],
  ['a threshold of 3, up', { threshold: 3, direction: 'up' }, 0.0025],
  ['a budget of 1 %', { budget: parseBudget('1 %') as Budget }, 0.01],
])('%s: normal noise is flagged at the expected rate', (_, parts, share) => {
  const policy = createPolicy(parts, VERDICT_DEFAULTS)
  const judge = new Judge(policy)
  const row = newRow(policy)
  const random = new Random(3)
  let [judged, flagged, expected] = [0, 0, 0]
  for (let i = 0; i < 100_000; i++) {
    const { score, isFlagged } = judge.step(row, random.normal(), 1000 * i, 1000 * i)
    if (Number.isNaN(score)) continue
    judged++
    if (isFlagged) flagged++
    expected += judge.expectedShare() ?? Number.NaN
  }
  expect(judged).toBe(100_000 - 30)
  expect(expected / judged / share).toBeCloseTo(1, 2)
  // Consecutive windows share samples, so the error is somewhat larger than with independent ones.
  expect(Math.abs(flagged - expected)).toBeLessThan(6 * Math.sqrt(judged * share))
})

test('the rate at which other detectors flag noise is unknown', () => {
  const policy = createPolicy({ detector: 'ewma' }, VERDICT_DEFAULTS)
  const judge = new Judge(policy)
  judge.step(newRow(policy), 1, 1, 1)
  expect(judge.expectedShare()).toBeUndefined()
})
