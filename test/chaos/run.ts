import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import { derivedSeed, Random } from '@tidemark/testkit/random'
import { type RedisFixture, startRedis } from '@tidemark/testkit/redis-fixture'
import { isOnPath } from '@tidemark/testkit/redis-process'
import { EventLoopLag } from '../support/event-loop-lag.ts'
import { putRules } from './alerts.ts'
import { requireApiKey } from './api-key.ts'
import { Audit } from './audit.ts'
import { ChaosCluster } from './cluster.ts'
import { Deployment } from './deployment.ts'
import { type Evaluation, evaluate } from './evaluation.ts'
import { inject } from './faults.ts'
import { waitUntilDrained } from './final-state.ts'
import { History } from './history.ts'
import { addIdleKeys, checkIdleKeys } from './idle-keys.ts'
import { Observer } from './observer.ts'
import type { Interceptor } from './proxy.ts'
import { redisArgs } from './redis-server.ts'
import { type Replay, replay } from './replay.ts'
import { Replica } from './replication.ts'
import { SamplePlan } from './sample-plan.ts'
import type { Schedule } from './schedule.ts'
import { Traffic } from './traffic.ts'
import { World } from './world.ts'

/** The backlog must be drained within this time after the last fault. */
const DRAIN_TIMEOUT_MS = 100_000

/** Violations that are kept. One cause can produce thousands, and the first ones explain it. */
const VIOLATIONS_MAX = 50

/** Samples that must be committed after a fault before the next one is injected. */
const PROGRESS_SAMPLES = 40
const PROGRESS_WITHIN_MS = 100_000

/** HEARTBEAT_MS of the analyzers. */
const HEARTBEAT_MS = 100

export interface RunOptions {
  readonly seed: number
  readonly samples: number
  readonly keys: number
  readonly isZipf: boolean
  readonly writers: number
  readonly partitions: number
  readonly analyzers: number
  readonly gateways: number
  readonly leaseTtlMs: number
  /** Maximum number of samples in one request. */
  readonly batchMax: number
  /** Samples per second while faults are injected. */
  readonly rate: number
  /** The period over which the faults are spread; 0 injects them one after another. */
  readonly spreadMs: number
  /** The period without faults at the end. */
  readonly calmMs: number
  /** KEY_IDLE_TTL: milliseconds without a sample after which a key is removed. */
  readonly idleTtlMs: number
  readonly durability: DurabilityLevel
  /** How often a fault must be injected, by its name in the report. Fewer prove too little. */
  readonly injectedMin?: Readonly<Record<string, number>>
  readonly schedule: (random: Random) => Schedule
  /** Runs on a Redis cluster of three masters and three replicas. */
  readonly isCluster?: boolean
  /** Ends the run at the first violation. */
  readonly isFailFast?: boolean
  readonly onProgress?: (progress: RunProgress) => void
}

export interface RunProgress {
  readonly accepted: number
  readonly faults: number
  readonly faultsPlanned: number
  readonly violations: number
  readonly what: string
}

export interface RunResult extends Evaluation {
  readonly seed: number
  readonly injected: ReadonlyMap<string, number>
  readonly counts: { readonly kills: number; readonly pauses: number; readonly stops: number; readonly starts: number }
  readonly sent: number
  readonly accepted: number
  readonly responses: Traffic['responses']
  readonly reads: Observer['reads']
  readonly commitResults: ReadonlyMap<string, number>
  readonly resident: Observer['resident']
  readonly reportedLost: number
  readonly replayed: Replay
  readonly durability: DurabilityLevel
  readonly drainMs: number
  readonly durationMs: number
  /** Deleted if there is no violation. */
  readonly historyPath: string
  readonly redisVersion: string
}

