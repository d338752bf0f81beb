import { pause } from '@tidemark/shared/runtime/lifecycle'
import { keys, type RedisClient } from './redis-client.ts'

/** Registered keys of each partition that never send, and the time over which they become idle. */
const PER_PARTITION = 100
const SPREAD_MS = 10_000

const OWNER = 'idle'
const EVICTED_WITHIN_MS = 100_000

/** A round of the sweep looks at each key once. */
const ROUND_SHARE = 1 / 10

/** Registers keys that become idle one after another while faults are injected. */
export async function addIdleKeys(redis: RedisClient, partitions: number, ttlMs: number): Promise<void> {
  const begin = Date.now() - ttlMs
  for (let partition = 0; partition < partitions; partition++) {
    const at = keys.partition(partition)
    const fields = Array.from({ length: PER_PARTITION }, (_, n) => [
      `idle-${partition}/${n}`,
      `${begin + Math.round((SPREAD_MS * n) / PER_PARTITION)} ${OWNER}`,
    ])
    await redis.hset(at.keys, Object.fromEntries(fields))
    await redis.hincrby(at.keyOwners, OWNER, PER_PARTITION)
  }
}

/** Waits until all of them are evicted. Returns the violations of their accounting. */
export async function checkIdleKeys(
  redis: RedisClient,
  { partitions, ttlMs, losses }: { readonly partitions: number; readonly ttlMs: number; readonly losses: number },
): Promise<string[]> {
  const deadline = performance.now() + EVICTED_WITHIN_MS + ROUND_SHARE * ttlMs
  const numbers = Array.from({ length: partitions }, (_, partition) => partition)
  for (;;) {
    const states = await Promise.all(numbers.map(partition => stateOf(redis, partition)))
    const violations = states.flatMap(state => violationsIn(state, losses))
    if (violations.length === 0 || performance.now() >= deadline) return violations
    await pause(100)
  }
}

interface State {
  readonly partition: number
  readonly present: number
  /** Keys that are evicted, as the checkpoint and as the count of their owner says. */
  readonly evicted: number
  readonly owned: number
  /** Keys with a window that are not registered. */
  readonly unregistered: readonly string[]
}

async function stateOf(redis: RedisClient, partition: number): Promise<State> {
  const at = keys.partition(partition)
  const [registered, windows, evicted, owned] = await Promise.all([
    redis.hkeys(at.keys),
    redis.hkeys(at.windows),
    redis.hget(at.checkpoint, 'evicted'),
    redis.hget(at.keyOwners, OWNER),
  ])
  const known = new Set(registered)
  return {
    partition,
    present: registered.filter(key => key.startsWith('idle-')).length,
    evicted: Number(evicted),
    owned: Number(owned),
    unregistered: windows.filter(key => !key.startsWith('\u0001') && !known.has(key)),
  }
}

/** What Redis lost may have been registrations and evictions alike. */
function violationsIn({ partition, present, evicted, owned, unregistered }: State, losses: number): string[] {
  const violations: string[] = []
  const where = `keys of partition ${partition}`
  if (present > 0 || owned > 0) violations.push(`${where}: ${present} idle keys are not evicted, ${owned} are counted`)
  if (evicted > PER_PARTITION) violations.push(`${where}: ${evicted} were evicted, of ${PER_PARTITION} idle ones`)
  if (losses > 0) return violations
  if (evicted < PER_PARTITION) violations.push(`${where}: ${evicted} of ${PER_PARTITION} idle ones were evicted`)
  if (unregistered.length > 0) violations.push(`${where}: not registered: ${unregistered.slice(0, 5).join(', ')}`)
  return violations
}
