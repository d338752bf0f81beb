import type { AlertEnd, AlertOpening } from '@tidemark/shared/detection/alerts/record'
import { COUNT, createRow, pushSample, rowShape } from '@tidemark/shared/detection/key-row'
import { encodeRow, type StoredWindow, storedLengthMax } from '@tidemark/shared/detection/window-row'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { describe, expect, test } from 'vitest'
import { ExpectedAlerts, type KeptAlerts } from './alerts.ts'
import type { CommitRecord } from './audit.ts'
import type { Attempt, Knowledge } from './knowledge.ts'
import type { PartitionState } from './partition-state.ts'
import { SamplePlan } from './sample-plan.ts'
import { type Evidence, verify } from './verifier.ts'

const plan = new SamplePlan({ seed: 1, keys: 1, writers: 1, isZipf: false })
const [key = ''] = plan.keyNames

const NOTHING_KNOWN = { at: 0, before: new Map(), lastCommits: new Map() }

/** A run of one key: what each sample's client knows, and the numbers of the samples that were committed, an entry each. */
function evidenceOf(known: readonly Knowledge[], committed: readonly number[]): Evidence {
  const partition = partitionOf(key, 1)
  const receiptOf = (n: number): string => `${partition}:${n + 1}-0`
  const samples = committed.map(n => plan.sample(key, n))
  const commits = samples.map((sample, i): CommitRecord => {
    // What is committed a second time stands in another entry.
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
      outcome: 'ok',
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
    waiting: new Map(),
    lastEntryId: end,
  }
  const analyses = new Map<string, string>()
  const windows = new Map<string, StoredWindow>()
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
    windows.set(key, { row: new Uint8Array(encoded.slice(0, length).buffer), tail: null })
  }
  return {
    plan,
    attempts: new Map([
      [
        key,
        known.map(
          (knowledge, n): Attempt => ({ knowledge, receipt: knowledge === 'accepted' ? receiptOf(n) : undefined }),
        ),
      ],
    ]),
    commits,
    forgotten: [],
    losses: [],
    poisons: [],
    rest: { states: [state], kept: [0], pending: [0], dead: [[]], analyses, windows, alerts: [NO_ALERTS], readAt: 0 },
  }
}

/** None, and so none that should be: the samples are too few for a verdict. */
const NO_ALERTS: KeptAlerts = { openings: new Map(), ends: new Map(), feed: [] }

