import type { LabelWindow } from './labels.ts'

const DAY_MS = 86_400_000

/**
 * The counts of a variant on files. `keyMs` is the time that the keys' samples cover, summed over
 * keys; `cpuMs` the CPU time to score `timed` samples.
 */
const COUNTS = [
  'rows',
  'samples',
  'rejected',
  'warming',
  'late',
  'duplicates',
  'ignored',
  'levelShifts',
  'silences',
  'keyMs',
  'cpuMs',
  'timed',
] as const

/**
 * How well events (flags or alerts) match the labelled windows: `count` events, some `inside` a
 * window; `windows`, some `found`; `delaysMs` is the sum from their starts to their first events.
 */
const HITS = ['count', 'inside', 'windows', 'found', 'delaysMs'] as const

export type Hits = Record<(typeof HITS)[number], number>

/** The counts of one variant over one or more files. */
export interface Tally extends Record<(typeof COUNTS)[number], number> {
  readonly flagged: Hits
  readonly alerts: Hits
  /** Whether there are labels: precision and recall need them. */
  isLabelled: boolean
}

export function createTally(): Tally {
  return { ...zeros(COUNTS), flagged: zeros(HITS), alerts: zeros(HITS), isLabelled: false }
}

function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map(name => [name, 0])) as Record<Name, number>
}

/** Compares the events of one file with its windows. */
export class HitCounter {
  readonly #hits: Hits
  readonly #windows: readonly LabelWindow[]
  /** The time of the first event in each window; Infinity without one. */
  readonly first: number[]

  constructor(hits: Hits, windows: readonly LabelWindow[]) {
    this.#hits = hits
    this.#windows = windows
    this.first = windows.map(() => Number.POSITIVE_INFINITY)
    hits.windows += windows.length
  }

  /** Records an event. Returns whether it is inside a window. */
  hit(timestamp: number): boolean {
    this.#hits.count++
    let isInside = false
    for (const [index, { start, end }] of this.#windows.entries()) {
      if (timestamp < start || timestamp > end) continue
      isInside = true
      const before = this.first[index] as number
      if (timestamp >= before) continue
      if (before === Number.POSITIVE_INFINITY) this.#hits.found++
      else this.#hits.delaysMs -= before - start
      this.#hits.delaysMs += timestamp - start
      this.first[index] = timestamp
    }
    if (isInside) this.#hits.inside++
    return isInside
  }
}

/** Adds the counts of another file. */
export function addTally(total: Tally, part: Tally): void {
  for (const name of COUNTS) total[name] += part[name]
  for (const name of HITS) total.flagged[name] += part.flagged[name]
  for (const name of HITS) total.alerts[name] += part.alerts[name]
  total.isLabelled ||= part.isLabelled
}

/** Returns the share of events inside a window; NaN without events. */
export function precision({ count, inside }: Hits): number {
  return inside / count
}

/** Returns the share of windows with an event; NaN without windows. */
export function recall({ found, windows }: Hits): number {
  return found / windows
}

/** Returns the mean time from a window's start to its first event; NaN if none was found. */
export function meanDelayMs({ found, delaysMs }: Hits): number {
  return delaysMs / found
}

/** Returns how many alerts opened per key and day; NaN if the samples cover no time. */
export function alertsPerKeyDay({ alerts, keyMs }: Tally): number {
  return keyMs > 0 ? alerts.count / (keyMs / DAY_MS) : Number.NaN
}

/** With fewer samples, most of the time is that of code that is not compiled yet. */
const TIMED_MIN = 10_000

/** Returns the CPU nanoseconds per sample; NaN if it was not measured with enough samples. */
export function costNs({ cpuMs, timed }: Tally): number {
  return timed >= TIMED_MIN ? (cpuMs * 1e6) / timed : Number.NaN
}
