import { pause } from '@tidemark/shared/runtime/lifecycle'
import { CRASH_POINTS, type CrashPoint, type CrashPointName, hasEntries } from './crash-point.ts'
import type { Slot } from './deployment.ts'
import type { Role, ServiceProcess } from './process.ts'
import type { Effect, Exchange } from './proxy.ts'
import { PASS } from './proxy.ts'
import { keys } from './redis-client.ts'
import { injectRedisFault } from './redis-faults.ts'
import type { Fault } from './schedule.ts'
import type { World } from './world.ts'

/** How long a stopped process is down before its slot is filled again. */
const DOWN_AFTER_STOP_MS = 50

/** A partition with traffic detects a stolen entry within this time. */
const DETECTED_WITHIN_MS = 1500

/** How many reads are intercepted until one has taken entries. */
const STEALS_MAX = 8

/** Injects one fault and waits for its effect. Killed processes are restarting afterwards. */
export async function inject(fault: Fault, world: World): Promise<void> {
  world.history.note('fault', { ...fault })
  const end = disturbsAnalyzers(fault) ? world.deployment.disturbances.begin() : undefined
  const isInjected = await injectKind(fault, world)
  end?.()
  // A fault may get no opportunity, for example because a busy machine lets a lease expire first.
  world.count(isInjected ? nameOf(fault) : `${nameOf(fault)}: no opportunity`)
}

/** Returns false only for faults that certainly cannot delay a takeover. */
function disturbsAnalyzers(fault: Fault): boolean {
  switch (fault.kind) {
    case 'cut-append':
    case 'poison':
      return false
    case 'kill':
    case 'reset':
    case 'net':
      return fault.role === 'analyzer'
    default:
      return true
  }
}

/** Returns the name of a fault in the report. */
export function nameOf(fault: Fault): string {
  switch (fault.kind) {
    case 'crash':
      return `crash ${fault.at}`
    case 'kill':
    case 'stop':
    case 'reset':
      return `${fault.kind} ${fault.role}`
    case 'cut-commit':
      return `${fault.kind} ${fault.how}`
    case 'cut-append':
      return `cut-${fault.script} ${fault.how}`
    case 'net':
      return `net ${fault.mode} ${fault.role}`
    default:
      return fault.kind
  }
}

async function injectKind(fault: Fault, world: World): Promise<boolean> {
  switch (fault.kind) {
    case 'crash':
      return crash(world, fault.at, fault.nth, fault.downMs)
    case 'kill': {
      const slot = slotOf(world, fault.role, fault.index)
      world.kill(slot)
      refill(world, slot, fault.downMs)
      return true
    }
    case 'stop': {
      const slot = slotOf(world, fault.role, fault.index)
      await world.deployment.stop(slot)
      refill(world, slot, DOWN_AFTER_STOP_MS)
      return true
    }
    case 'pause':
      return freezeFor(world, slotOf(world, 'analyzer', fault.index), fault.leases * world.leaseMs)
    case 'zombie-commit':
      return zombieCommit(world, fault.nth)
    case 'zombie-read':
      return zombieRead(world, fault.nth)
    case 'late-commit':
      return lateCommit(world, fault.nth)
    case 'stolen-read':
      return stolenRead(world, fault.nth)
    case 'cut-commit':
      return cut(world, 'commit', fault.how, fault.nth)
    case 'cut-append':
      return cut(world, fault.script, fault.how, fault.nth)
    case 'net':
      return disturb(world, fault)
    case 'reset':
      slotOf(world, fault.role, fault.index).proxy?.reset()
      return true
    case 'poison': {
      const stream = keys.partition(fault.partition).samples
      const id = await world.deployment.redis.xadd(stream, '*', 's', '["half a sam')
      world.poisons.push(`${fault.partition}:${id}`)
      return true
    }
    case 'scale-storm':
      for (const size of fault.sizes) await scale(world, size)
      return true
    default:
      return injectRedisFault(fault, world)
  }
}

function slotOf({ deployment }: World, role: Role, index: number): Slot {
  const slots = role === 'gateway' ? deployment.gateways : deployment.analyzers
  const slot = slots[index % slots.length]
  if (slot === undefined) throw new Error(`there is no ${role}`)
  return slot
}

