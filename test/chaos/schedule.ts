import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import type { Random } from '@tidemark/testkit/random'
import { CRASH_POINT_NAMES, type CrashPointName } from './crash-point.ts'
import type { Role } from './process.ts'

/** One fault. Random choices are made when the schedule is created. */
export type Fault =
  | { readonly kind: 'crash'; readonly at: CrashPointName; readonly nth: number; readonly downMs: number }
  | { readonly kind: 'kill'; readonly role: Role; readonly index: number; readonly downMs: number }
  | { readonly kind: 'stop'; readonly role: Role; readonly index: number }
  /** Frozen for longer than the lease, at any point of its work. */
  | { readonly kind: 'pause'; readonly index: number; readonly leases: number }
  /** Frozen while a commit is in flight. It arrives after another analyzer took the lease. */
  | { readonly kind: 'zombie-commit'; readonly nth: number }
  /** Frozen while a read is in flight. It arrives after a takeover and takes new entries. */
  | { readonly kind: 'zombie-read'; readonly nth: number }
  /** A commit is held while its connection ends. It arrives after it was resent. */
  | { readonly kind: 'late-commit'; readonly nth: number }
  /** Redis delivers entries to a connection whose client is gone. */
  | { readonly kind: 'stolen-read'; readonly nth: number }
  | { readonly kind: 'cut-commit'; readonly how: 'before' | 'torn' | 'sent' | 'replied'; readonly nth: number }
  | {
      readonly kind: 'cut-append'
      /** `append-once` and `claim-request` belong to requests with an Idempotency-Key. */
      readonly script: 'append' | 'append-once' | 'claim-request'
      readonly how: 'before' | 'torn' | 'sent' | 'replied' | 'late'
      readonly nth: number
    }
  | {
      readonly kind: 'net'
      readonly role: Role
      readonly index: number
      readonly mode: 'hole' | 'deaf' | 'refuse' | 'slow'
      readonly leases: number
      readonly heal: 'release' | 'reset'
    }
  | { readonly kind: 'reset'; readonly role: Role; readonly index: number }
  | { readonly kind: 'poison'; readonly partition: number }
  | { readonly kind: 'script-flush' }
  | { readonly kind: 'scale-storm'; readonly sizes: readonly number[] }
  | { readonly kind: 'redis-kill'; readonly downMs: number }
  | { readonly kind: 'redis-freeze'; readonly ms: number }
  /** Redis loses the last commit of a partition while the next one is in flight. */
  | { readonly kind: 'aof-cut-commit' }
  /** The end of the append-only file is lost, as by a damaged disk. */
  | { readonly kind: 'aof-cut'; readonly bytes: number }
  /** Redis is killed and loses what `appendfsync` had not yet written to disk. */
  | { readonly kind: 'power-loss' }
  | { readonly kind: 'failover'; readonly lagMs: number }
  | { readonly kind: 'out-of-memory'; readonly ms: number }
  | { readonly kind: 'flush-all' }
  /** Cluster only: a master is killed, and its replica takes over. */
  | { readonly kind: 'master-kill'; readonly master: number }
  | { readonly kind: 'reshard'; readonly partitions: readonly number[] }

export type FaultKind = Fault['kind']

/** Faults in the order of injection. */
export type Schedule = readonly Fault[]

const ANALYZERS = 3
const GATEWAYS = 2

/** Creates a fault from a random generator and the fault's index among its kind. */
type Maker = (random: Random, i: number) => Fault

const HOWS = ['before', 'torn', 'sent', 'replied'] as const
const APPEND_HOWS = [...HOWS, 'late'] as const