describe('the verifier', () => {
  test('finds nothing wrong where every accepted sample was analysed once, in order', () => {
    const { breaches, classes } = verify(
      evidenceOf(['accepted', 'unknown', 'unknown', 'refused', 'accepted'], [0, 2, 4]),
    )
    expect(breaches).toEqual([])
    expect(classes).toMatchObject({ ok: 2, recovered: 1, absent: 2, lost: 0 })
  })

  test('an accepted sample in no commit is lost', () => {
    const { breaches, classes } = verify(evidenceOf(['accepted', 'accepted'], [1]))
    expect(classes).toMatchObject({ ok: 1, lost: 1 })
    expect(breaches).toEqual([expect.stringMatching(/^I2: sample 0 /)])
  })

  test('unless Redis had lost it', () => {
    const evidence = evidenceOf(['accepted', 'accepted'], [1])
    const [state] = evidence.rest.states
    if (state === undefined) throw new Error('there is no state')
    const losses = [
      { ...NOTHING_KNOWN, cause: 'test', atMs: 1, states: new Map([[0, { ...state, checkpoint: '0-0' }]]) },
    ]
    const { breaches, classes, lostSamples } = verify({ ...evidence, losses })
    expect(breaches).toEqual([])
    expect(classes).toMatchObject({ ok: 1, lost: 0, lostByRedis: 1 })
    expect(lostSamples).toEqual([1])
  })

  test('a sample that nobody sent, and one that was refused, are invented', () => {
    expect(verify(evidenceOf(['accepted'], [0, 7])).classes.invented).toBe(1)
    expect(verify(evidenceOf(['accepted', 'refused'], [0, 1])).classes.invented).toBe(1)
  })

  test('a sample that was committed twice is duplicated', () => {
    const { breaches, classes } = verify(evidenceOf(['accepted', 'accepted'], [0, 1, 1]))
    expect(classes.duplicated).toBe(1)
    expect(breaches).toContainEqual(expect.stringMatching(/^I1: sample 1 .* twice/))
  })

  test('accepted samples in another order than they were sent are out of order', () => {
    expect(verify(evidenceOf(['accepted', 'accepted', 'accepted'], [0, 2, 1])).classes.outOfOrder).toBe(1)
  })

  test('one bit of a verdict that is not the oracle’s is a breach', () => {
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
    expect(verify({ ...evidence, commits }).breaches).toEqual([expect.stringMatching(/^I4: .* not the oracle's/)])
  })

  test('two commits that were both applied from one checkpoint are a breach', () => {
    const evidence = evidenceOf(['accepted', 'accepted'], [0, 1])
    const [first] = evidence.commits
    if (first === undefined) throw new Error('there is no commit')
    const commits = [...evidence.commits, { ...first, token: 'b:2' }]
    expect(verify({ ...evidence, commits }).breaches).toContainEqual(expect.stringMatching(/^I1: 2 commits from 0-0/))
  })

  test('a partition that goes back to a former owner is a breach', () => {
    const evidence = evidenceOf(['accepted', 'accepted', 'accepted'], [0, 1, 2])
    const commits = evidence.commits.map((commit, i) => (i === 1 ? { ...commit, token: 'b:2' } : commit))
    expect(verify({ ...evidence, commits }).breaches).toEqual([
      expect.stringMatching(/^I6: partition 0 went back to a:1/),
    ])
  })

  test('what is pending, waits or is a dead letter without cause at the end is a breach', () => {
    const { rest, ...evidence } = evidenceOf(['accepted'], [0])
    const { breaches } = verify({
      ...evidence,
      rest: { ...rest, pending: [2], kept: [30_000], dead: [[{ id: '9-0', reason: 'x' }]] },
    })
    expect(breaches.map(text => text.slice(0, 3)).toSorted()).toEqual(['I13', 'I8:', 'I8:'])
  })

  test('an alert that no sample opened is a breach', () => {
    const evidence = evidenceOf(['accepted'], [0])
    const opening = { id: '0-00', key: 'k', rule: null, severity: 'warning', opened_at: 1 } as unknown as AlertOpening
    const alerts = [{ ...NO_ALERTS, openings: new Map([['0-00', opening]]), feed: ['opened 0-00', 'opened 0-00'] }]
    const { breaches } = verify({ ...evidence, rest: { ...evidence.rest, alerts } })
    expect(breaches.map(text => text.slice(0, 4))).toEqual(['I14:', 'I14:'])
  })
})

describe('alerts', () => {
  const samples = Array.from({ length: 60 }, (_, n) => ({
    ...{ value: n === 50 ? 1000 : n % 3, timestamp: 1000 * n, receipt: `3:${1_700_000_000_000 + 100 * n}-0` },
  }))

  /** What stands in Redis when everything was done right. */
  function rightly(expected: ExpectedAlerts): KeptAlerts {
    const found = { openings: new Map<string, AlertOpening>(), ends: new Map<string, AlertEnd>() }
    for (let turn = 0; turn < 2; turn++) {
      for (const breach of expected.check([{ ...found, feed: [] }])) {
        const [, what, id = '', text = 'null'] =
          /the (\w+) of alert (\S+) is .*, and should be (.*)$/.exec(breach) ?? []
        if (what === 'opening') found.openings.set(id, JSON.parse(text))
        if (what === 'end') found.ends.set(id, JSON.parse(text))
      }
    }
    return { ...found, feed: [] }
  }

  test('are those that the samples of a key open and resolve, and one that is missing or different is a breach', () => {
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
