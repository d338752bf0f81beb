import { stat, truncate } from 'node:fs/promises'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { putRules } from './alerts.ts'
import { aofFile, compactAof, cutAfter, cutLastCommit } from './append-only-file.ts'
import { parseCommit } from './audit.ts'
import { renewedPartitions } from './command.ts'
import type { Deployment } from './deployment.ts'
import { readPartitionStates } from './partition-state.ts'
import { type Exchange, type Mode, PASS } from './proxy.ts'
import { redisArgs } from './redis-server.ts'
import { Replica } from './replication.ts'
import type { Fault } from './schedule.ts'
import type { World } from './world.ts'

/** How often `appendfsync everysec` syncs the file to disk. */
const FSYNC_EVERY_MS = 1000

const READY_WITHIN_MS = 60_000

/** Replies in flight arrive within this time and are not mistaken for later ones. */
const SETTLE_MS = 50

/** Memory that Redis may use beyond its current usage before it is out of memory. */
const MEMORY_LEFT_BYTES = 16 * 1024

/** Injects a fault of Redis itself. Returns false if it got no opportunity. */
export async function injectRedisFault(fault: Fault, world: World): Promise<boolean> {
  const { deployment, cluster } = world
  switch (fault.kind) {
    case 'script-flush':
      await deployment.redis.script('FLUSH')
      return true
    case 'redis-kill':
      await writeBeforeReplies(world)
      await restart(world, 'redis-kill', async () => pause(fault.downMs))
      return true
    case 'redis-freeze': {
      const pid = Number(/process_id:(\d+)/.exec(await deployment.redis.info('server'))?.[1])
      process.kill(pid, 'SIGSTOP')
      await pause(fault.ms)
      process.kill(pid, 'SIGCONT')
      return true
    }
    case 'aof-cut-commit':
      return cutCommitOff(world)
    case 'aof-cut':
      await restart(world, fault.kind, async file => {
        const { size } = await stat(file)
        await truncate(file, Math.max(0, size - fault.bytes))
      })
      return true
    case 'power-loss':
      return losePower(world)
    case 'failover':
      await failover(world, fault.lagMs)
      return true
    case 'out-of-memory':
      return runOutOfMemory(world, fault.ms)
    case 'flush-all':
      await flushAll(world)
      return true
    case 'master-kill': {
      if (cluster === undefined) return false
      const { killedAt, states, restart: again } = await cluster.killMaster(fault.master, deployment.options.partitions)
      await world.noteLoss(fault.kind, killedAt, states)
      await again()
      return true
    }
    case 'reshard':
      if (cluster === undefined) return false
      for (const partition of fault.partitions) await cluster.move(partition)
      return true
    default:
      throw new Error(`${fault.kind} is not a fault of Redis`)
  }
}

/** Deletes everything. Analyzers get Redis back after rules are there: verdicts are recomputed. */
async function flushAll(world: World): Promise<void> {
  const { deployment } = world
  setModes(deployment, 'hole')
  await pause(SETTLE_MS)
  await deployment.redis.flushall()
  await world.noteLoss('flush-all', await redisTime(world))
  world.rulesLost++
  for (const { proxy } of deployment.gateways) if (proxy !== undefined) proxy.mode = 'pass'
  await putRules(deployment, world.rulesLost)
  setModes(deployment, 'pass')
}

function setModes({ proxies }: Deployment, mode: Mode): void {
  for (const proxy of proxies) proxy.mode = mode
}

async function redisTime({ deployment }: World): Promise<number> {
  const [seconds, micros] = await deployment.redis.time()
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
}

/** Restarts Redis with a damaged file, and records the loss before any other client connects. */
async function restart(world: World, cause: string, whileDown: (aofFile: string) => Promise<unknown>): Promise<void> {
  const { deployment, redis } = world
  if (redis === undefined) throw new Error('a cluster has no append-only file of its own')
  const file = await aofFile(deployment.redis)
  await redis.kill()
  const killedAt = Date.now()
  setModes(deployment, 'refuse')
  await whileDown(file)
  // The fixture polls too rarely: a lease would expire before it notices that Redis is back.
  const started = redis.start()
  await waitUntilReady(world)
  // A file that ends inside a transaction still has its beginning, which Redis applies at the next
  // start. Operators remove it in the same way (docs/runbook.md).
  await compactAof(deployment.redis)
  await world.noteLoss(cause, killedAt)
  setModes(deployment, 'pass')
  await started
}

/**
 * Makes Redis write its file before it replies. With `everysec` it postpones writes by up to 2 s
 * while a sync of a slow disk is in progress, and a kill then loses what was not written. The
 * setting ends with the process.
 */
async function writeBeforeReplies({ deployment }: World): Promise<void> {
  await deployment.redis.call('CONFIG', 'SET', 'appendfsync', 'always')
}

/** Waits until Redis responds and has loaded its data. */
async function waitUntilReady({ deployment }: World): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS
  while ((await deployment.redis.ping().catch(() => '')) !== 'PONG') {
    if (performance.now() > deadline) throw new Error('Redis did not become available again')
    await pause(10)
  }
}