const crash: Maker = (random, i) => ({
  kind: 'crash',
  at: CRASH_POINT_NAMES[i % CRASH_POINT_NAMES.length] ?? 'after_read',
  nth: random.integer(1, 4),
  downMs: random.integer(0, 300),
})
const kill: Maker = random => ({
  kind: 'kill',
  role: 'analyzer',
  index: random.integer(0, ANALYZERS - 1),
  downMs: random.integer(0, 500),
})
const killGateway: Maker = (random, i) => ({
  kind: 'kill',
  role: 'gateway',
  index: i % GATEWAYS,
  downMs: random.integer(0, 300),
})
const stop: Maker = (random, i) =>
  i % 2 === 0
    ? { kind: 'stop', role: 'analyzer', index: random.integer(0, ANALYZERS - 1) }
    : { kind: 'stop', role: 'gateway', index: random.integer(0, GATEWAYS - 1) }
const pauseOne: Maker = random => ({
  kind: 'pause',
  index: random.integer(0, ANALYZERS - 1),
  leases: 1.3 + random.uniform(),
})
const zombieCommit: Maker = random => ({ kind: 'zombie-commit', nth: random.integer(1, 10) })
const zombieRead: Maker = random => ({ kind: 'zombie-read', nth: random.integer(1, 10) })
const lateCommit: Maker = random => ({ kind: 'late-commit', nth: random.integer(1, 10) })
const stolenRead: Maker = random => ({ kind: 'stolen-read', nth: random.integer(1, 10) })
const cutCommit: Maker = (random, i) => ({
  kind: 'cut-commit',
  how: HOWS[i % HOWS.length] ?? 'sent',
  nth: random.integer(1, 9),
})
const cutAppend: Maker = (random, i) => ({
  kind: 'cut-append',
  script: 'append',
  how: APPEND_HOWS[i % APPEND_HOWS.length] ?? 'sent',
  nth: random.integer(1, 9),
})
/** Every sixth time the claim is cut instead of the append. */
const cutIdempotent: Maker = (random, i) => ({
  kind: 'cut-append',
  script: i % 6 === 5 ? 'claim-request' : 'append-once',
  how: i % 6 === 5 ? random.pick(HOWS) : (APPEND_HOWS[i % 6] ?? 'sent'),
  nth: random.integer(1, 9),
})
const net: Maker = (random, i) => ({
  kind: 'net',
  role: i % 3 === 2 ? 'gateway' : 'analyzer',
  index: random.integer(0, 1),
  mode: (['hole', 'deaf', 'refuse', 'slow'] as const)[i % 4] ?? 'hole',
  leases: 0.5 + 1.5 * random.uniform(),
  heal: random.uniform() < 0.5 ? 'release' : 'reset',
})
const reset: Maker = random => ({
  kind: 'reset',
  role: random.pick(['analyzer', 'gateway']),
  index: random.integer(0, 1),
})
const poison: (partitions: number) => Maker = partitions => random => ({
  kind: 'poison',
  partition: random.integer(0, partitions - 1),
})
const redisKill: Maker = random => ({ kind: 'redis-kill', downMs: random.integer(0, 1500) })
const powerLoss: Maker = () => ({ kind: 'power-loss' })
const aofCut: Maker = random => ({ kind: 'aof-cut', bytes: random.integer(1, 60_000) })
const failover: Maker = random => ({ kind: 'failover', lagMs: random.integer(100, 800) })
const storm: Maker = random => ({ kind: 'scale-storm', sizes: [1, 6, 1, random.integer(2, 5), ANALYZERS] })

function times(count: number, make: Maker, random: Random): Fault[] {
  return Array.from({ length: count }, (_, i) => make(random, i))
}

/** Every crash point, at least 12 kills, 3 pauses longer than the lease, and one kill of Redis. */
export function shortSchedule(random: Random, partitions: number): Schedule {
  return random.shuffled([
    ...times(CRASH_POINT_NAMES.length, crash, random),
    ...times(1, kill, random),
    ...times(1, killGateway, random),
    ...times(2, stop, random),
    ...times(1, pauseOne, random),
    ...times(1, zombieCommit, random),
    ...times(2, zombieRead, random),
    ...times(2, lateCommit, random),
    ...times(2, stolenRead, random),
    ...times(4, cutCommit, random),
    ...times(5, cutAppend, random),
    ...times(6, cutIdempotent, random),
    ...times(2, net, random),
    ...times(1, reset, random),
    ...times(2, poison(partitions), random),
    { kind: 'script-flush' },
    { kind: 'redis-kill', downMs: random.integer(0, 300) },
    { kind: 'aof-cut-commit' },
  ])
}

