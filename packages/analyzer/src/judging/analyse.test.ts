import { Judge } from '@tidemark/shared/detection/judge'
import { copyRow, createRow, type KeyRow, rowShape, shapeFor, shapeOf } from '@tidemark/shared/detection/key-row'
import { EMPTY_DOCUMENT, type RuleDocument, withRule } from '@tidemark/shared/detection/rules/document'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { StoredWindow } from '@tidemark/shared/detection/window-row'
import { counterTimestamp } from '@tidemark/shared/sample/arrival'
import type { Entry } from '@tidemark/shared/sample/entry'
import type { Sample } from '@tidemark/shared/sample/sample'
import { type Analysis, VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { analysesIn } from '@tidemark/shared/verdict/kept-verdicts'
import { exactSummary } from '@tidemark/testkit/exact'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { packSamples } from '@tidemark/testkit/samples'
import { updateWindow } from '@tidemark/testkit/stored-window'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { analyseRun, expireTimers, missingKeys } from './analyse.ts'
import type { Effects } from './effects.ts'
import type { AnalyseOptions } from './entry-analysis.ts'
import { RowMemory } from './row-memory.ts'
import { takeRun } from './run.ts'
import { SHADOW, Windows } from './windows.ts'

const START = { id: '0-0', offset: 0 }
const NOW = 1_700_000_000_000

/** Returns one entry per batch, each `gap` ms after the one before. */
function entriesOf(batches: readonly (readonly Sample[])[], gap = 1): Entry[] {
  let offset = 0
  return batches.map((samples, i) => {
    const entry = { id: `${NOW + i * gap}-0`, samples: packSamples(samples), count: samples.length, offset }
    offset += samples.length
    return entry
  })
}

function rulesOf(...rules: readonly object[]): RuleSet {
  let document: RuleDocument = EMPTY_DOCUMENT
  for (const [i, rule] of rules.entries()) {
    document = withRule(document, { id: `r${i}`, ...rule }, { who: 'ada', why: 'test', at: 0 })
  }
  return new RuleSet(document, SETTINGS)
}

const SETTINGS = { ...VERDICT_DEFAULTS, window: 8, windowMin: 4 }
const SHAPE = rowShape(SETTINGS.window, 'zscore', false)
const DEFAULT: AnalyseOptions = {
  partition: 3,
  settings: SETTINGS,
  rules: new RuleSet(EMPTY_DOCUMENT, SETTINGS),
  analyzedAt: 77,
  now: NOW + 1e9,
  alertWaitMs: 2000,
}

/** The stored window of each key. */
type Stored = Map<string, StoredWindow>

/**
 * Processes entries like an analyzer, in runs of at most `samplesMax` samples; `losesMemory`
 * discards its memory after each run.
 */
function work(entries: readonly Entry[], options: AnalyseOptions & { samplesMax: number; losesMemory?: boolean }) {
  const memory = new RowMemory({ bytesMax: Number.POSITIVE_INFINITY })
  let windows = new Windows({ memory, keysMax: 100 })
  const stored: Stored = new Map()
  const effects: Effects[] = []
  const analyses: Analysis[] = []
  const texts = new Map(entries.map(({ id, samples = '' }) => [id, samples]))
  let checkpoint = START
  let rest = entries
  while (rest.length > 0) {
    const run = takeRun(rest, checkpoint, options.samplesMax)
    rest = rest.slice(run.entries.length)
    for (;;) {
      const missing = missingKeys(run, windows, options.rules) ?? []
      if (missing.length === 0) break
      for (const key of missing) windows.load(key, stored.get(key) ?? null, SHAPE)
    }
    const done = analyseRun(run, windows, options)
    for (const { key, window } of done.keys) stored.set(key, updateWindow(stored.get(key) ?? null, window))
    analyses.push(...done.verdicts.flatMap(one => analysesIn({ ...one, samples: texts.get(one.id) ?? '' }, 3)))
    effects.push(done)
    checkpoint = run.to
    if (options.losesMemory) windows = new Windows({ memory, keysMax: 100 })
  }
  return { windows, stored, effects, analyses, offset: checkpoint.offset }
}

/**
 * Few keys, so that they repeat within and across entries, and values that are flat, spiky, huge,
 * tiny, tied and far from 0.
 */
const sample = fc.record({
  key: fc.constantFrom('a', 'b', '__proto__', 'ключ/☃', '{1}'),
  value: fc.oneof(
    fc.constantFrom(0, 1, -1, 20),
    fc.double({ noNaN: true, min: -1e100, max: 1e100 }).map(value => value + 0),
    fc.integer({ min: -3, max: 3 }),
    // Their z needs the rest of the mean, and their squares underflow.
    fc.integer({ min: -9, max: 9 }).map(tick => 1e9 + tick / 1000),
    fc.integer({ min: -9, max: 9 }).map(tick => tick * 1e-200 + 0),
  ),
  timestamp: fc.integer({ min: 0, max: 2e12 }),
})
const anyBatches = fc.array(fc.array(sample, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 15 })

/** Rules of all kinds for the keys above. */
const anyRules = fc
  .array(
    fc.record(
      {
        pattern: fc.constantFrom('a', 'b', '*', '[!ab]*'),
        detector: fc.constantFrom('zscore', 'ewma', 'mad', 'range', 'novelty', 'habit'),
        window: fc.constantFrom(10, 30),
        samples_min: fc.constantFrom(2, 5),
        direction: fc.constantFrom('up', 'both'),
        silent: fc.constantFrom('learned', '1s'),
        late: fc.constantFrom('mark', 'refuse'),
        duplicates: fc.constantFrom('keep', 'drop'),
        level_shift_after: fc.constant(3),
        influence: fc.constant('full'),
        ignore: fc.constantFrom([20], [0, 1, 2]),
        counter: fc.boolean(),
        min: fc.constantFrom(-1e99, 0, 1),
        max: fc.constantFrom(2, 19, 1e99),
        unit: fc.constantFrom('ms', '°C', '"%\\'),
        shadow: fc.boolean(),
      },
      { requiredKeys: ['pattern'] },
    ),
    { maxLength: 4 },
  )
  .map(rules => rulesOf(...rules))

describe('under the default policy', () => {
  test('every verdict equals the oracle bit for bit, however samples are packed and runs are cut', () => {
    fc.assert(
      fc.property(anyBatches, fc.integer({ min: 1, max: 40 }), fc.boolean(), (batches, samplesMax, losesMemory) => {
        const entries = entriesOf(batches)
        const done = work(entries, { ...DEFAULT, samplesMax, losesMemory })
        const seen = new Map<string, { value: number; timestamp: number }[]>()
        const expected = batches.flatMap((batch, i) =>
          batch.map(({ key, value, timestamp }) => {
            const ofKey = seen.get(key) ?? []
            seen.set(key, ofKey)
            ofKey.push({ value, timestamp })
            return { ...oracleAnalysis(key, ofKey, SETTINGS), id: `3:${entries[i]?.id}`, analyzed_at: 77 }
          }),
        )
        // Timestamps are random, so many samples are late or duplicates, which changes no score.
        expect(done.analyses.map(({ late, duplicate, ...rest }) => rest)).toEqual(expected)
        const anomalies = done.effects.flatMap(({ anomalies }) => anomalies).map(text => JSON.parse(text))
        expect(anomalies).toEqual(done.analyses.filter(({ anomaly }) => anomaly))
        expect(done.offset).toBe(batches.flat().length)
        expect(done.effects.flatMap(({ ruleEffects }) => [...ruleEffects.counts, ...ruleEffects.shadowed])).toEqual([])
      }),
      { numRuns: 200 },
    )
  })

  test('z of a jitter of 1e-3 around 1e9 has ten digits, also in kept verdicts', () => {
    const values = Array.from({ length: 40 }, (_, i) => 1e9 + 1e-3 * Math.sin(i * i))
    const batches = values.map(value => [{ key: 'a', value, timestamp: NOW }])
    const { analyses } = work(entriesOf(batches), { ...DEFAULT, samplesMax: 7 })
    for (const [n, { z, state }] of analyses.entries()) {
      if (state === 'warming') continue
      const exact = exactSummary(values.slice(Math.max(0, n - SETTINGS.window), n), values[n] as number)
      expect(Math.abs((z as number) / exact.z - 1)).toBeLessThan(1e-11)
    }
    expect(analyses.filter(({ state }) => state !== 'warming')).toHaveLength(36)
  })

  test('the newest analysis of each key is kept', () => {
    fc.assert(
      fc.property(anyBatches, batches => {
        const { effects, analyses } = work(entriesOf(batches), { ...DEFAULT, samplesMax: 1e6 })
        const newest = new Map(analyses.map(analysis => [analysis.key, analysis]))
        const kept = effects
          .flatMap(({ keys }) => keys)
          .map(({ key, analysis }) => [key, JSON.parse(String(analysis ?? 'null'))])
        expect(new Map(kept as [string, Analysis][])).toEqual(newest)
      }),
    )
  })
})

describe('under rules', () => {
  test('verdicts and alerts are those of each key by itself, however runs are cut and memory is lost', () => {
    fc.assert(
      fc.property(
        anyBatches,
        anyRules,
        fc.integer({ min: 1, max: 40 }),
        fc.boolean(),
        (batches, rules, samplesMax, losesMemory) => {
          const entries = entriesOf(batches, 400)
          const { effects, analyses } = work(entries, { ...DEFAULT, rules, samplesMax, losesMemory })
          const keys = new Map<string, { judge: Judge; row: KeyRow }>()
          const opened: object[] = []
          const expected = batches.flatMap((batch, i) =>
            batch.map(({ key, value, timestamp }) => {
              let known = keys.get(key)
              if (known === undefined) {
                const policy = rules.policies[rules.resolve(key)] as Judge['policy']
                const row = createRow(shapeOf(policy))
                known = { judge: new Judge(policy), row }
                keys.set(key, known)
              }
              const { judge, row } = known
              const judged = judge.step(row, value, timestamp, NOW + 400 * i)
              opened.push(...judged.alerts.filter(({ kind }) => kind === 'opened').map(({ time }) => ({ key, time })))
              const excluded = judged.isIgnored ? 'ignored' : 'refused'
              const state = !judged.isAnalysed ? excluded : judged.isFlagged ? 'anomalous' : undefined
              const { unit } = judge.policy
              return {
                ...{ key, count: judged.count, anomaly: judged.isFlagged },
                ...(state === undefined ? {} : { state }),
                ...(judged.outside === 0 ? {} : { range: judged.outside > 0 ? 'above' : 'below' }),
                ...(unit === null ? {} : { unit }),
              }
            }),
          )
          expect(analyses).toMatchObject(expected)
          const outside = (all: readonly { range?: unknown }[]): number => all.filter(one => one.range).length
          expect(outside(analyses)).toBe(outside(expected))
          // What is stored as JSON equals what is recomputed for a receipt.
          const anomalies = effects.flatMap(done => done.anomalies).map(text => JSON.parse(text))
          // JSON has no -0.
          expect(anomalies).toEqual(JSON.parse(JSON.stringify(analyses.filter(({ anomaly }) => anomaly))))
          const found = effects
            .flatMap(done => done.opened)
            .filter(({ opening }) => opening.cause.kind === 'anomaly')
            .map(({ opening }) => ({ key: opening.key, time: opening.opened_at }))
          expect(found).toEqual(opened)
        },
      ),
      { numRuns: 300 },
    )
  })

  test('a shadow rule changes nothing but its counts', () => {
    fc.assert(
      fc.property(anyBatches, fc.boolean(), (batches, losesMemory) => {
        const entries = entriesOf(batches)
        const alone = work(entries, { ...DEFAULT, samplesMax: 20 })
        const rules = rulesOf({ pattern: '*', detector: 'mad', window: 10, samples_min: 2, threshold: 2, shadow: true })
        const tried = work(entries, { ...DEFAULT, rules, samplesMax: 20, losesMemory })
        expect(tried.analyses).toEqual(alone.analyses)
        const inForce = rulesOf({ pattern: '*', detector: 'mad', window: 10, samples_min: 2, threshold: 2 })
        const live = work(entries, { ...DEFAULT, rules: inForce, samplesMax: 20 })
        const shadowed = tried.effects.flatMap(done => done.shadowed).map(({ analysis }) => JSON.parse(analysis))
        expect(shadowed).toEqual(live.effects.flatMap(({ anomalies }) => anomalies).map(text => JSON.parse(text)))
        expect(countsOf(tried.effects)).toEqual(countsOf(live.effects))
        expect([...tried.stored.keys()].filter(key => key.startsWith(SHADOW))).toHaveLength(alone.stored.size)
      }),
    )
  })

  test('a refused sample leaves the last analysis, and its verdict says refused', () => {
    const rules = rulesOf({ pattern: 'a', late: 'refuse', duplicates: 'drop' })
    const samples = [100, 200, 150, 200].map(timestamp => ({ key: 'a', value: timestamp, timestamp }))
    const { analyses, effects } = work(entriesOf([samples]), { ...DEFAULT, rules, samplesMax: 100 })
    expect(analyses.map(({ state, count, late, duplicate }) => ({ state, count, late, duplicate }))).toEqual([
      { state: 'warming', count: 1 },
      { state: 'warming', count: 2 },
      { state: 'refused', count: 2, late: true },
      { state: 'refused', count: 2, duplicate: true },
    ])
    expect(effects[0]?.keys.map(({ analysis }) => JSON.parse(String(analysis ?? 'null')))).toMatchObject([
      { timestamp: 200, count: 2 },
    ])
    const once = { late: 1, duplicate: 1 }
    expect(effects[0]).toMatchObject({ tally: once, refused: once })
    expect(countsOf(effects)).toEqual({})
  })
})

describe('a sample that says it is of a counter', () => {
  test('is scored as if the rule of its key had counter: true, however runs are cut and memory is lost', () => {
    fc.assert(
      fc.property(
        anyBatches,
        anyRules,
        fc.record({ samplesMax: fc.integer({ min: 1, max: 40 }), losesMemory: fc.boolean() }),
        fc.constantFrom('all', 'one key', 'changing'),
        (batches, rules, how, which) => {
          const isMarked = (key: string, n: number): boolean =>
            which === 'all' || (which === 'one key' ? key === 'a' : (n & 4) === 0)
          let n = 0
          const marked = batches.map(batch =>
            batch.map(sample => ({ ...sample, isOfCounter: isMarked(sample.key, n++) })),
          )
          const sent = marked.map(batch =>
            batch.map(({ isOfCounter, timestamp, ...rest }) => {
              return { ...rest, timestamp: isOfCounter ? counterTimestamp(timestamp) : timestamp }
            }),
          )
          const { analyses, effects } = work(entriesOf(sent, 400), { ...DEFAULT, rules, ...how })
          const keys = new Map<string, KeyRow>()
          const judges = new Map<Judge['policy'], [Judge, Judge]>()
          const expected = marked.flatMap((batch, i) =>
            batch.map(({ key, value, timestamp, isOfCounter }) => {
              const policy = rules.policies[rules.resolve(key)] as Judge['policy']
              const both = judges.get(policy) ?? [new Judge(policy), new Judge({ ...policy, isCounter: true })]
              judges.set(policy, both)
              const judge = both[isOfCounter ? 1 : 0]
              let row = keys.get(key) ?? createRow(shapeOf(judge.policy))
              const shape = shapeFor(row, judge.policy)
              if (shape !== row.shape) {
                const reshaped = createRow(shape)
                copyRow(row, reshaped)
                row = reshaped
              }
              keys.set(key, row)
              const { isAnalysed, isFlagged, count, rate } = judge.step(row, value, timestamp, NOW + 400 * i)
              return {
                key,
                count,
                anomaly: isFlagged,
                timestamp,
                rate: rateOf(judge.policy.isCounter && isAnalysed, rate),
              }
            }),
          )
          expect(
            analyses.map(({ rate, state, ...rest }) => ({ ...rest, rate: rateOf(isScored(state), rate) })),
          ).toMatchObject(expected)
          // Nothing is counted where no rule applies.
          const counted = effects.flatMap(({ ruleEffects }) => ruleEffects.counts).map(({ name }) => name)
          expect(counted.filter(name => name.startsWith(':'))).toEqual([])
        },
      ),
      { numRuns: 300 },
    )
  })

  const isScored = (state: Analysis['state']): boolean => state !== 'refused' && state !== 'ignored'
  const rateOf = (isKnown: boolean, rate: number | null | undefined): number | undefined =>
    isKnown && rate != null && !Number.isNaN(rate) ? rate : undefined

  test('says nothing of those before it, in the same run or not', () => {
    const rules = rulesOf({ pattern: 'a', detector: 'habit', samples_min: 2 })
    const samples = [0, 0, 1, 1].map((value, i) => {
      const timestamp = NOW + 1000 * i
      return { key: 'a', value, timestamp: i === 3 ? counterTimestamp(timestamp) : timestamp }
    })
    const statesOf = (batches: readonly (typeof samples)[]) =>
      work(entriesOf(batches), { ...DEFAULT, rules, samplesMax: 1 }).analyses.map(({ state }) => state)
    expect(statesOf([samples])).toEqual(['warming', 'warming', 'anomalous', 'warming'])
    expect(statesOf([samples.slice(0, 2), samples.slice(2)])).toEqual(statesOf([samples]))
  })

  test('has its rate in the analysis, and a timer does not make the key forget that', () => {
    const samples = Array.from({ length: 60 }, (_, i) => ({
      key: 'a',
      value: i < 30 ? 10 * i : 10 * (i - 30),
      timestamp: counterTimestamp(NOW + 1000 * i),
    }))
    const rules = rulesOf({ pattern: 'a', detector: 'ewma', silent: '1h' })
    const done = work(entriesOf(samples.map(sample => [sample])), { ...DEFAULT, rules, samplesMax: 3 })
    expect(done.analyses.at(-1)).toMatchObject({ key: 'a', value: 290, rate: 10, anomaly: false })
    // A reset is no anomaly: how much was counted is not known.
    expect(done.analyses[30]).toMatchObject({ value: 0, rate: null, anomaly: false })
    const windows = new Windows({ memory: new RowMemory({ bytesMax: Number.POSITIVE_INFINITY }), keysMax: 9 })
    const slot = windows.load('a', done.stored.get('a') ?? null, SHAPE)
    const { detectorAt, valuesAt } = windows.row(slot).shape
    const state = (): Float64Array => {
      const { rows, start } = windows.row(slot)
      return rows.slice(start + detectorAt, start + valuesAt)
    }
    const before = state()
    expireTimers(['a'], NOW + 9, windows, { ...DEFAULT, rules })
    expect(state()).toEqual(before)
  })
})

describe('a rule that ignores values', () => {
  const rules = rulesOf({ pattern: 'a', ignore: [-127, 85], late: 'refuse' })
  const values = [20, -127, 21, 85, -127]

  test('leaves the last analysis, counts them, and has a verdict for each', () => {
    const samples = values.map((value, i) => ({ key: 'a', value, timestamp: 100 + i }))
    const { analyses, effects } = work(entriesOf([samples]), { ...DEFAULT, rules, samplesMax: 100 })
    expect(analyses.map(({ state, value, count, z, anomaly }) => ({ state, value, count, z, anomaly }))).toEqual([
      { state: 'warming', value: 20, count: 1, z: null, anomaly: false },
      { state: 'ignored', value: -127, count: 1, z: null, anomaly: false },
      { state: 'warming', value: 21, count: 2, z: null, anomaly: false },
      { state: 'ignored', value: 85, count: 2, z: null, anomaly: false },
      { state: 'ignored', value: -127, count: 2, z: null, anomaly: false },
    ])
    expect(effects[0]?.keys.map(({ analysis }) => JSON.parse(String(analysis ?? 'null')))).toMatchObject([
      { value: 21, count: 2 },
    ])
    expect([...(effects[0]?.ignored ?? [])]).toEqual([['r0', 3]])
    expect(effects[0]).toMatchObject({ tally: { late: 0, duplicate: 0 }, refused: { late: 0, duplicate: 0 } })
  })

  test('gives verdicts to a key of which nothing else is known', () => {
    const { analyses, effects } = work(entriesOf([[{ key: 'a', value: 85, timestamp: 5 }]]), {
      ...DEFAULT,
      rules,
      samplesMax: 100,
    })
    expect(analyses).toMatchObject([{ state: 'ignored', count: 0, window: 0, mean: null, rule: 'r0' }])
    expect(effects[0]?.keys).toMatchObject([{ key: 'a', analysis: null }])
  })
})

describe('a rule for counters', () => {
  // With a member of alert: by default no alert opens in a key's first 50 samples.
  const rules = rulesOf({ pattern: 'a', counter: true, alert: { severity: 'warning' } })
  const counts = [0, 100, 210, 300, 390, 500, 600, 700, 5000, 20, 120]
  const samples = counts.map((value, i) => ({ key: 'a', value, timestamp: 1e12 + 2000 * i }))

  test('scores the rate per second, and shows it', () => {
    const { analyses, effects } = work(entriesOf([samples]), { ...DEFAULT, rules, samplesMax: 100 })
    expect(analyses.map(({ rate }) => rate)).toEqual([null, 50, 55, 45, 45, 55, 50, 50, 2150, null, 50])
    const leap = analyses[8]
    expect(leap).toMatchObject({ value: 5000, mean: 50, anomaly: true, state: 'anomalous', window: 7 })
    expect(leap?.z).toBe(leap?.score)
    expect(leap?.high).toBeLessThan(70)
    expect(analyses[9]).toMatchObject({ value: 20, rate: null, z: null, state: 'warming' })
    // What is stored as JSON equals what is recomputed for a receipt.
    expect(JSON.parse(effects[0]?.anomalies[0] ?? '')).toEqual(leap)
    expect(JSON.parse(String(effects[0]?.keys[0]?.analysis ?? ''))).toEqual(analyses.at(-1))
    expect(effects[0]?.opened[0]?.opening.cause).toMatchObject({
      kind: 'anomaly',
      evidence: { value: 2150, low: 50, per_second: true },
    })
  })

  test('keeps the counts in the window', () => {
    const { windows } = work(entriesOf([samples]), { ...DEFAULT, rules, samplesMax: 100 })
    const { rows, start, shape } = windows.row(windows.use('a') ?? -1)
    expect([...rows.subarray(start + shape.valuesAt, start + shape.timesAt)].toSorted((a, b) => a - b)).toEqual(
      counts.slice(-8).toSorted((a, b) => a - b),
    )
  })
})

describe('a rule with a range and a unit', () => {
  const rules = rulesOf({ pattern: 'a', min: 0, max: 100, unit: '°C' })
  const samples = [20, 130, 21, -5].map((value, i) => ({ key: 'a', value, timestamp: 1e12 + 1000 * i }))

  test('flags a value outside of a warming key, says where it lies, and opens an alert', () => {
    const { analyses, effects } = work(entriesOf([samples]), { ...DEFAULT, rules, samplesMax: 100 })
    expect(analyses.map(({ state, anomaly, range, score, unit }) => [state, anomaly, range, score, unit])).toEqual([
      ['warming', false, undefined, null, '°C'],
      ['anomalous', true, 'above', null, '°C'],
      ['warming', false, undefined, null, '°C'],
      ['anomalous', true, 'below', null, '°C'],
    ])
    expect(JSON.parse(String(effects[0]?.keys[0]?.analysis ?? ''))).toEqual(analyses.at(-1))
    expect(effects[0]?.opened.map(({ opening }) => opening.cause)).toMatchObject([
      { kind: 'anomaly', evidence: { by: 'range', value: 130, line: 100, range: { min: 0, max: 100 }, unit: '°C' } },
    ])
    expect(countsOf(effects)).toEqual({ judged: 2, flagged: 2, opened: 1 })
  })

  test('has the same verdicts as a shadow rule', () => {
    const tried = rulesOf({ pattern: 'a', min: 0, max: 100, unit: '°C', shadow: true })
    const { analyses, effects } = work(entriesOf([samples]), { ...DEFAULT, rules: tried, samplesMax: 100 })
    expect(analyses.map(({ anomaly, unit }) => [anomaly, unit])).toEqual(samples.map(() => [false, undefined]))
    const shadowed = effects.flatMap(done => done.shadowed).map(({ analysis }) => JSON.parse(analysis))
    expect(shadowed).toMatchObject([
      { value: 130, range: 'above', unit: '°C', anomaly: true },
      { value: -5, range: 'below', unit: '°C', anomaly: true },
    ])
    expect(countsOf(effects)).toEqual({ judged: 2, flagged: 2, opened: 1 })
  })
})

/** Returns the sums by name, without rule and version. */
function countsOf(effects: readonly Effects[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const { name, by } of effects.flatMap(({ ruleEffects }) => ruleEffects.counts)) {
    const what = name.split(':')[2] ?? ''
    sums[what] = (sums[what] ?? 0) + by
  }
  return sums
}

describe('timers', () => {
  const calm = Array.from({ length: 40 }, (_, i) => [{ key: 'a', value: i % 2, timestamp: i }])

  test('a firing alert has a timer, which resolves it when it expires', () => {
    // By default no alert opens in a key's first 50 samples.
    const known = Array.from({ length: 60 }, (_, i) => [{ key: 'a', value: i % 2, timestamp: i }])
    const { windows, effects } = work(entriesOf([...known, [{ key: 'a', value: 99, timestamp: 60 }]]), {
      ...DEFAULT,
      samplesMax: 1,
    })
    const openedAt = NOW + 60
    const last = effects.at(-1)?.ruleEffects
    expect(last?.alerts.opened).toMatchObject([{ opening: { opened_at: openedAt }, notifyAfterMs: 2000 }])
    expect(last?.timers).toEqual([{ key: 'a', at: openedAt + 600_000 }])

    const early = expireTimers(['a', 'unknown'], openedAt + 1000, windows, DEFAULT)
    expect(early.ruleEffects).toMatchObject({ alerts: { ended: [] }, timers: [{ key: 'a', at: openedAt + 600_000 }] })
    const later = expireTimers(['a'], openedAt + 700_000, windows, DEFAULT)
    expect(later.ruleEffects.alerts.ended).toMatchObject([
      {
        id: last?.alerts.opened[0]?.opening.id,
        end: { resolved_at: openedAt + 600_000, resolve_reason: 'no_samples' },
      },
    ])
    expect(later.ruleEffects.timers).toEqual([{ key: 'a', at: null }])
    expect(later.keys).toMatchObject([{ key: 'a', analysis: null, window: { kind: 'row' } }])
  })

  test('a key that must not be silent has a timer from its first sample on', () => {
    const rules = rulesOf({ pattern: 'a', silent: '5s' })
    const { windows, effects } = work(entriesOf(calm), { ...DEFAULT, rules, samplesMax: 1 })
    expect(effects.flatMap(({ ruleEffects }) => ruleEffects.timers)).toEqual([{ key: 'a', at: NOW + 5000 }])
    const due = NOW + 39 + 5000
    expect(expireTimers(['a'], NOW + 5000, windows, { ...DEFAULT, rules }).ruleEffects).toMatchObject({
      alerts: { opened: [] },
      timers: [{ key: 'a', at: due }],
    })
    expect(expireTimers(['a'], due + 9, windows, { ...DEFAULT, rules }).ruleEffects.alerts.opened).toMatchObject([
      { opening: { key: 'a', opened_at: due, cause: { kind: 'silent', expected_ms: 5000 } } },
    ])
  })
})

test('new keys are matched against costly rules in parts, and each part goes on where the last ended', () => {
  const rules = rulesOf({ pattern: '*[a-c]?' })
  const samples = packSamples(Array.from({ length: 50 }, (_, i) => ({ key: `k${i}`, value: 1, timestamp: 1 })))
  const run = takeRun([{ id: '5-0', samples, count: 50, offset: 0, nonce: 'n' } as Entry], START, 1000)
  const windows = new Windows({ memory: new RowMemory({ bytesMax: Number.POSITIVE_INFINITY }), keysMax: 100 })
  for (const key of missingKeys(run, windows, rules) ?? []) windows.load(key, null, SHAPE)
  let parts = 0
  for (;;) {
    let matched = 0
    const missing = missingKeys(run, windows, rules, () => ++matched > 10)
    parts++
    if (missing !== undefined) break
  }
  expect(parts).toBe(5)
  // Rules of literal characters and * cost nothing: they are never left for later.
  expect(missingKeys(run, windows, rulesOf({ pattern: 'k*' }), () => true)).toEqual([])
})

describe('points for the sink', () => {
  const calm = Array.from({ length: 12 }, (_, i) => ({ key: 'a', value: 10 + (i % 2), timestamp: i }))
  const spikes = [30, 31, 90, 60].map((value, i) => ({ key: 'a', value, timestamp: 100 + i }))
  const other = { key: 'b', value: 1, timestamp: 5 }
  const pointsOf = (options: Partial<AnalyseOptions>, samplesMax: number) =>
    work(entriesOf([...calm, other, ...spikes].map(one => [one])), { ...DEFAULT, ...options, samplesMax })
      .effects.flatMap(({ points }) => points)
      .map(text => JSON.parse(text) as Analysis)

  test.each([1, 5, 100])('are one per key and interval, and more anomalous ones, in runs of %i', samplesMax => {
    const points = pointsOf({ sinkInterval: 7 }, samplesMax)
    const ofA = points.filter(({ key }) => key === 'a')
    expect(points.filter(({ key }) => key === 'b')).toMatchObject([{ value: 1 }])
    // The window of 8 forgets nothing of the first spike, so only 30 and 90 stand out.
    const values = ofA.map(({ value }) => value)
    expect(values).toContain(30)
    expect(values).not.toContain(60)
    const scores = ofA.map(({ z }) => Math.abs(z ?? 0))
    expect(scores).toEqual(scores.toSorted((a, b) => a - b))
    expect(ofA.length).toBeLessThanOrEqual(4)
  })

  test('are none without a sink', () => {
    expect(pointsOf({}, 5)).toEqual([])
  })

  test('are again one in the next interval', () => {
    const windows = work(entriesOf([calm]), { ...DEFAULT, sinkInterval: 7, samplesMax: 100 }).windows
    const taken = (sinkInterval: number) => windows.takesPoint(windows.use('a') ?? -1, sinkInterval, 0)
    expect([taken(7), taken(8), taken(8), taken(9)]).toEqual([false, true, false, true])
  })
})
