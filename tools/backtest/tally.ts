import type { LabelWindow } from './labels.ts'

const DAY_MS = 86_400_000

/** How well events (flags or alerts) match the labelled windows. */
export interface Hits {
  /** Events, and the events inside a window. */
  count: number
  inside: number
  /** Windows, and the windows with an event. */
  windows: number
  found: number
  /** Sum over the found windows: from the window's start to its first event. */
  delaysMs: number
}

/** The counts of one variant over one or more files. */
export interface Tally {
  rows: number
  samples: number
  rejected: number
  warming: number
  late: number
  duplicates: number
  levelShifts: number
  spanMs: number
  readonly flagged: Hits
  readonly alerts: Hits
  /** Whether there are labels: precision and recall need them. */
  isLabelled: boolean
}

export function createTally(): Tally {
  const hits = (): Hits => ({ count: 0, inside: 0, windows: 0, found: 0, delaysMs: 0 })
  return {
    rows: 0,
    samples: 0,
    rejected: 0,
    warming: 0,
    late: 0,
    duplicates: 0,
    levelShifts: 0,
    spanMs: 0,
    flagged: hits(),
    alerts: hits(),
    isLabelled: false,
  }
}

/** Compares the events of one file with its windows. */
export class HitCounter {
  readonly #hits: Hits
  readonly #windows: readonly LabelWindow[]
  readonly #first: number[]

  constructor(hits: Hits, windows: readonly LabelWindow[]) {
    this.#hits = hits
    this.#windows = windows
    this.#first = windows.map(() => Number.POSITIVE_INFINITY)
    hits.windows += windows.length
  }

  /** Records an event. */
  hit(timestamp: number): void {
    this.#hits.count++
    let isInside = false
    for (const [index, { start, end }] of this.#windows.entries()) {
      if (timestamp < start || timestamp > end) continue
      isInside = true
      const before = this.#first[index] as number
      if (timestamp >= before) continue
      if (before === Number.POSITIVE_INFINITY) this.#hits.found++
      else this.#hits.delaysMs -= before - start
      this.#hits.delaysMs += timestamp - start
      this.#first[index] = timestamp
    }
    if (isInside) this.#hits.inside++
  }
}

/** Adds the counts of another file. */
export function addTally(total: Tally, part: Tally): void {
  for (const name of ['rows', 'samples', 'rejected', 'warming', 'late', 'duplicates', 'levelShifts', 'spanMs'] as const)
    total[name] += part[name]
  for (const name of ['flagged', 'alerts'] as const) {
    for (const count of ['count', 'inside', 'windows', 'found', 'delaysMs'] as const)
      total[name][count] += part[name][count]
  }
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

export function perDay(count: number, spanMs: number): number {
  return count / (spanMs / DAY_MS)
}
