import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import type { RunOptions } from './run.ts'
import {
  clusterSchedule,
  type FaultKind,
  guaranteedSchedule,
  levelSchedule,
  longSchedule,
  type Schedule,
  shortSchedule,
} from './schedule.ts'

export type Size = Omit<RunOptions, 'seed' | 'onProgress'>

/** What all runs share: a small deployment. */
const common = { writers: 8, analyzers: 3, gateways: 2, leaseTtlMs: 1000, batchMax: 60, durability: 'local' } as const

/** Part of `npm test`: every kind of fault once or twice, as fast as processes restart. */
export const SHORT: Size = {
  ...common,
  // Longer than any key of the traffic is silent, as in the other sizes.
  idleTtlMs: 120_000,
  // Long enough for an analyzer to still hold its lease when Redis is back after a kill.
  leaseTtlMs: 1500,
  samples: 20_000,
  keys: 500,
  isZipf: false,
  partitions: 8,
  rate: 500,
  spreadMs: 0,
  calmMs: 2000,
  schedule: random => shortSchedule(random, 8),
}

/** The guarantee of one durability level, as part of `npm test`. */
export function shortLevel(durability: DurabilityLevel): Size {
  return {
    ...SHORT,
    durability,
    samples: 4000,
    keys: 200,
    calmMs: 1000,
    schedule: random => guaranteedSchedule(random, durability, 2),
  }
}

export interface LongOptions {
  readonly minutes: number
  readonly samples: number
  /** Only faults of these kinds; all kinds if empty. */
  readonly only: readonly FaultKind[]
}

/** Shorter runs have fewer faults. */
const ALL_FAULTS_MINUTES = 8

export const LONG_DEFAULTS: LongOptions = { minutes: 15, samples: 300_000, only: [] }

/** The share of a long run's time for each level above `local`. */
const LEVEL_SHARE = 0.1
const LEVELS = ['disk', 'replicated'] as const

/** `npm run chaos`: all faults at durability `local`, then those that matter to other levels. */
export function longRuns({ minutes, samples, only }: LongOptions): Size[] {
  const first = longRun({ minutes: minutes * (1 - LEVELS.length * LEVEL_SHARE), samples, only })
  if (only.length > 0) return [first]
  return [first, ...LEVELS.map(level => levelRun(level, minutes * LEVEL_SHARE))]
}

/** Most keys of a long run send rarely, some only once. */
const LONG_IDLE_TTL_MS = 3_600_000

/** How often each fault is injected in a run of LEVEL_MINUTES. */
const LEVEL_FAULTS = 4
const LEVEL_MINUTES = 1.5

function levelRun(durability: DurabilityLevel, minutes: number): Size {
  const count = Math.max(1, Math.round((LEVEL_FAULTS * minutes) / LEVEL_MINUTES))
  return {
    ...common,
    idleTtlMs: LONG_IDLE_TTL_MS,
    leaseTtlMs: 1500,
    durability,
    samples: Math.round(10_000 * minutes),
    keys: 2000,
    isZipf: true,
    partitions: 16,
    rate: 400,
    spreadMs: minutes * 60_000,
    calmMs: 4000,
    schedule: random => levelSchedule(random, durability, count),
  }
}

function longRun({ minutes, samples, only }: LongOptions): Size {
  const partitions = 16
  const calmMs = Math.min(60_000, (minutes * 60_000) / 10)
  const spreadMs = minutes * 60_000 - calmMs
  const share = Math.min(1, minutes / ALL_FAULTS_MINUTES)
  const pick = (schedule: Schedule): Schedule => schedule.filter(({ kind }) => only.length === 0 || only.includes(kind))
  return {
    ...common,
    idleTtlMs: LONG_IDLE_TTL_MS,
    samples,
    leaseTtlMs: 1500,
    keys: 20_000,
    isZipf: true,
    partitions,
    rate: Math.ceil((samples * 1000) / spreadMs),
    spreadMs,
    calmMs,
    // This fault needs a rare opportunity, so the run must prove that it occurred.
    injectedMin: share === 1 && only.length === 0 ? { 'aof-cut-commit': 3 } : {},
    schedule: random => pick(longSchedule(random, partitions, share)),
  }
}

/** A Redis cluster: a master is killed and slots are moved under load. */
export const CLUSTER: Size = {
  ...common,
  idleTtlMs: 600_000,
  samples: 20_000,
  keys: 500,
  isZipf: false,
  partitions: 16,
  rate: 400,
  spreadMs: 0,
  calmMs: 3000,
  isCluster: true,
  schedule: random => clusterSchedule(random, 16),
}