/** Runs a deployment under load, injects the scheduled faults, and evaluates the result. */
export async function run(options: RunOptions): Promise<RunResult> {
  const begin = performance.now()
  const { seed, partitions, durability } = options
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-chaos-'))
  const historyPath = join(folder, 'history.ndjson')
  const violations: string[] = []
  const violation = (text: string): void => {
    history.note('violation', { text })
    if (violations.length < VIOLATIONS_MAX) violations.push(text)
  }
  await using resources = new AsyncDisposableStack()
  const history = resources.use(new History(historyPath))
  const { onProgress, schedule: plan, ...numbers } = options
  const schedule = plan(new Random(derivedSeed(seed, 1)))
  history.note('run', { ...numbers, schedule })

  const audit = new Audit()
  const interceptors = new Set<Interceptor>()
  let world: World | undefined
  const cluster =
    options.isCluster === true ? resources.use(await ChaosCluster.open({ audit, interceptors })) : undefined
  const redis = cluster === undefined ? await startSingle(durability) : undefined
  // After a failover another Redis serves, and the first one no longer exists.
  resources.defer(async () => (world?.redis ?? redis)?.[Symbol.asyncDispose]())
  const replica =
    redis !== undefined && durability === 'replicated'
      ? await Replica.follow(redis, { args: redisArgs(durability), audit, interceptors })
      : undefined
  resources.defer(async () => (world === undefined ? replica : world.replica)?.[Symbol.asyncDispose]())
  const deployment = resources.use(
    new Deployment({
      redisUrl: cluster?.url ?? redis?.url ?? '',
      ...(cluster === undefined ? {} : { sharedUrl: cluster.url }),
      partitions,
      leaseTtlMs: options.leaseTtlMs,
      env: serviceEnvironment(options, folder),
      audit,
      interceptors,
      history,
      onViolation: violation,
    }),
  )
  const analyzerPids = (): number[] =>
    deployment.slots.flatMap(({ role, process }) => (role === 'analyzer' && process !== undefined ? [process.pid] : []))
  const eventLoopLag = resources.use(new EventLoopLag(analyzerPids))
  await deployment.add('gateway')
  await putRules(deployment, 0)
  await addIdleKeys(deployment.redis, partitions, options.idleTtlMs)
  await Promise.all([
    ...Array.from({ length: options.gateways - 1 }, () => deployment.add('gateway')),
    ...Array.from({ length: options.analyzers }, () => deployment.add('analyzer')),
  ])
  const samplePlan = new SamplePlan(options)
  const traffic = new Traffic({
    deployment,
    plan: samplePlan,
    history,
    seed: derivedSeed(seed, 2),
    batchMax: options.batchMax,
    rate: options.rate,
    durability,
    onViolation: violation,
  })
  world = new World({ deployment, audit, traffic, history, redis, replica, cluster, durability, violation })
  const observer = resources.use(new Observer(world, derivedSeed(seed, 3)))
  const report = (faults: number, what: string): void =>
    onProgress?.({
      accepted: traffic.accepted,
      faults,
      faultsPlanned: schedule.length,
      violations: violations.length,
      what,
    })

  const isOver = (): boolean => options.isFailFast === true && violations.length + audit.violations.length > 0
  const faultsBegin = performance.now()
  for (const [i, fault] of schedule.entries()) {
    if (isOver()) break
    report(i, fault.kind)
    const dueAt = faultsBegin + (options.spreadMs * i) / schedule.length
    if (!(await waitForProgress(world, dueAt))) {
      violation(`I9: no progress for ${PROGRESS_WITHIN_MS} ms after the fault before ${JSON.stringify(fault)}`)
      break
    }
    await inject(fault, world)
  }
  report(schedule.length, 'healing')
  await waitUntilComplete(world)

  // The remaining samples, as fast as possible, and then a period without faults.
  traffic.rate = Number.POSITIVE_INFINITY
  while (traffic.accepted < options.samples && violations.length < VIOLATIONS_MAX && !isOver()) {
    report(schedule.length, 'the remaining samples')
    await pause(100)
  }
  traffic.rate = options.rate
  await pause(options.calmMs / 2)
  const { unavailable, broken } = traffic.responses
  await pause(options.calmMs / 2)
  await traffic.end()
  if (traffic.responses.unavailable > unavailable || traffic.responses.broken > broken) {
    violation(`I9: requests failed although no fault was injected for ${options.calmMs / 2} ms`)
  }

  report(schedule.length, 'draining the backlog')
  const drainBegin = performance.now()
  const isDrained = await waitUntilDrained(deployment.redis, partitions, isOver() ? 0 : DRAIN_TIMEOUT_MS)
  const drainMs = performance.now() - drainBegin
  if (!isDrained && !isOver()) violation(`I9: the backlog is not drained ${DRAIN_TIMEOUT_MS} ms after the last fault`)
  report(schedule.length, 'evicting idle keys')
  const idleRun = { partitions, ttlMs: options.idleTtlMs, losses: world.losses.length }
  const idle = isOver() ? [] : await checkIdleKeys(deployment.redis, idleRun)
  for (const text of idle) violation(text)
  report(schedule.length, 'replaying requests')
  const replayed = isOver() ? { requests: 0, added: 0 } : await replay(world, new Random(derivedSeed(seed, 4)))
  await observer.measure()
  await observer[Symbol.asyncDispose]()
  const endAt = performance.now()
  await Promise.all(deployment.slots.map(slot => deployment.stop(slot)))

  report(schedule.length, 'verifying')
  const { violations: found, ...evaluation } = await evaluate({
    world,
    observer,
    eventLoopLag,
    plan: samplePlan,
    heartbeatMs: HEARTBEAT_MS,
    endAt,
    injectedMin: options.injectedMin ?? {},
    isComplete: !isOver(),
  })
  for (const text of found) violation(text)
  for (const takeover of evaluation.takeovers) history.note('takeover', { ...takeover })
  const result: RunResult = {
    ...evaluation,
    seed,
    violations,
    injected: world.injected,
    counts: deployment.counts,
    sent: traffic.sent,
    accepted: traffic.accepted,
    responses: traffic.responses,
    reads: observer.reads,
    commitResults: audit.results,
    resident: observer.resident,
    reportedLost: observer.reportedLost,
    replayed,
    durability,
    drainMs,
    durationMs: performance.now() - begin,
    historyPath,
    redisVersion: cluster === undefined ? (redis?.version ?? '') : `a cluster of ${cluster.version}`,
  }
  history.note('verification', { ...evaluation.verification, violations })
  if (violations.length === 0) resources.defer(() => rm(folder, { recursive: true, force: true }))
  return result
}

