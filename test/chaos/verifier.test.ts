import type { StoredAggregates } from '@tidemark/shared/aggregates/reading'
import type { AlertEnd, AlertOpening } from '@tidemark/shared/detection/alerts/record'
import { COUNT, createRow, pushSample, rowShape } from '@tidemark/shared/detection/key-row'
import { encodeRow, type StoredWindow, storedLengthMax } from '@tidemark/shared/detection/window-row'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Sample } from '@tidemark/shared/sample/sample'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { aggregatesOf } from '@tidemark/testkit/stored-aggregates'
import { describe, expect, test } from 'vitest'
import { ExpectedAlerts, type KeptAlerts } from './alerts.ts'
import type { Attempt, AttemptOutcome } from './attempt.ts'
import type { CommitRecord } from './audit.ts'
import type { PartitionState } from './partition-state.ts'
import { SamplePlan } from './sample-plan.ts'
import { type Evidence, verify } from './verifier.ts'

const plan = new SamplePlan({ seed: 1, keys: 1, writers: 1, isZipf: false })
const [key = ''] = plan.keyNames

const NOTHING_KNOWN = { at: 0, before: new Map(), lastCommits: new Map() }

/** Evidence of one key: what the client knows about each sample, and what was committed. */
function evidenceOf(known: readonly AttemptOutcome[], committed: readonly number[]): Evidence {
  const partition = partitionOf(key, 1)
  const receiptOf = (n: number): string => `${partition}:${n + 1}-0`
  const samples = committed.map(n => plan.sample(key, n))
  const commits = samples.map((sample, i): CommitRecord => {
    // A sample that is committed twice is in two entries.
    const id = (at: number): string => {
      const n = committed[at]
      return n === undefined ? '0-0' : `${n + 1}-${committed.slice(0, at).filter(one => one === n).length}`
    }
    const { mean, deviation } = oracleAnalysis(key, samples.slice(0, i + 1), VERDICT_DEFAULTS)
    const finding = { mean: mean ?? 0, deviation: deviation ?? 0, count: i + 1, window: i }
    return {
      partition,
      token: 'a:1',
      from: id(i - 1),
      to: id(i),
      entries: [{ id: id(i), samples: [{ ...sample, ...finding }] }],
      holder: undefined,
      result: 'ok',
      at: i,
    }
  })
  const end = commits.at(-1)?.to ?? '0-0'
  const state: PartitionState = {
    partition,
    checkpoint: end,
    offset: samples.length,
    accepted: samples.length,
    analysed: samples.length,
    dead: 0,
    unprocessed: new Map(),
    lastEntryId: end,
  }
  const analyses = new Map<string, string>()
  const windows = new Map<string, StoredWindow>()
  const aggregates = new Map<string, StoredAggregates>()
  if (samples.length > 0) {
    const expected = oracleAnalysis(
      key,
      samples.map(({ value, timestamp }) => ({ value, timestamp })),
      VERDICT_DEFAULTS,
    )
    const { z } = expected
    analyses.set(key, JSON.stringify({ ...expected, id: `${partition}:${end}`, analyzed_at: 1, score: z }))
    const row = createRow(rowShape(VERDICT_DEFAULTS.window, 'zscore', false))
    row.rows[COUNT] = samples.length
    for (const { value, timestamp } of samples) pushSample(row, value, timestamp)
    const encoded = new Float64Array(storedLengthMax(row.shape))
    const length = encodeRow(row, encoded, 0)
    aggregates.set(key, aggregatesIn(samples))
    windows.set(key, { row: new Uint8Array(encoded.slice(0, length).buffer), tail: null })
  }
  return {
    plan,
    attempts: new Map([
      [
        key,
        known.map((outcome, n): Attempt => ({ outcome, receipt: outcome === 'accepted' ? receiptOf(n) : undefined })),
      ],
    ]),
    commits,
    rolledBack: [],
    losses: [],
    poisons: [],
    rulesLost: 0,
    final: {
      ...{ states: [state], kept: [0], pending: [0], dead: [[]] },
      ...{ analyses, windows, aggregates, alerts: [NO_ALERTS], readAt: 0 },
    },
  }
}

