import type { EventLoopLag } from '../support/event-loop-lag.ts'
import { readFinalState } from './final-state.ts'
import { SURVIVABLE } from './loss.ts'
import type { Observer } from './observer.ts'
import { compareRollbacks, type RollbackComparison } from './rollback-reports.ts'
import type { SamplePlan } from './sample-plan.ts'
import { type Takeover, takeoversAfter, takeoverViolation } from './takeover.ts'
import { type Verification, verify } from './verifier.ts'
import type { World } from './world.ts'

export interface EvaluationOptions {
  readonly world: World
  readonly observer: Observer
  readonly eventLoopLag: EventLoopLag
  readonly plan: SamplePlan
  readonly heartbeatMs: number
  /** When the processes were stopped, performance.now(). */
  readonly endAt: number
  /** How often a fault must have been injected, by its name in the report. */
  readonly injectedMin: Readonly<Record<string, number>>
  /** The run was not aborted, so everything that it requires must have happened. */
  readonly isComplete: boolean
}

export interface Evaluation {
  readonly verification: Verification
  readonly takeovers: readonly Takeover[]
  readonly rollback: RollbackComparison
  readonly losses: readonly { readonly cause: string; readonly lost: number }[]
  readonly violations: readonly string[]
}

/** Evaluates a run whose processes have stopped, from its records and the final state of Redis. */
export async function evaluate(options: EvaluationOptions): Promise<Evaluation> {
  const { world, observer, eventLoopLag, plan, heartbeatMs, endAt, injectedMin, isComplete } = options
  const { audit, deployment, traffic, poisons, injected, durability } = world
  const { disturbances, rollbackReports } = deployment
  const { partitions, leaseTtlMs } = deployment.options
  const verification = verify({
    plan,
    attempts: traffic.attempts,
    commits: audit.commits,
    rolledBack: audit.rolledBack,
    losses: world.losses,
    poisons,
    rulesLost: world.rulesLost,
    final: await readFinalState(deployment.redis, partitions),
  })
  const violations = [...audit.violations, ...verification.violations]

  const takeovers = takeoversAfter(world.kills, { audit, disturbances, eventLoopLag, leaseTtlMs, heartbeatMs, endAt })
  if (isComplete) violations.push(...takeovers.flatMap(takeover => takeoverViolation(takeover) ?? []))

  const commits = [...audit.rolledBack, ...audit.commits].filter(({ result }) => result === 'ok')
  const rollback = compareRollbacks({ losses: world.losses, rollbackReports, commits, kills: world.kills })
  violations.push(...rollback.violations, ...observer.checkRollbackReports(rollbackReports))

  const losses = world.losses.map(({ cause }, i) => ({ cause, lost: verification.lostSamples[i] ?? 0 }))
  for (const { cause, lost } of losses) {
    if (lost === 0 || !SURVIVABLE[durability].includes(cause)) continue
    violations.push(`I2: ${cause} lost ${lost} samples accepted with 202 at durability ${durability}`)
  }
  for (const [name, least] of isComplete ? Object.entries(injectedMin) : []) {
    const times = injected.get(name) ?? 0
    if (times < least) violations.push(`harness: ${name} was injected ${times} times, expected at least ${least}`)
  }
  return { verification, takeovers, rollback, losses, violations }
}
