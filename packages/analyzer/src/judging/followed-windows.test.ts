import type { RingName } from '@tidemark/shared/aggregates/levels'
import { decodeAggregates } from '@tidemark/shared/aggregates/reading'
import { writeTo } from '@tidemark/shared/aggregates/rings'
import { rowShape } from '@tidemark/shared/detection/key-row'
import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { StoredWindow } from '@tidemark/shared/detection/window-row'
import { counterTimestamp } from '@tidemark/shared/sample/arrival'
import type { Sample } from '@tidemark/shared/sample/sample'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { analysesIn } from '@tidemark/shared/verdict/kept-verdicts'
import { type AggregatedSample, aggregateFaults } from '@tidemark/testkit/aggregates-oracle'
import { packSamples } from '@tidemark/testkit/samples'
import { updateWindow } from '@tidemark/testkit/stored-window'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Aggregates } from './aggregates.ts'
import { analyseRun, expireTimers, missingKeys } from './analyse.ts'
import type { Effects } from './effects.ts'
import { RowMemory } from './row-memory.ts'
import { takeRun } from './run.ts'
import { Windows } from './windows.ts'

const NOW = 1_700_000_000_000
const KEY = 'a'
const SHAPE = rowShape(VERDICT_DEFAULTS.window, 'zscore', false)

function rulesOf(rule: object): RuleSet {
  const document = withRule(EMPTY_DOCUMENT, { id: 'r', pattern: KEY, ...rule }, { who: 'ada', why: 'test', at: 0 })
  return new RuleSet(document, VERDICT_DEFAULTS)
}

/** They change the shape of a window, begin it again, and keep samples out of it. */
const RULES = [
  new RuleSet(EMPTY_DOCUMENT, VERDICT_DEFAULTS),
  rulesOf({ window: 10 }),
  rulesOf({ window: 120, silent: '1h' }),
  rulesOf({ level_shift_after: 2, window: 30 }),
  rulesOf({ level_shift_after: 2, influence: 'held', window: 20 }),
  rulesOf({ level_shift_after: 2, counter: true, window: 40 }),
  rulesOf({ influence: 'held', level_shift_after: 5, late: 'refuse', ignore: [7] }),
]

/** An analyzer with what it has stored of one key. */
class World {
  readonly analysed: AggregatedSample[] = []
  window: StoredWindow | null = null
  open: Uint8Array | null = null
  readonly rings: Record<RingName, Uint8Array> = { hours: new Uint8Array(), days: new Uint8Array() }
  #aggregates = new Aggregates()
  #windows = this.#newWindows()
  #offset = 0
  #checkpoint = { id: '0-0', offset: 0 }
  #arrived = NOW

  get faults(): string[] {
    const { open, window, rings } = this
    return aggregateFaults(this.analysed, (open && decodeAggregates({ open, window, rings })) ?? [])
  }

  commit(samples: readonly Sample[], rules: RuleSet): void {
    const time = ++this.#arrived
    const entry = { id: `${time}-0`, samples: packSamples(samples), count: samples.length, offset: this.#offset }
    this.#offset += samples.length
    const run = takeRun([entry], this.#checkpoint, 1e6)
    this.#checkpoint = run.to
    while (missingKeys(run, this.#windows, rules)?.length !== 0) this.#load()
    const done = analyseRun(run, this.#windows, optionsOf(rules), this.#aggregates)
    this.#store(done)
    for (const verdicts of done.verdicts) {
      for (const { value, timestamp, anomaly, state } of analysesIn({ ...verdicts, samples: entry.samples }, 0)) {
        if (state !== 'refused' && state !== 'ignored')
          this.analysed.push({ value, timestamp, time, isFlagged: anomaly })
      }
    }
  }

  /** Timers expire, which may be the first to apply new rules to the window. */
  expire(rules: RuleSet): void {
    if (this.window === null) return
    if (this.#windows.use(KEY) === undefined) this.#load()
    this.#store(expireTimers([KEY], this.#arrived, this.#windows, optionsOf(rules), this.#aggregates))
  }

  /** Another owner goes on from what is stored. */
  takeOver(): void {
    this.#aggregates = new Aggregates()
    this.#windows = this.#newWindows()
  }

  #newWindows(): Windows {
    const memory = new RowMemory({ bytesMax: Number.POSITIVE_INFINITY })
    return new Windows({ memory, keysMax: 10, follower: this.#aggregates })
  }

  #load(): void {
    const slot = this.#windows.load(KEY, this.window, SHAPE)
    this.#aggregates.load(slot, this.#windows.row(slot), this.open)
  }

  #store({ keys, aggregates }: Effects): void {
    for (const { window } of keys) this.window = updateWindow(this.window, window)
    for (const { bytes } of aggregates.states) this.open = bytes.slice()
    for (const write of aggregates.writes) this.rings[write.ring] = writeTo(this.rings[write.ring], write).slice()
  }
}

function optionsOf(rules: RuleSet) {
  return { partition: 0, settings: VERDICT_DEFAULTS, rules, analyzedAt: 77, now: NOW + 1e9, alertWaitMs: 2000 }
}

const value = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 0, max: 9 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1000, max: 1009 }) },
)
const step = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 0, max: 9000 }) },
  { weight: 1, arbitrary: fc.integer({ min: -9000, max: 20 * 60_000 }) },
)
const phase = fc.record({
  rules: fc.constantFrom(...RULES),
  isOfCounter: fc.boolean(),
  samples: fc.array(fc.tuple(value, step), { minLength: 1, maxLength: 90 }),
  end: fc.constantFrom('nothing', 'take over', 'expire') as fc.Arbitrary<'nothing' | 'take over' | 'expire'>,
})

test("buckets are the oracle's whatever rules do to the window in which samples wait for them", () => {
  fc.assert(
    fc.property(fc.array(phase, { minLength: 1, maxLength: 8 }), phases => {
      const world = new World()
      let timestamp = NOW
      for (const [i, { rules, isOfCounter, samples, end }] of phases.entries()) {
        const items = samples.map(([value, step]) => {
          timestamp += step
          return { key: KEY, value, timestamp: isOfCounter ? counterTimestamp(timestamp) : timestamp }
        })
        world.commit(items, rules)
        expect(world.faults).toEqual([])
        if (end === 'take over') world.takeOver()
        if (end === 'expire') world.expire(phases[i + 1]?.rules ?? rules)
        expect(world.faults).toEqual([])
      }
    }),
    { numRuns: 500 },
  )
})

test('a sample that waits is not lost when its window begins again', () => {
  const world = new World()
  const rules = rulesOf({ level_shift_after: 2, counter: true, window: 50 })
  // Two flagged rates, with a reset between them, whose rate is not known. It waits where the
  // first sample of the new window goes.
  const steady = Array.from({ length: 2 * 50 - 1 }, (_, i) => 10 * i + (i % 3))
  const values = [...steady, 90_000, 5, 90_000, 90_010, 90_020]
  const samples = values.map((value, i) => ({ key: KEY, value, timestamp: counterTimestamp(NOW + 1000 * i) }))
  world.commit(samples.slice(0, -3), rules)
  world.commit(samples.slice(-3), rules)
  expect(world.analysed.map(({ isFlagged }) => isFlagged).slice(-5, -2)).toEqual([true, false, true])
  expect(world.faults).toEqual([])
})
