import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import { derivedSeed, Random } from '@tidemark/testkit/random'
import { type RedisFixture, startRedis } from '@tidemark/testkit/redis-fixture'
import { isOnPath } from '@tidemark/testkit/redis-process'
import { putRules } from './alerts.ts'
import { Audit } from './audit.ts'
import { Traffic } from './client.ts'
import { ChaosCluster } from './cluster.ts'
import { Deployment } from './deployment.ts'
import { strike } from './faults.ts'
import { History } from './history.ts'
import { type Judgement, judge } from './judge.ts'
import { Observer } from './observer.ts'
import type { Rule } from './proxy.ts'
import { redisArgs } from './redis-server.ts'
import { type Replay, replay } from './replay.ts'
import { Replica } from './replication.ts'
import { comesToRest } from './rest.ts'
import { SamplePlan } from './sample-plan.ts'
import type { Schedule } from './schedule.ts'
import { Slowness } from './slowness.ts'
import { World } from './world.ts'

/** After the last fault the backlog must be gone within this. */
const HEAL_WITHIN_MS = 30_000

/** Breaches that are kept: the first ones tell, and one cause can make thousands. */
const BREACHES_MAX = 50

/** Samples that must have been committed since the last fault before the next one strikes. */
const PROGRESS_SAMPLES = 40
const PROGRESS_WITHIN_MS = 30_000

/** How often analyzers say that they live, and look for partitions. */
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
  /** Samples in one request, at most. */
  readonly batchMax: number
  /** Samples a second while faults strike. */
  readonly rate: number
  /** The faults are spread over this time; 0 lets one follow the other. */
  readonly spreadMs: number
  /** Without any fault at the end. */
  readonly calmMs: number
  readonly durability: DurabilityLevel
  /** How often a fault must have found its moment, by its name in the report: a run in which it did not proves too little. */
  readonly bitesMin?: Readonly<Record<string, number>>
  readonly schedule: (random: Random) => Schedule
  /** On three masters with a replica each. */
  readonly isCluster?: boolean
  /** The first breach ends the run: when it is only asked whether there is one. */
  readonly isFailFast?: boolean
  readonly onProgress?: (progress: RunProgress) => void
}

export interface RunProgress {
  readonly accepted: number
  readonly faults: number
  readonly faultsPlanned: number
  readonly breaches: number
  readonly what: string
}

export interface RunResult extends Judgement {
  readonly seed: number
  readonly struck: ReadonlyMap<string, number>
  readonly counts: { readonly kills: number; readonly pauses: number; readonly stops: number; readonly starts: number }
  readonly sent: number
  readonly accepted: number
  readonly answers: Traffic['answers']
  readonly reads: Observer['reads']
  readonly commitOutcomes: ReadonlyMap<string, number>
  readonly resident: Observer['resident']
  readonly toldLost: number
  readonly replayed: Replay
  readonly durability: DurabilityLevel
  readonly healMs: number
  readonly durationMs: number
  /** Removed when nothing was breached. */
  readonly historyPath: string
  readonly redisVersion: string
}

