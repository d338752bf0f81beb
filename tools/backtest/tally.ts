import type { LabelWindow } from './labels.ts'

const DAY_MS = 86_400_000

/** How well something that happens at moments meets the windows that are labelled. */
export interface Hits {
  /** Moments, and those of them that lie in a window. */
  count: number
  inside: number
  /** Windows, and those of them that were hit. */
  windows: number
  found: number
  /** From the start of each window that was hit to its first hit. */
  delaysMs: number
}

/** What one variant made of one or more files. */
export interface Tally {
  rows: number
  samples: number
  refused: number
  warming: number
  late: number
  duplicates: number
  levelShifts: number
  spanMs: number
  readonly flagged: Hits
  readonly alerts: Hits
  /** Whether windows were labelled: without, nothing can be said about hits. */
  isLabelled: boolean
}

export function createTally(): Tally {
  const hits = (): Hits => ({ count: 0, inside: 0, windows: 0, found: 0, delaysMs: 0 })
  return {
    ...{ rows: 0, samples: 0, refused: 0, warming: 0, late: 0, duplicates: 0, levelShifts: 0, spanMs: 0 },
    flagged: hits(),
    alerts: hits(),
    isLabelled: false,
  }
}

/** Counts the moments of one file against its windows. */
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

  /** Something happened at `timestamp`. */
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

/** Adds what was counted on another file. */
export function addTally(total: Tally, part: Tally): void {
  for (const name of ['rows', 'samples', 'refused', 'warming', 'late', 'duplicates', 'levelShifts', 'spanMs'] as const)
    total[name] += part[name]
  for (const name of ['flagged', 'alerts'] as const) {
    for (const count of ['count', 'inside', 'windows', 'found', 'delaysMs'] as const)
      total[name][count] += part[name][count]
  }
  total.isLabelled ||= part.isLabelled
}

/** What of all that happened lies in a window; NaN when nothing did. */
export function precision({ count, inside }: Hits): number {
  return inside / count
}

/** What of all windows was hit; NaN when there is none. */
export function recall({ found, windows }: Hits): number {
  return found / windows
}

/** From a window's start to its first hit, of those that were hit; NaN when none was. */
export function meanDelayMs({ found, delaysMs }: Hits): number {
  return delaysMs / found
}

export function perDay(count: number, spanMs: number): number {
  return count / (spanMs / DAY_MS)
}
