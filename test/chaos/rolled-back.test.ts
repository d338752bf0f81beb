import { expect, test } from 'vitest'
import type { CommitRecord } from './audit.ts'
import type { Claim } from './deployment.ts'
import type { Loss } from './loss.ts'
import { judgeRolledBack } from './rolled-back.ts'

function commit(process: string, to: string, at: number): CommitRecord {
  return { partition: 0, token: `${process}:1`, from: '0-0', to, entries: [], holder: undefined, outcome: 'ok', at }
}

/** Redis had accepted 100 samples, the last in 5-0, and after the loss at 1000 has 60 of them. */
function loss({ lastBy = 'a', unanswered = 0 }: { lastBy?: string; unanswered?: number } = {}): Loss {
  const state = { partition: 0, checkpoint: '3-0', offset: 60, accepted: 60, analysed: 60, dead: 0, lastEntryId: '3-0' }
  return {
    cause: 'test',
    at: 1000,
    atMs: 5,
    before: new Map([[0, { samples: 100, unanswered, lastId: '5-0' }]]),
    lastCommits: new Map([[0, commit(lastBy, '5-0', 900)]]),
    states: new Map([[0, { ...state, waiting: new Map() }]]),
  }
}

function claim(process: string, gone: number): Claim {
  return { process, partition: 0, gone, at: 1100 }
}

const goesOn = [commit('a', '5-0', 900), commit('a', '7-0', 1200)]

test('an analyzer that had read all and goes on has to say exactly what is gone', () => {
  const right = judgeRolledBack({ losses: [loss()], claims: [claim('a', 40)], commits: goesOn })
  expect(right).toEqual({ least: 40, most: 40, told: 40, sum: 40, exact: 1, exactSamples: 40, breaches: [] })
  const { breaches } = judgeRolledBack({ losses: [loss()], claims: [claim('a', 39)], commits: goesOn })
  expect(breaches).toEqual([expect.stringMatching(/took 40 samples .* says 39/)])
  expect(judgeRolledBack({ losses: [loss()], claims: [], commits: goesOn }).breaches).toHaveLength(1)
})

test('nobody may say more than is gone', () => {
  const { breaches } = judgeRolledBack({ losses: [loss()], claims: [claim('b', 41), claim('a', 40)], commits: goesOn })
  expect(breaches).toEqual([expect.stringMatching(/b says that 41 .* 40 can be/)])
})

test('several analyzers may say the same; of a partition the one counts that says most', () => {
  const judged = judgeRolledBack({ losses: [loss()], claims: [claim('a', 40), claim('b', 10)], commits: goesOn })
  expect(judged).toMatchObject({ told: 40, sum: 50, breaches: [] })
})

test('what is said cannot be foretold where another goes on, or where an append was not answered', () => {
  const other = [commit('a', '5-0', 900), commit('b', '7-0', 1200)]
  expect(judgeRolledBack({ losses: [loss()], claims: [], commits: other })).toMatchObject({ exact: 0, breaches: [] })
  const open = judgeRolledBack({ losses: [loss({ unanswered: 7 })], claims: [claim('a', 47)], commits: goesOn })
  expect(open).toMatchObject({ least: 40, most: 47, exact: 0, breaches: [] })
})

test('nor where nothing was read since the loss before, which then comes to light with this one', () => {
  const again: Loss = { ...loss(), at: 1100, before: new Map([[0, { samples: 60, unanswered: 0, lastId: '3-0' }]]) }
  const claims = [{ ...claim('a', 40), at: 1150 }]
  expect(judgeRolledBack({ losses: [loss(), again], claims, commits: goesOn })).toMatchObject({
    exact: 0,
    breaches: [],
  })
})