/** Restarts the process of a slot after a while, as an orchestrator would. */
function refill(world: World, slot: Slot, downMs: number): void {
  const { deployment, violation } = world
  void (async () => {
    await pause(downMs)
    if (slot.process !== undefined || slot.isSpare === true) return
    await deployment.start(slot)
  })().catch((error: unknown) => violation(`I9: ${slot.role} ${slot.index} did not restart: ${String(error)}`))
}

/** Kills the first analyzer that reaches the given point of its work. */
async function crash(world: World, at: CrashPointName, nth: number, downMs: number): Promise<boolean> {
  const { point, matches, effect, isDuringTakeover }: CrashPoint = CRASH_POINTS[at]
  const kill = ({ proxy }: Exchange): Effect => {
    const slot = world.deployment.slotAt(proxy)
    if (slot === undefined) return PASS
    world.kill(slot)
    refill(world, slot, downMs)
    return { kind: effect }
  }
  const isFromAnalyzer = ({ proxy }: Exchange): boolean => world.deployment.slotAt(proxy)?.role === 'analyzer'
  const isMatch = (exchange: Exchange): boolean => isFromAnalyzer(exchange) && matches(exchange)
  if (isDuringTakeover !== true) return world.interceptOnce({ point, nth, matches: isMatch, act: kill })
  // One analyzer crashes with pending entries, and the next one crashes while it takes them over.
  const intercepted = world.interceptOnce({ point, nth: 1, matches: isMatch, act: kill })
  const first = await crash(world, 'after_read', nth, downMs)
  return (await intercepted) && first
}

async function freezeFor(world: World, slot: Slot, ms: number): Promise<boolean> {
  const { process } = slot
  if (process === undefined) return true
  world.deployment.counts.pauses++
  process.freeze()
  await pause(ms)
  process.thaw()
  return true
}

function thawLater({ deployment }: World, process: ServiceProcess, ms: number): void {
  setTimeout(() => {
    process.thaw()
    deployment.disturbances.note()
  }, ms)
}

/** Resolves with true once another token holds the lease; with false after a timeout. */
function waitForTakeover(world: World, partition: number, token: string | undefined): Promise<boolean> {
  return world.audit.until(() => world.audit.holder(partition) !== token, 10 * world.leaseMs)
}

async function zombieCommit(world: World, nth: number): Promise<boolean> {
  let isTaken = false
  const intercepted = await world.interceptOnce({
    point: 'arriving',
    nth,
    matches: ({ command }) => command.name === 'commit',
    async act({ command, proxy }) {
      const process = world.deployment.slotAt(proxy)?.process
      if (process === undefined || command.partition === undefined) return PASS
      world.deployment.counts.pauses++
      process.freeze()
      isTaken = await waitForTakeover(world, command.partition, world.audit.holder(command.partition))
      thawLater(world, process, 100)
      return PASS
    },
  })
  return intercepted && isTaken
}

/** Intercepts reads until one takes entries with an effect. Without entries it proves nothing. */
async function stealRead(
  world: World,
  steal: () => Promise<Exchange | undefined>,
  hasEffect: (exchange: Exchange) => Promise<boolean> = async () => true,
): Promise<boolean> {
  for (let attempt = 0; attempt < STEALS_MAX; attempt++) {
    const exchange = await steal()
    if (exchange === undefined) return false
    await world.audit.until(() => exchange.reply !== undefined, 1500)
    if (hasEntries(exchange) && (await hasEffect(exchange))) return true
  }
  return false
}

function stolenRead(world: World, nth: number): Promise<boolean> {
  return stealRead(world, async () => {
    let stolen: Exchange | undefined
    await world.interceptOnce({
      point: 'forwarded',
      nth,
      matches: ({ command }) => command.name === 'read',
      act(exchange) {
        stolen = exchange
        return { kind: 'orphan' }
      },
    })
    return stolen
  })
}

