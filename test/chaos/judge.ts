import { SURVIVED } from './loss.ts'
import type { Observer } from './observer.ts'
import { readRest } from './rest.ts'
import { judgeRolledBack, type RolledBack } from './rolled-back.ts'
import type { SamplePlan } from './sample-plan.ts'
import type { Slowness } from './slowness.ts'
import { breachOf, type TakeOver, takeOversAfter } from './take-over.ts'
import { type Verdict, verify } from './verifier.ts'
import type { World } from './world.ts'

export interface JudgeOptions {
  readonly world: World
  readonly observer: Observer
  readonly slowness: Slowness
  readonly plan: SamplePlan
  readonly heartbeatMs: number
  /** When the processes were stopped, performance.now(). */
  readonly endAt: number
  /** How often a fault must have found its moment, by its name in the report. */
  readonly bitesMin: Readonly<Record<string, number>>
  /** Nothing broke the run off: then also what should have happened must have. */
  readonly isWhole: boolean
}

export interface Judgement {
  readonly verdict: Verdict
  readonly takeOvers: readonly TakeOver[]
  readonly rolledBack: RolledBack
  readonly losses: readonly { readonly cause: string; readonly lost: number }[]
  readonly breaches: readonly string[]
}

/** Judges a run whose processes have stopped, from what was seen of it and from what stands in Redis. */
export async function judge(options: JudgeOptions): Promise<Judgement> {
  const { world, observer, slowness, plan, heartbeatMs, endAt, bitesMin, isWhole } = options
  const { audit, deployment, traffic, poisons, struck, durability } = world
  const { disturbances, claims } = deployment
  const { partitions, leaseTtlMs } = deployment.options
  const verdict = verify({
    plan,
    attempts: traffic.attempts,
    commits: audit.commits,
    forgotten: audit.forgotten,
    losses: world.losses,
    poisons,
    rest: await readRest(deployment.redis, partitions),
  })
  const breaches = [...audit.breaches, ...verdict.breaches]

  const takeOvers = takeOversAfter(world.kills, { audit, disturbances, slowness, leaseTtlMs, heartbeatMs, endAt })
  if (isWhole) breaches.push(...takeOvers.flatMap(takeOver => breachOf(takeOver) ?? []))

  const commits = [...audit.forgotten, ...audit.commits].filter(({ outcome }) => outcome === 'ok')
  const rolledBack = judgeRolledBack({ losses: world.losses, claims, commits })
  breaches.push(...rolledBack.breaches, ...observer.unlikeClaims(claims))

  const losses = world.losses.map(({ cause }, i) => ({ cause, lost: verdict.lostSamples[i] ?? 0 }))
  for (const { cause, lost } of losses) {
    if (lost === 0 || !SURVIVED[durability].includes(cause)) continue
    breaches.push(`I2: ${cause} took ${lost} samples that were answered 202 with durability ${durability}`)
  }
  for (const [name, least] of isWhole ? Object.entries(bitesMin) : []) {
    const times = struck.get(name) ?? 0
    if (times < least) breaches.push(`harness: ${name} found its moment ${times} times, and should have ${least} times`)
  }
  return { verdict, takeOvers, rolledBack, losses, breaches }
}