async function startSingle(durability: DurabilityLevel): Promise<RedisFixture> {
  const which = (await isOnPath('redis-server')) ? 'redis-server' : 'valkey-server'
  return startRedis({ which, args: redisArgs(durability) })
}

function serviceEnvironment(
  { keys, partitions, durability, idleTtlMs }: RunOptions,
  folder: string,
): Record<string, string> {
  return {
    LOG_LEVEL: 'info',
    ...requireApiKey(folder),
    HEARTBEAT_MS: String(HEARTBEAT_MS),
    DURABILITY: durability,
    // Requests of the whole run are replayed at its end.
    IDEMPOTENCY_TTL_MS: '3600000',
    STORE_TIMEOUT_MS: '1000',
    // The verifier needs all alerts of the run.
    ALERTS_KEPT: '1000000',
    KEY_IDLE_TTL: String(idleTtlMs),
    // Fewer than keys, so that windows are continuously evicted and reloaded from Redis.
    WINDOWS_MAX: String(Math.max(partitions, Math.ceil(keys / 2))),
    // Halves the time of a restart.
    NODE_COMPILE_CACHE: join(folder, 'compile-cache'),
  }
}

/** Waits until all processes run, `dueAt` has come, and samples were committed since the fault. */
async function waitForProgress(world: World, dueAt: number): Promise<boolean> {
  await waitUntilComplete(world)
  const { audit } = world
  const before = audit.committedSamples
  await pause(Math.max(0, dueAt - performance.now()))
  return audit.until(() => audit.committedSamples - before >= PROGRESS_SAMPLES, PROGRESS_WITHIN_MS)
}

/** Waits until every slot that should have a process has one. */
async function waitUntilComplete({ deployment }: World): Promise<void> {
  const deadline = performance.now() + PROGRESS_WITHIN_MS
  const isMissing = (): boolean => deployment.slots.some(slot => slot.process === undefined && slot.isSpare !== true)
  while (isMissing() && performance.now() < deadline) await pause(20)
}
