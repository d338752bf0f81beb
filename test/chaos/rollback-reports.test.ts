import { expect, test } from 'vitest'
import type { CommitRecord } from './audit.ts'
import type { RollbackReport } from './deployment.ts'
import type { Loss } from './loss.ts'
import { compareRollbacks as compare, type RollbackEvidence } from './rollback-reports.ts'

function commit(process: string, to: string, at: number): CommitRecord {
  return { partition: 0, token: `${process}:1`, from: '0-0', to, entries: [], holder: undefined, result: 'ok', at }
}

function compareRollbacks(evidence: Omit<RollbackEvidence, 'kills'>, kills: RollbackEvidence['kills'] = []) {
  return compare({ ...evidence, kills })
}

/** Redis had accepted 100 samples, the last in 5-0. After the loss at 1000 it has 60 of them. */
function loss({ lastBy = 'a', unconfirmed = 0 }: { lastBy?: string; unconfirmed?: number } = {}): Loss {
  const state = { partition: 0, checkpoint: '3-0', offset: 60, accepted: 60, analysed: 60, dead: 0, lastEntryId: '3-0' }
  return {
    cause: 'test',
    at: 1000,
    atMs: 5,
    before: new Map([[0, { samples: 100, unconfirmed, lastId: '5-0' }]]),
    lastCommits: new Map([[0, commit(lastBy, '5-0', 900)]]),
    states: new Map([[0, { ...state, unprocessed: new Map() }]]),
  }
}

function report(process: string, lost: number): RollbackReport {
  return { process, partition: 0, lost, at: 1100 }
}

const continued = [commit('a', '5-0', 900), commit('a', '7-0', 1200)]

test('an analyzer that had read everything and continues must report exactly what was lost', () => {
  const exact = compareRollbacks({ losses: [loss()], rollbackReports: [report('a', 40)], commits: continued })
  expect(exact).toEqual({ least: 40, most: 40, reported: 40, sum: 40, exact: 1, exactSamples: 40, violations: [] })
  const { violations } = compareRollbacks({ losses: [loss()], rollbackReports: [report('a', 39)], commits: continued })
  expect(violations).toEqual([expect.stringMatching(/lost 40 samples .* reported 39/)])
  expect(compareRollbacks({ losses: [loss()], rollbackReports: [], commits: continued }).violations).toHaveLength(1)
})

test('no report is expected of an analyzer that was killed before its log lines were written', () => {
  const evidence = { losses: [loss()], rollbackReports: [], commits: continued }
  expect(compareRollbacks(evidence, [{ process: 'a', at: 1210 }])).toMatchObject({ exact: 0, violations: [] })
  for (const kill of [
    { process: 'b', at: 1210 },
    { process: 'a', at: 2300 },
  ]) {
    expect(compareRollbacks(evidence, [kill]).violations).toHaveLength(1)
  }
})

test('an analyzer that reports more than was lost is a violation', () => {
  const { violations } = compareRollbacks({
    losses: [loss()],
    rollbackReports: [report('b', 41), report('a', 40)],
    commits: continued,
  })
  expect(violations).toEqual([expect.stringMatching(/b reported 41 .* 40 were lost/)])
})

test('several analyzers may report the same loss; the highest figure per partition counts', () => {
  const comparison = compareRollbacks({
    losses: [loss()],
    rollbackReports: [report('a', 40), report('b', 10)],
    commits: continued,
  })
  expect(comparison).toMatchObject({ reported: 40, sum: 50, violations: [] })
})

test('no exact figure is expected if another analyzer continues or an append got no reply', () => {
  const other = [commit('a', '5-0', 900), commit('b', '7-0', 1200)]
  expect(compareRollbacks({ losses: [loss()], rollbackReports: [], commits: other })).toMatchObject({
    exact: 0,
    violations: [],
  })
  const open = compareRollbacks({
    losses: [loss({ unconfirmed: 7 })],
    rollbackReports: [report('a', 47)],
    commits: continued,
  })
  expect(open).toMatchObject({ least: 40, most: 47, exact: 0, violations: [] })
})

test('no exact figure is expected if nothing was read since the previous loss', () => {
  const again: Loss = { ...loss(), at: 1100, before: new Map([[0, { samples: 60, unconfirmed: 0, lastId: '3-0' }]]) }
  const rollbackReports = [{ ...report('a', 40), at: 1150 }]
  expect(compareRollbacks({ losses: [loss(), again], rollbackReports, commits: continued })).toMatchObject({
    exact: 0,
    violations: [],
  })
})
