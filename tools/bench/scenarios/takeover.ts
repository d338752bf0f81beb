import { setTimeout as pause } from 'node:timers/promises'
import type { Service } from '../../stack/service-process.ts'
import { openFiller } from '../filler.ts'
import { runProgram } from '../program.ts'
import {
  type BenchRedis,
  drained,
  progressOf,
  startBenchRedis,
  startMeasuredAnalyzer,
  startMeasuredGateway,
} from '../stack.ts'
import type { Subject } from '../subject.ts'
import type { Sent } from './requests.ts'

/** Longer than a batch takes on a busy machine: an owner whose leases expire begins again. */
const LEASES = { LEASE_TTL_MS: '5000', HEARTBEAT_MS: '250' }

/** Samples arrive before the owner is killed, and until another one works. */
const SECONDS_BEFORE = 6
const SECONDS_AFTER = 9

const TAKEN_OVER_WITHIN_MS = 60_000

interface TakeoverOptions {
  readonly keys: number
  /** Samples/s. */
  readonly rate: number
}

/**
 * Kills the owner of the only partition while samples of all its keys arrive (SIGKILL). Another
 * analyzer waits, and takes over when the lease has expired. `firstVerdictMs` begins then.
 */
export async function* takeover(subject: Subject, { keys, rate }: TakeoverOptions) {
  await using redis = await startBenchRedis({ subject, partitions: 1 })
  {
    await using filler = await openFiller(redis)
    await filler.history(keys)
  }
  await using gateway = await startMeasuredGateway(redis)
  await using started = new AsyncDisposableStack()
  const analyzers = new Map<string, Service>()
  started.defer(async () => void (await Promise.all(analyzers.values().map(one => one[Symbol.asyncDispose]()))))
  for (let number = 1; ; number++) {
    while (analyzers.size < 2) {
      const name = `bench-${number}-${analyzers.size}`
      analyzers.set(name, await startMeasuredAnalyzer(redis, { ...LEASES, ANALYZER_ID: name }))
    }
    const seconds = SECONDS_BEFORE + SECONDS_AFTER
    const sending = runProgram<Sent>('./load/steady.ts', [gateway.port, seconds, rate, keys, number])
    const measuring = pause(1000 * SECONDS_BEFORE).then(() => killOwner(redis, analyzers))
    const [{ failed }, measures] = await Promise.all([sending, measuring])
    if (failed > 0) throw new Error(`${failed} requests failed`)
    await drained(redis)
    yield measures
  }
}

/** Kills the owner, and measures until another one has committed verdicts. */
async function killOwner(redis: BenchRedis, analyzers: Map<string, Service>) {
  const deadline = performance.now() + TAKEN_OVER_WITHIN_MS
  const killed = await ownerOf(redis)
  analyzers.get(killed ?? '')?.child.kill()
  if (!analyzers.delete(killed ?? '')) throw new Error(`the partition has no owner of this bench: ${killed}`)
  const killedAt = performance.now()
  let owner: string | null = killed
  let before = 0
  while (owner === killed || owner === null) {
    if (performance.now() > deadline) throw new Error('no other analyzer took over the partition')
    before = (await progressOf(redis)).analysed
    owner = await ownerOf(redis)
    await pause(1)
  }
  const ownedAt = performance.now()
  while ((await progressOf(redis)).analysed === before) {
    if (performance.now() > deadline) throw new Error('the new owner of the partition committed nothing')
    await pause(1)
  }
  return { firstVerdictMs: performance.now() - ownedAt, outageMs: performance.now() - killedAt }
}

async function ownerOf({ store }: BenchRedis): Promise<string | null> {
  const [owner = null] = await store.gateway.owners([0])
  return owner
}
