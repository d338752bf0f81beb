import { stat, truncate } from 'node:fs/promises'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { flushAllButRules } from './alerts.ts'
import { aofFile, compactAof, cutAfter, cutLastCommit } from './append-only-file.ts'
import { parseCommit } from './audit.ts'
import type { Deployment } from './deployment.ts'
import { readPartitionStates } from './partition-state.ts'
import { type Exchange, type Mode, PASS } from './proxy.ts'
import { redisArgs } from './redis-server.ts'
import { Replica } from './replication.ts'
import type { Fault } from './schedule.ts'
import type { World } from './world.ts'

/** How often `appendfsync everysec` tells the disk. */
const FSYNC_EVERY_MS = 1000

const SERVES_WITHIN_MS = 15_000

/** How long answers that are on their way get to come through before they would be mistaken for later ones. */
const SETTLE_MS = 50

/** How much more memory Redis gets than it uses when it is to run out of it. */
const MEMORY_LEFT_BYTES = 16 * 1024

/** Faults of Redis itself. */
export async function strikeRedis(fault: Fault, world: World): Promise<boolean> {
  const { deployment, cluster } = world
  switch (fault.kind) {
    case 'script-flush':
      await deployment.redis.script('FLUSH')
      return true
    case 'redis-kill':
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
    case 'fail-over':
      await failOver(world, fault.lagMs)
      return true
    case 'out-of-memory':
      return runOutOfMemory(world, fault.ms)
    case 'flush-all':
      setModes(deployment, 'hole')
      await pause(SETTLE_MS)
      await flushAllButRules(deployment.redis)
      await world.noteLoss(fault.kind, await redisTime(world))
      setModes(deployment, 'pass')
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

function setModes({ proxies }: Deployment, mode: Mode): void {
  for (const proxy of proxies) proxy.mode = mode
}

async function redisTime({ deployment }: World): Promise<number> {
  const [seconds, micros] = await deployment.redis.time()
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
}

/** Kills Redis, does something to its append-only file, starts it again and notes what it lost before anybody else comes. */
async function restart(world: World, cause: string, whileDown: (aofFile: string) => Promise<unknown>): Promise<void> {
  const { deployment, redis } = world
  if (redis === undefined) throw new Error('a cluster has no append-only file of its own')
  const file = await aofFile(deployment.redis)
  await redis.kill()
  const killedAt = Date.now()
  setModes(deployment, 'refuse')
  await whileDown(file)
  // The fixture asks Redis only now and then whether it is back, and an analyzer's lease runs out meanwhile.
  const started = redis.start()
  await serves(world)
  await world.noteLoss(cause, killedAt)
  setModes(deployment, 'pass')
  await started
}

/** Waits until Redis answers and has loaded its data. */
async function serves({ deployment }: World): Promise<void> {
  const deadline = performance.now() + SERVES_WITHIN_MS
  while ((await deployment.redis.ping().catch(() => '')) !== 'PONG') {
    if (performance.now() > deadline) throw new Error('Redis does not come back')
    await pause(10)
  }
}

/** Redis dies, and what its `appendfsync` had not brought to the disk dies with it. */
async function losePower(world: World): Promise<boolean> {
  const { audit, deployment, durability } = world
  if (durability === 'disk') {
    // Redis answers when it is on the disk, so all is gone that nobody was answered: the file ends after the last answer.
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
  // The disk was told a second ago.
  await pause(FSYNC_EVERY_MS)
  let isCut = false
  await restart(world, 'power-loss', async current => {
    isCut = current === file
    if (isCut) await truncate(file, size)
  })
  return isCut
}

/** How long a commit waits so that the next one has something to do. */
const GATHER_MS = 200

/** How often it is tried to strike so fast that an analyzer still has its lease afterwards. */
const CUTS_MAX = 8

/**
 * Redis loses the last commit of a partition and what came after it, while the next commit of that partition is on its way.
 * That one begins where Redis no longer stands, and is sent again as soon as Redis is back.
 */
async function cutCommitOff(world: World): Promise<boolean> {
  const { audit, deployment } = world
  for (let attempt = 0; attempt < CUTS_MAX; attempt++) {
    let struckAt = Number.POSITIVE_INFINITY
    let next: ReturnType<typeof parseCommit>
    let renewed: number | undefined
    await compactAof(deployment.redis)
    // The lease has all of its life before it.
    await world.strikeOnce({
      point: 'delivered',
      nth: 1,
      matches: ({ command, reply }) => command.name === 'renew' && reply?.toString() === ':1\r\n',
      act({ command }) {
        renewed = command.partition
        return PASS
      },
    })
    const isRenewed = ({ command }: Exchange): boolean => command.name === 'commit' && command.partition === renewed
    let struck: Promise<boolean> = Promise.resolve(false)
    await world.strikeOnce({
      point: 'arriving',
      nth: 1,
      matches: isRenewed,
      async act({ command }) {
        const last = parseCommit(command, new Map())
        // Entries of the next commit come while this one waits, so that they stand before it in the file and stay.
        await pause(GATHER_MS)
        struck = world.strikeOnce({
          point: 'arriving',
          nth: 1,
          matches: exchange => isRenewed(exchange) && parseCommit(exchange.command, new Map())?.from === last?.to,
          async act(exchange) {
            next = parseCommit(exchange.command, new Map())
            const partition = next?.partition ?? 0
            await restart(world, 'aof-cut-commit', file => {
              struckAt = performance.now()
              return cutLastCommit(file, partition)
            })
            return { kind: 'cut' }
          },
        })
        return PASS
      },
    })
    const hasStruck = await struck
    if (!hasStruck) return false
    // Its owner has sent it again, with the lease that it had.
    const isAgain = (): boolean =>
      audit.commits.some(
        ({ token, from, at, outcome }) =>
          token === next?.token && from === next.from && at > struckAt && (outcome === 'stale' || outcome === 'ok'),
      )
    if (await audit.until(isAgain, 2 * world.leaseMs)) return true
  }
  return false
}

/** The primary dies, and a replica that had not heard of the last `lagMs` takes its place. */
async function failOver(world: World, lagMs: number): Promise<void> {
  const { deployment, redis: primary, audit, durability } = world
  if (primary === undefined) throw new Error('a cluster fails over by itself')
  const options = { args: redisArgs(durability), audit, rules: deployment.rules }
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
  await world.noteLoss('fail-over', killedAt)
  setModes(deployment, 'pass')
  await primary[Symbol.asyncDispose]()
  // It takes nothing until it has a replica of its own.
  if (durability === 'replicated') world.replica = await Replica.follow(promoted, options)
}

/** Redis is at its limit for a while: ingest is refused, analysing goes on, and both recover by themselves. */
async function runOutOfMemory(world: World, ms: number): Promise<boolean> {
  const { deployment, traffic, breach } = world
  const refusedBefore = traffic.answers.unavailable
  const used = Number(/used_memory:(\d+)/.exec(await deployment.redis.info('memory'))?.[1])
  await deployment.redis.config('SET', 'maxmemory', String(used + MEMORY_LEFT_BYTES))
  await pause(ms)
  const states = await readPartitionStates(deployment.redis, deployment.options.partitions)
  const waiting = states.reduce((sum, { accepted, offset }) => sum + accepted - offset, 0)
  // Nothing comes in, so whoever commits has drained the backlog by now.
  if (waiting > 100) breach(`R6: ${waiting} samples wait ${ms} ms after Redis ran out of memory: commits do not go on`)
  await deployment.redis.config('SET', 'maxmemory', '0')
  return traffic.answers.unavailable > refusedBefore
}
