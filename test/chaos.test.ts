import { redisClusterAvailable } from '@tidemark/testkit/redis-fixture'
import { describe, expect, test } from 'vitest'
import { CRASH_POINT_NAMES } from './chaos/crash-point.ts'
import { type RunResult, run } from './chaos/run.ts'
import { SHORT, shortLevel } from './chaos/sizes.ts'

/** Another one each day, so that what one seed does not find another may; TIDEMARK_CHAOS_SEED repeats a run. */
const seed = Number(process.env.TIDEMARK_CHAOS_SEED ?? Math.floor(Date.now() / 86_400_000))

// It freezes servers and cuts their files, so it needs processes of its own, as a cluster does.
describe.runIf(await redisClusterAvailable())('chaos', () => {
  test(`every sample that was answered 202 is analysed exactly once, in order, whatever breaks (seed ${seed})`, async () => {
    const result = await run({ ...SHORT, seed })
    expectPromise(result)
    expectBites(result)
  })

  test(`durability disk loses nothing when Redis is killed or power is lost (seed ${seed})`, async () => {
    const result = await run({ ...shortLevel('disk'), seed })
    expectPromise(result)
    expectStruck(result, ['redis-kill', 'power-loss'])
  })

  test(`durability replicated loses nothing when Redis is killed or fails over (seed ${seed})`, async () => {
    const result = await run({ ...shortLevel('replicated'), seed })
    expectPromise(result)
    expectStruck(result, ['redis-kill', 'fail-over'])
  })
})

function expectPromise({ breaches, historyPath, verdict }: RunResult): void {
  expect(breaches, `the history is in ${historyPath}`).toEqual([])
  expect(verdict.classes).toMatchObject({ lost: 0, duplicated: 0, outOfOrder: 0, invented: 0 })
}

function expectStruck({ struck }: RunResult, names: readonly string[]): void {
  for (const name of names) expect([name, struck.get(name) ?? 0]).toEqual([name, expect.toSatisfy(times => times > 0)])
}

/** A run in which nothing happened proves nothing. */
function expectBites(result: RunResult): void {
  const { struck, counts, accepted, verdict, commitOutcomes, answers, replayed } = result
  for (const name of CRASH_POINT_NAMES) expect(struck.get(`crash ${name}`)).toBeGreaterThan(0)
  expect(counts.kills).toBeGreaterThanOrEqual(12)
  expect(counts.pauses).toBeGreaterThanOrEqual(3)
  expectStruck(result, ['redis-kill', 'zombie-commit', 'zombie-read', 'late-commit', 'stolen-read'])
  expect(accepted).toBeGreaterThanOrEqual(SHORT.samples)
  expect(verdict.classes.recovered).toBeGreaterThan(0)
  expect(verdict.alerts).toBeGreaterThan(100)
  expect(answers.repeats).toBeGreaterThan(0)
  expect(replayed.requests).toBeGreaterThan(100)
  for (const outcome of ['ok', 'already', 'stale', 'fenced']) {
    expect([outcome, commitOutcomes.get(outcome) ?? 0]).toEqual([outcome, expect.toSatisfy(count => count > 0)])
  }
}