function zombieRead(world: World, nth: number): Promise<boolean> {
  const { audit, deployment } = world
  let from = 0
  const steal = async (): Promise<Exchange | undefined> => {
    let stolen: Exchange | undefined
    await world.interceptOnce({
      point: 'arriving',
      nth,
      matches: ({ command }) => command.name === 'read',
      async act(exchange) {
        const process = deployment.slotAt(exchange.proxy)?.process
        if (process === undefined) return PASS
        deployment.counts.pauses++
        process.freeze()
        from = performance.now()
        // Replies to what it sent before it was frozen may still arrive.
        const isOwn = ({ token }: { token: string }): boolean => token.startsWith(`${process.name}:`)
        const continues = (partition: number): boolean =>
          audit.commits.some(one => one.partition === partition && one.result === 'ok' && one.at > from && !isOwn(one))
        // New owners must have read the pending entries, or they would find the stolen ones there.
        if (await audit.until(() => partitionsOf(exchange).every(continues), 10 * world.leaseMs)) stolen = exchange
        thawLater(world, process, 1000)
        return { kind: 'orphan' }
      },
    })
    return stolen
  }
  // The owner detects the theft by a gap: its next commit skips the stolen entries.
  const isDetected = (exchange: Exchange): Promise<boolean> => {
    const partitions = new Set(partitionsOf(exchange))
    const isGap = (): boolean =>
      audit.commits.some(one => partitions.has(one.partition) && one.result === 'gap' && one.at > from)
    return audit.until(isGap, DETECTED_WITHIN_MS)
  }
  return stealRead(world, steal, isDetected)
}

/** Returns the partitions whose streams a read names. */
function partitionsOf({ command }: Exchange): number[] {
  const streams = command.args.map(arg => /\{(\d+)\}:samples$/.exec(arg.toString('latin1', 0, 64))?.[1])
  return streams.flatMap(partition => (partition === undefined ? [] : [Number(partition)]))
}

async function lateCommit(world: World, nth: number): Promise<boolean> {
  const { audit } = world
  let isLate = false
  const delivered = Promise.withResolvers<void>()
  const intercepted = await world.interceptOnce({
    point: 'arriving',
    nth,
    matches: ({ command }) => command.name === 'commit',
    act({ command }) {
      const from = performance.now()
      const isLater = (): boolean =>
        audit.commits.filter(
          ({ partition, result, at }) => partition === command.partition && result === 'ok' && at > from,
        ).length >= 2
      void audit.until(isLater, 10 * world.leaseMs).then(is => {
        isLate = is
        delivered.resolve()
      })
      return { kind: 'defer', until: delivered.promise }
    },
  })
  await delivered.promise
  return intercepted && isLate
}

function cut(
  world: World,
  name: string,
  how: 'before' | 'torn' | 'sent' | 'replied' | 'late',
  nth: number,
): Promise<boolean> {
  const matches = ({ command }: Exchange): boolean => command.name === name
  switch (how) {
    case 'before':
      return world.interceptOnce({ point: 'arriving', nth, matches, act: () => ({ kind: 'cut' }) })
    case 'torn':
      return world.interceptOnce({ point: 'arriving', nth, matches, act: () => ({ kind: 'tear' }) })
    case 'sent':
      return world.interceptOnce({ point: 'forwarded', nth, matches, act: () => ({ kind: 'orphan' }) })
    case 'replied':
      return world.interceptOnce({ point: 'replied', nth, matches, act: () => ({ kind: 'cut' }) })
    case 'late':
      return world.interceptOnce({ point: 'arriving', nth, matches, act: () => ({ kind: 'defer', until: pause(300) }) })
  }
}

/** Disturbs the connection of one process to Redis for a while. */
async function disturb(world: World, fault: Fault & { readonly kind: 'net' }): Promise<boolean> {
  const { proxy } = slotOf(world, fault.role, fault.index)
  if (proxy === undefined) return true
  if (fault.mode === 'slow') proxy.delayMs = 40
  else proxy.mode = fault.mode
  await pause(fault.leases * world.leaseMs)
  proxy.delayMs = 0
  // Held bytes are delivered late, as after a network outage, or are lost with their connections.
  if (fault.heal === 'reset') proxy.reset()
  proxy.mode = 'pass'
  return true
}

/** Scales the analyzers to `size`, gracefully, as an autoscaler would. */
async function scale(world: World, size: number): Promise<void> {
  const { deployment, history } = world
  history.note('scale', { size })
  const changes: Promise<unknown>[] = []
  for (const [index, slot] of deployment.analyzers.entries()) {
    slot.isSpare = index >= size
    if (slot.isSpare) changes.push(deployment.stop(slot))
    else if (slot.process === undefined) changes.push(deployment.start(slot))
  }
  for (let i = deployment.analyzers.length; i < size; i++) changes.push(deployment.add('analyzer'))
  await Promise.all(changes)
  await pause(2 * world.leaseMs)
}