/** Runs a deployment under load, strikes it by the schedule, lets it come to rest and judges what it did. */
export async function run(options: RunOptions): Promise<RunResult> {
  const begin = performance.now()
  const { seed, partitions, durability } = options
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-chaos-'))
  const historyPath = join(folder, 'history.ndjson')
  const breaches: string[] = []
  const breach = (text: string): void => {
    history.note('breach', { text })
    if (breaches.length < BREACHES_MAX) breaches.push(text)
  }
  await using resources = new AsyncDisposableStack()
  const history = resources.use(new History(historyPath))
  const { onProgress, schedule: plan, ...numbers } = options
  const schedule = plan(new Random(derivedSeed(seed, 1)))
  history.note('run', { ...numbers, schedule })

  const audit = new Audit()
  const rules = new Set<Rule>()
  let world: World | undefined
  const cluster = options.isCluster === true ? resources.use(await ChaosCluster.open({ audit, rules })) : undefined
  const redis = cluster === undefined ? await startSingle(durability) : undefined
  // After a fail-over another one serves, and the first is gone.
  resources.defer(async () => (world?.redis ?? redis)?.[Symbol.asyncDispose]())
  const replica =
    redis !== undefined && durability === 'replicated'
      ? await Replica.follow(redis, { args: redisArgs(durability), audit, rules })
      : undefined
  resources.defer(async () => (world === undefined ? replica : world.replica)?.[Symbol.asyncDispose]())
  const slowness = resources.use(new Slowness())
  const deployment = resources.use(
    new Deployment({
      redisUrl: cluster?.url ?? redis?.url ?? '',
      ...(cluster === undefined ? {} : { sharedUrl: cluster.url }),
      partitions,
      leaseTtlMs: options.leaseTtlMs,
      env: serviceEnvironment(options, folder),
      audit,
      rules,
      history,
      onBreach: breach,
    }),
  )
  await deployment.add('gateway')
  await putRules(deployment.redis)
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
    onBreach: breach,
  })
  world = new World({ deployment, audit, traffic, history, redis, replica, cluster, durability, breach })
  const observer = resources.use(new Observer(world, derivedSeed(seed, 3)))
  const tell = (faults: number, what: string): void =>
    onProgress?.({
      accepted: traffic.accepted,
      faults,
      faultsPlanned: schedule.length,
      breaches: breaches.length,
      what,
    })

  const isOver = (): boolean => options.isFailFast === true && breaches.length + audit.breaches.length > 0
  const faultsBegin = performance.now()
  for (const [i, fault] of schedule.entries()) {
    if (isOver()) break
    tell(i, fault.kind)
    const dueAt = faultsBegin + (options.spreadMs * i) / schedule.length
    if (!(await progressed(world, dueAt))) {
      breach(`I9: nothing is analysed ${PROGRESS_WITHIN_MS} ms after the fault before ${JSON.stringify(fault)}`)
      break
    }
    await strike(fault, world)
  }
  tell(schedule.length, 'healing')
  await whole(world)

  // The rest of the samples, as fast as they go, and a while in which nothing happens.
  traffic.rate = Number.POSITIVE_INFINITY
  while (traffic.accepted < options.samples && breaches.length < BREACHES_MAX && !isOver()) {
    tell(schedule.length, 'the rest of the samples')
    await pause(100)
  }
  traffic.rate = options.rate
  await pause(options.calmMs / 2)
  const { unavailable, broken } = traffic.answers
  await pause(options.calmMs / 2)
  await traffic.end()
  if (traffic.answers.unavailable > unavailable || traffic.answers.broken > broken) {
    breach(`I9: requests failed though nothing had struck for ${options.calmMs / 2} ms`)
  }

  tell(schedule.length, 'coming to rest')
  const healBegin = performance.now()
  const isAtRest = await comesToRest(deployment.redis, partitions, isOver() ? 0 : HEAL_WITHIN_MS)
  const healMs = performance.now() - healBegin
  if (!isAtRest && !isOver()) breach(`I9: samples still wait ${HEAL_WITHIN_MS} ms after the last fault`)
  tell(schedule.length, 'sending requests again')
  const replayed = isOver() ? { requests: 0, added: 0 } : await replay(world, new Random(derivedSeed(seed, 4)))
  await observer.measure()
  await observer[Symbol.asyncDispose]()
  const endAt = performance.now()
  await Promise.all(deployment.slots.map(slot => deployment.stop(slot)))

  tell(schedule.length, 'verifying')
  const { breaches: found, ...judgement } = await judge({
    world,
    observer,
    slowness,
    plan: samplePlan,
    heartbeatMs: HEARTBEAT_MS,
    endAt,
    bitesMin: options.bitesMin ?? {},
    isWhole: !isOver(),
  })
  for (const text of found) breach(text)
  for (const takeOver of judgement.takeOvers) history.note('take-over', { ...takeOver })
  const result: RunResult = {
    ...judgement,
    seed,
    breaches,
    struck: world.struck,
    counts: deployment.counts,
    sent: traffic.sent,
    accepted: traffic.accepted,
    answers: traffic.answers,
    reads: observer.reads,
    commitOutcomes: audit.outcomes,
    resident: observer.resident,
    toldLost: observer.toldLost,
    replayed,
    durability,
    healMs,
    durationMs: performance.now() - begin,
    historyPath,
    redisVersion: cluster === undefined ? (redis?.version ?? '') : `a cluster of ${cluster.version}`,
  }
  history.note('verdict', { ...judgement.verdict, breaches })
  if (breaches.length === 0) resources.defer(() => rm(folder, { recursive: true, force: true }))
  return result
}

async function startSingle(durability: DurabilityLevel): Promise<RedisFixture> {
  const which = (await isOnPath('redis-server')) ? 'redis-server' : 'valkey-server'
  return startRedis({ which, args: redisArgs(durability) })
}

function serviceEnvironment({ keys, partitions, durability }: RunOptions, folder: string): Record<string, string> {
  return {
    LOG_LEVEL: 'info',
    HEARTBEAT_MS: String(HEARTBEAT_MS),
    DURABILITY: durability,
    // Requests of the whole run are sent again at its end.
    IDEMPOTENCY_TTL_MS: '3600000',
    STORE_TIMEOUT_MS: '1000',
    // All alerts of a run, for its end.
    ALERTS_KEPT: '1000000',
    // Too few for all keys, so that windows go out of memory and come back from Redis all the time.
    WINDOWS_MAX: String(Math.max(partitions, Math.ceil(keys / 2))),
    // A killed process starts again in half the time.
    NODE_COMPILE_CACHE: join(folder, 'compile-cache'),
  }
}

/** Waits until the deployment is whole, the time has come, and samples have been committed since the last fault. */
async function progressed(world: World, dueAt: number): Promise<boolean> {
  await whole(world)
  const { audit } = world
  const before = audit.committedSamples
  await pause(Math.max(0, dueAt - performance.now()))
  return audit.until(() => audit.committedSamples - before >= PROGRESS_SAMPLES, PROGRESS_WITHIN_MS)
}

/** Waits until every slot that should have a process has one. */
async function whole({ deployment }: World): Promise<void> {
  const deadline = performance.now() + PROGRESS_WITHIN_MS
  const isMissing = (): boolean => deployment.slots.some(slot => slot.process === undefined && slot.isSpare !== true)
  while (isMissing() && performance.now() < deadline) await pause(20)
}
