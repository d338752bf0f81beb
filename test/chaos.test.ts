import { redisClusterAvailable } from '@tidemark/testkit/redis-fixture'
import { describe, expect, test } from 'vitest'
import { CRASH_POINT_NAMES } from './chaos/crash-point.ts'
import { type RunResult, run } from './chaos/run.ts'
import type { Schedule } from './chaos/schedule.ts'
import { SHORT, shortLevel } from './chaos/sizes.ts'

/** Changes daily, so that many seeds are tried. TIDEMARK_CHAOS_SEED repeats a run. */
const seed = Number(process.env.TIDEMARK_CHAOS_SEED ?? Math.floor(Date.now() / 86_400_000))

// The runs freeze servers and truncate their files, so they need their own Redis processes.
describe.runIf(await redisClusterAvailable())('chaos', () => {
  test(`every sample accepted with 202 is analysed exactly once and in order under every fault (seed ${seed})`, async () => {
    const result = await run({ ...SHORT, seed })
    expectGuarantees(result)
    expectFaultsInjected(result)
  })

  test(`when Redis loses all data, the rules too, those put then are in force at once, everywhere (seed ${seed})`, async () => {
    const schedule = (): Schedule => [
      { kind: 'kill', role: 'analyzer', index: 0, downMs: 100 },
      { kind: 'flush-all' },
      { kind: 'kill', role: 'analyzer', index: 1, downMs: 100 },
      { kind: 'flush-all' },
      { kind: 'kill', role: 'gateway', index: 0, downMs: 100 },
    ]
    const result = await run({ ...SHORT, seed, samples: 12_000, keys: 200, calmMs: 1000, schedule })
    expectGuarantees(result)
    expect(result.injected.get('flush-all')).toBe(2)
    expect(result.verification.alerts).toBeGreaterThan(10)
  })

  test(`durability disk loses nothing when Redis is killed or loses power (seed ${seed})`, async () => {
    const result = await run({ ...shortLevel('disk'), seed })
    expectGuarantees(result)
    expectInjected(result, ['redis-kill', 'power-loss'])
  })

  test(`durability replicated loses nothing when Redis is killed or fails over (seed ${seed})`, async () => {
    const result = await run({ ...shortLevel('replicated'), seed })
    expectGuarantees(result)
    expectInjected(result, ['redis-kill', 'failover'])
  })

  test(`a frozen analyzer cannot write: its commit arrives after the takeover and is refused (seed ${seed})`, async () => {
    const schedule = Array.from({ length: 3 }, () => ({ kind: 'zombie-commit', nth: 5 }) as const)
    const result = await run({ ...SHORT, seed, samples: 4000, keys: 200, calmMs: 1000, schedule: () => schedule })
    expectGuarantees(result)
    expectInjected(result, ['zombie-commit'])
    expect(refusedCommits(result)).toBeGreaterThanOrEqual(result.injected.get('zombie-commit') ?? 0)
  })
})

function expectGuarantees({ violations, historyPath, verification }: RunResult): void {
  expect(violations, `history: ${historyPath}`).toEqual([])
  expect(verification.classes).toMatchObject({ lost: 0, duplicated: 0, outOfOrder: 0, invented: 0 })
}

function expectInjected({ injected }: RunResult, names: readonly string[]): void {
  for (const name of names)
    expect([name, injected.get(name) ?? 0]).toEqual([name, expect.toSatisfy(times => times > 0)])
}

/** Requires that faults were injected and had effects. A run without them proves nothing. */
function expectFaultsInjected(result: RunResult): void {
  const { injected, counts, accepted, verification, commitResults, responses, replayed } = result
  for (const name of CRASH_POINT_NAMES) expect(injected.get(`crash ${name}`)).toBeGreaterThan(0)
  expect(counts.kills).toBeGreaterThanOrEqual(12)
  expect(counts.pauses).toBeGreaterThanOrEqual(3)
  expectInjected(result, ['redis-kill', 'zombie-commit', 'zombie-read', 'late-commit', 'stolen-read'])
  expect(accepted).toBeGreaterThanOrEqual(SHORT.samples)
  expect(verification.classes.recovered).toBeGreaterThan(0)
  expect(verification.alerts).toBeGreaterThan(100)
  expect(responses.retries).toBeGreaterThan(0)
  expect(replayed.requests).toBeGreaterThan(100)
  expect(refusedCommits(result)).toBeGreaterThan(0)
  for (const name of ['ok', 'already', 'stale']) {
    expect([name, commitResults.get(name) ?? 0]).toEqual([name, expect.toSatisfy(count => count > 0)])
  }
}

/** Commits after a change of the lease: a script is fenced, a transaction is void. */
function refusedCommits({ commitResults }: RunResult): number {
  return (commitResults.get('fenced') ?? 0) + (commitResults.get('void') ?? 0)
}