/** Kills Redis and drops what `appendfsync` had not yet written to disk. */
async function losePower(world: World): Promise<boolean> {
  const { audit, deployment, durability } = world
  if (durability === 'disk') {
    // Redis replies after the sync, so the file ends with the last append that it acknowledged.
    await restart(world, 'power-loss', async file => {
      await pause(SETTLE_MS)
      await cutAfter(
        file,
        [...audit.appended.values()].map(({ lastId }) => lastId),
      )
    })
    return true
  }
  const file = await aofFile(deployment.redis)
  const { size } = await stat(file)
  // The last sync was up to a second ago.
  await pause(FSYNC_EVERY_MS)
  let isCut = false
  await restart(world, 'power-loss', async current => {
    isCut = current === file
    if (isCut) await truncate(file, size)
  })
  return isCut
}

/** How long a commit is held so that entries for the next one arrive. */
const GATHER_MS = 200

/** Attempts to restart Redis so fast that the analyzer still holds its lease. */
const CUTS_MAX = 8

/**
 * Makes Redis lose the last commit of a partition while its next commit is in flight. That commit
 * starts after the checkpoint that Redis now has, and is resent as soon as Redis is back.
 */
async function cutCommitOff(world: World): Promise<boolean> {
  const { audit, deployment } = world
  for (let attempt = 0; attempt < CUTS_MAX; attempt++) {
    let cutAt = Number.POSITIVE_INFINITY
    let next: ReturnType<typeof parseCommit>
    let renewed: readonly number[] = []
    await compactAof(deployment.redis)
    // Starts right after a renewal, so that the lease lasts as long as possible.
    await world.interceptOnce({
      point: 'delivered',
      nth: 1,
      matches: ({ command, reply }) => {
        renewed = command.name === 'renew' && reply !== undefined ? renewedPartitions(command, reply) : []
        return renewed.length > 0
      },
      act: () => PASS,
    })
    const isRenewed = ({ command }: Exchange): boolean =>
      command.name === 'commit' && command.partition !== undefined && renewed.includes(command.partition)
    let intercepted: Promise<boolean> = Promise.resolve(false)
    await world.interceptOnce({
      point: 'arriving',
      nth: 1,
      matches: isRenewed,
      async act({ command }) {
        const last = parseCommit(command, new Map())
        // Entries of the next commit arrive while this one is held, so they precede it in the file.
        await pause(GATHER_MS)
        intercepted = world.interceptOnce({
          point: 'arriving',
          nth: 1,
          matches: exchange => isRenewed(exchange) && parseCommit(exchange.command, new Map())?.from === last?.to,
          async act(exchange) {
            next = parseCommit(exchange.command, new Map())
            const partition = next?.partition ?? 0
            await restart(world, 'aof-cut-commit', file => {
              cutAt = performance.now()
              return cutLastCommit(file, partition)
            })
            return { kind: 'cut' }
          },
        })
        return PASS
      },
    })
    const hasIntercepted = await intercepted
    if (!hasIntercepted) return false
    // The owner has resent it under the same lease.
    const isAgain = (): boolean =>
      audit.commits.some(
        ({ token, from, at, result }) =>
          token === next?.token && from === next.from && at > cutAt && (result === 'stale' || result === 'ok'),
      )
    if (await audit.until(isAgain, 2 * world.leaseMs)) return true
  }
  return false
}

/** Kills the primary and promotes a replica that lags by `lagMs`. */
async function failover(world: World, lagMs: number): Promise<void> {
  const { deployment, redis: primary, audit, durability } = world
  if (primary === undefined) throw new Error('a cluster fails over by itself')
  const options = { args: redisArgs(durability), audit, interceptors: deployment.interceptors }
  const replica = world.replica ?? (await Replica.follow(primary, options))
  world.replica = undefined
  replica.lag()
  await pause(lagMs)
  await primary.kill()
  const killedAt = Date.now()
  setModes(deployment, 'refuse')
  const promoted = await replica.promote()
  world.redis = promoted
  deployment.moveTo(promoted.url)
  await world.noteLoss('failover', killedAt)
  setModes(deployment, 'pass')
  await primary[Symbol.asyncDispose]()
  // The new primary accepts no writes until it has a replica.
  if (durability === 'replicated') world.replica = await Replica.follow(promoted, options)
}

/** Keeps Redis at its memory limit: ingest gets 503, analysis continues, both recover. */
async function runOutOfMemory(world: World, ms: number): Promise<boolean> {
  const { deployment, traffic, violation } = world
  const unavailableBefore = traffic.responses.unavailable
  const used = Number(/used_memory:(\d+)/.exec(await deployment.redis.info('memory'))?.[1])
  await deployment.redis.config('SET', 'maxmemory', String(used + MEMORY_LEFT_BYTES))
  await pause(ms)
  const states = await readPartitionStates(deployment.redis, deployment.options.partitions)
  const unprocessed = states.reduce((sum, { accepted, offset }) => sum + accepted - offset, 0)
  // No samples are accepted now, so commits must have drained the backlog.
  if (unprocessed > 100) violation(`R6: ${unprocessed} samples are unprocessed ${ms} ms after Redis ran out of memory`)
  await deployment.redis.config('SET', 'maxmemory', '0')
  return traffic.responses.unavailable > unavailableBefore
}
