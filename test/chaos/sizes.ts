import type { RunOptions } from './run.ts'
import { clusterSchedule, type FaultKind, longSchedule, type Schedule, shortSchedule } from './schedule.ts'

type Size = Omit<RunOptions, 'seed' | 'onProgress'>

/** What every run has in common with the pods of a small deployment. */
const common = { writers: 8, analyzers: 3, gateways: 2, leaseTtlMs: 1000, batchMax: 60 } as const

/** Part of `npm test`: every kind of trouble once or twice, as fast as the processes start again. */
export const SHORT: Size = {
  ...common,
  // Long enough for an analyzer to have its lease still when Redis was killed and is back.
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

export interface LongOptions {
  readonly minutes: number
  readonly samples: number
  /** Only faults of these kinds; all when there is none. */
  readonly only: readonly FaultKind[]
}

/** In less time there are fewer faults. */
const ALL_FAULTS_MINUTES = 8

export const LONG_DEFAULTS: LongOptions = { minutes: 15, samples: 300_000, only: [] }

/** `npm run chaos`: everything many times over, and what loses data. */
export function longRun({ minutes, samples, only }: LongOptions): Size {
  const partitions = 16
  const calmMs = Math.min(60_000, (minutes * 60_000) / 10)
  const spreadMs = minutes * 60_000 - calmMs
  const pick = (schedule: Schedule): Schedule => schedule.filter(({ kind }) => only.length === 0 || only.includes(kind))
  return {
    ...common,
    samples,
    leaseTtlMs: 1500,
    keys: 20_000,
    isZipf: true,
    partitions,
    rate: Math.ceil((samples * 1000) / spreadMs),
    spreadMs,
    calmMs,
    schedule: random => pick(longSchedule(random, partitions, Math.min(1, minutes / ALL_FAULTS_MINUTES))),
  }
}

/** On a cluster, with a master killed and slots moved under load. */
export const CLUSTER: Size = {
  ...common,
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