/** The aggregates of samples that are too few to be flagged, and to fill more than open buckets. */
function aggregatesIn(samples: readonly Sample[]): StoredAggregates {
  const { states } = aggregatesOf(
    key,
    samples.map(sample => ({ ...sample, time: sample.timestamp, isFlagged: false })),
  )
  const [open = new Uint8Array()] = states.map(({ bytes }) => bytes)
  return { open, window: null, rings: { hours: new Uint8Array(), days: new Uint8Array() } }
}

/** The samples are too few for a verdict, so no alert is expected. */
const NO_ALERTS: KeptAlerts = { openings: new Map(), ends: new Map(), feed: [] }

describe('the verifier', () => {
  test('finds no violation if every accepted sample was analysed once, in order', () => {
    const { violations, classes } = verify(
      evidenceOf(['accepted', 'unknown', 'unknown', 'rejected', 'accepted'], [0, 2, 4]),
    )
    expect(violations).toEqual([])
    expect(classes).toMatchObject({ ok: 2, recovered: 1, absent: 2, lost: 0 })
  })

  test('an accepted sample without a commit is lost', () => {
    const { violations, classes } = verify(evidenceOf(['accepted', 'accepted'], [1]))
    expect(classes).toMatchObject({ ok: 1, lost: 1 })
    expect(violations).toEqual([expect.stringMatching(/^I2: sample 0 /)])
  })

  test('unless Redis lost it', () => {
    const evidence = evidenceOf(['accepted', 'accepted'], [1])
    const [state] = evidence.final.states
    if (state === undefined) throw new Error('no state')
    const losses = [
      { ...NOTHING_KNOWN, cause: 'test', atMs: 1, states: new Map([[0, { ...state, checkpoint: '0-0' }]]) },
    ]
    const { violations, classes, lostSamples } = verify({ ...evidence, losses })
    expect(violations).toEqual([])
    expect(classes).toMatchObject({ ok: 1, lost: 0, lostByRedis: 1 })
    expect(lostSamples).toEqual([1])
  })

  test('a sample that was never sent or was rejected is invented', () => {
    expect(verify(evidenceOf(['accepted'], [0, 7])).classes.invented).toBe(1)
    expect(verify(evidenceOf(['accepted', 'rejected'], [0, 1])).classes.invented).toBe(1)
  })

  test('a sample that was committed twice is duplicated', () => {
    const { violations, classes } = verify(evidenceOf(['accepted', 'accepted'], [0, 1, 1]))
    expect(classes.duplicated).toBe(1)
    expect(violations).toContainEqual(expect.stringMatching(/^I1: sample 1 .* twice/))
  })

  test('accepted samples that are analysed in another order than sent are out of order', () => {
    expect(verify(evidenceOf(['accepted', 'accepted', 'accepted'], [0, 2, 1])).classes.outOfOrder).toBe(1)
  })

  test('one bit of difference between a verdict and the oracle is a violation', () => {
    const evidence = evidenceOf(['accepted', 'accepted', 'accepted'], [0, 1, 2])
    const commits = evidence.commits.map((commit, i) => ({
      ...commit,
      entries: commit.entries.map(entry => ({
        ...entry,
        samples: entry.samples.map(sample =>
          i === 2 ? { ...sample, mean: sample.mean * (1 + Number.EPSILON) } : sample,
        ),
      })),
    }))
    expect(verify({ ...evidence, commits }).violations).toEqual([
      expect.stringMatching(/^I4: .* differs from the oracle's/),
    ])
  })

  test('aggregates that lack a sample are a violation', () => {
    const evidence = evidenceOf(['accepted', 'accepted', 'accepted'], [0, 1, 2])
    const aggregates = new Map([[key, aggregatesIn([0, 1].map(n => plan.sample(key, n)))]])
    expect(verify({ ...evidence, final: { ...evidence.final, aggregates } }).violations).toEqual([
      expect.stringMatching(/^I4: of the aggregates of .* count is 2, expected 3/),
    ])
  })

  test('two applied commits from one checkpoint are a violation', () => {
    const evidence = evidenceOf(['accepted', 'accepted'], [0, 1])
    const [first] = evidence.commits
    if (first === undefined) throw new Error('no commit')
    const commits = [...evidence.commits, { ...first, token: 'b:2' }]
    expect(verify({ ...evidence, commits }).violations).toContainEqual(expect.stringMatching(/^I1: 2 commits from 0-0/))
  })

  test('a partition that returns to a former owner is a violation', () => {
    const evidence = evidenceOf(['accepted', 'accepted', 'accepted'], [0, 1, 2])
    const commits = evidence.commits.map((commit, i) => (i === 1 ? { ...commit, token: 'b:2' } : commit))
    expect(verify({ ...evidence, commits }).violations).toEqual([
      expect.stringMatching(/^I6: partition 0 went back to a:1/),
    ])
  })

  test('pending entries, a full stream and an unexpected dead letter at the end are violations', () => {
    const { final, ...evidence } = evidenceOf(['accepted'], [0])
    const { violations } = verify({
      ...evidence,
      final: { ...final, pending: [2], kept: [30_000], dead: [[{ id: '9-0', reason: 'x' }]] },
    })
    expect(violations.map(text => text.slice(0, 3)).toSorted()).toEqual(['I13', 'I8:', 'I8:'])
  })

  test('an alert that no sample opened is a violation', () => {
    const evidence = evidenceOf(['accepted'], [0])
    const opening = { id: '0-00', key: 'k', rule: null, severity: 'warning', opened_at: 1 } as unknown as AlertOpening
    const alerts = [{ ...NO_ALERTS, openings: new Map([['0-00', opening]]), feed: ['opened 0-00', 'opened 0-00'] }]
    const { violations } = verify({ ...evidence, final: { ...evidence.final, alerts } })
    expect(violations.map(text => text.slice(0, 4))).toEqual(['I14:', 'I14:'])
  })
})

describe('alerts', () => {
  const samples = Array.from({ length: 60 }, (_, n) => ({
    ...{ value: n === 50 ? 1000 : n % 3, timestamp: 1000 * n, receipt: `3:${1_700_000_000_000 + 100 * n}-0` },
  }))

  /** The alerts in Redis after a correct run. */
  function rightly(expected: ExpectedAlerts): KeptAlerts {
    const found = { openings: new Map<string, AlertOpening>(), ends: new Map<string, AlertEnd>() }
    for (let turn = 0; turn < 2; turn++) {
      for (const violation of expected.check([{ ...found, feed: [] }])) {
        const [, what, id = '', text = 'null'] = /the (\w+) of alert (\S+) is .*, expected (.*)$/.exec(violation) ?? []
        if (what === 'opening') found.openings.set(id, JSON.parse(text))
        if (what === 'end') found.ends.set(id, JSON.parse(text))
      }
    }
    return { ...found, feed: [] }
  }

  test('an alert storm is no violation, whenever keys alerted', () => {
    const storm = { id: 'fleet-1', key: null, opened_at: 1 } as unknown as AlertOpening
    const kept = { openings: new Map([[storm.id, storm]]), ends: new Map(), feed: [] }
    expect(new ExpectedAlerts().check([kept])).toEqual([])
  })

  test('a missing or different opening or end of an alert is a violation', () => {
    const expected = new ExpectedAlerts()
    expected.add('edge-1/metric', samples)
    expect(expected.opened).toBe(1)
    const kept = rightly(expected)
    expect(expected.check([kept])).toEqual([])
    expect(kept.openings.size).toBe(1)
    expect(kept.ends.size).toBe(1)
    expect(expected.check([{ ...kept, ends: new Map() }])).toHaveLength(1)
    expect(expected.check([{ ...kept, openings: new Map() }])).toHaveLength(1)
    const [[id = '', opening] = []] = kept.openings
    const other = { ...opening, opened_at: 5 } as AlertOpening
    expect(expected.check([{ ...kept, openings: new Map([[id, other]]) }])).toHaveLength(1)
  })
})