/** How many of these a full long run has. */
const AOF_CUT_COMMITS = 5

/** Faults before everything in Redis is deleted. */
const FLUSH_AFTER = 10

/** The short schedule many times over, plus slow and lossy faults. A `share` of 1 is a full run. */
export function longSchedule(random: Random, partitions: number, share: number): Schedule {
  const n = (count: number): number => Math.max(1, Math.round(count * share))
  const faults: Fault[] = random.shuffled([
    ...times(n(54), crash, random),
    ...times(n(36), kill, random),
    ...times(n(14), killGateway, random),
    ...times(n(8), stop, random),
    ...times(n(8), pauseOne, random),
    ...times(n(8), zombieCommit, random),
    ...times(n(6), zombieRead, random),
    ...times(n(12), lateCommit, random),
    ...times(n(12), stolenRead, random),
    ...times(n(40), cutCommit, random),
    ...times(n(20), cutAppend, random),
    ...times(n(24), cutIdempotent, random),
    ...times(n(16), net, random),
    ...times(n(6), reset, random),
    ...times(n(10), poison(partitions), random),
    ...times(n(3), () => ({ kind: 'script-flush' }) as const, random),
    ...times(n(3), storm, random),
    ...times(n(3), redisKill, random),
    ...times(n(3), chance => ({ kind: 'redis-freeze', ms: chance.integer(500, 4000) }), random),
    ...times(n(AOF_CUT_COMMITS), () => ({ kind: 'aof-cut-commit' }) as const, random),
    ...times(n(3), aofCut, random),
    ...times(n(3), powerLoss, random),
    ...times(n(2), failover, random),
    ...times(n(2), () => ({ kind: 'out-of-memory', ms: 3000 }), random),
  ])
  // Early, because earlier verdicts cannot be verified afterwards: their input is deleted.
  return [...faults.slice(0, FLUSH_AFTER), { kind: 'flush-all' }, ...faults.slice(FLUSH_AFTER)]
}

/** The faults that a durability level is guaranteed to survive, `count` of each. */
export function guaranteedSchedule(random: Random, level: DurabilityLevel, count: number): Schedule {
  const [first, second] = level === 'replicated' ? [redisKill, failover] : [redisKill, powerLoss]
  return random.shuffled([
    ...times(count, first, random),
    ...times(count, second, random),
    ...times(2 * count, cutIdempotent, random),
    ...times(count, kill, random),
  ])
}

/** The same, and faults that the level does not survive, to measure the loss. */
export function levelSchedule(random: Random, level: DurabilityLevel, count: number): Schedule {
  const beyond = level === 'replicated' ? [powerLoss, aofCut] : [failover, aofCut]
  return random.shuffled([
    ...guaranteedSchedule(random, level, count),
    ...beyond.flatMap(make => times(count, make, random)),
  ])
}

/** The faults that a cluster supports, with failovers and slot migrations in between. */
export function clusterSchedule(random: Random, partitions: number): Schedule {
  const reshard: Maker = chance => ({
    kind: 'reshard',
    partitions: chance.shuffled(Array.from({ length: partitions }, (_, i) => i)).slice(0, 3),
  })
  const masterKill: Maker = chance => ({ kind: 'master-kill', master: chance.integer(0, 2) })
  return [
    ...random.shuffled([
      ...times(6, kill, random),
      ...times(2, killGateway, random),
      ...times(2, stop, random),
      ...times(2, pauseOne, random),
      ...times(2, lateCommit, random),
      ...times(4, cutCommit, random),
      ...times(5, cutAppend, random),
      ...times(2, reshard, random),
    ]),
    ...times(1, masterKill, random),
    ...times(2, kill, random),
    ...times(2, cutCommit, random),
    ...times(1, reshard, random),
  ]
}
