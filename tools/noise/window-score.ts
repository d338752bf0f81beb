import type { Recording } from './labelled.ts'

/** The cost of one false alarm. A found window is worth 1 and a missed window costs 1. */
const FALSE_ALARM = 0.11
/** The first samples do not count: this share of the recording, up to this many samples. */
const UNJUDGED = 0.15
const UNJUDGED_MAX = 750

export interface Scored {
  readonly recording: Recording
  readonly scores: Float64Array
}

/**
 * Returns the score of a detector at a threshold: 100 is perfect, 0 flags nothing. Only the first
 * flag in a window counts, earlier ones more; flags outside are false alarms. Source: Lavin and
 * Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark", 2015.
 */
export function windowScore(scored: readonly Scored[], threshold: number): number {
  let score = 0
  let perfect = 0
  for (const { recording, scores } of scored) {
    score += gain(recording, scores, threshold)
    perfect += recording.windows.length * (1 + weight(-1))
  }
  return (100 * score) / perfect
}

/** Returns the best single threshold for all recordings. */
export function bestThreshold(scored: readonly Scored[]): number {
  const all = scored.flatMap(({ scores }) => [...scores].filter(score => score > 0)).toSorted((a, b) => b - a)
  let best = { threshold: Number.POSITIVE_INFINITY, score: 0 }
  // Each step adds 6 % more scores: smaller steps find no better threshold.
  for (let rank = 1; rank <= Math.min(all.length, 400 * scored.length); rank = Math.ceil(rank * 1.06) + 1) {
    const threshold = all[rank - 1] as number
    const score = windowScore(scored, threshold)
    if (score > best.score) best = { threshold, score }
  }
  return best.threshold
}

/** Returns the score relative to flagging nothing. */
function gain({ windows }: Recording, scores: Float64Array, threshold: number): number {
  const found = new Set<number>()
  let score = 0
  for (let n = Math.min(UNJUDGED_MAX, Math.floor(UNJUDGED * scores.length)); n < scores.length; n++) {
    if (!((scores[n] as number) >= threshold)) continue
    const index = windows.findIndex(({ start, end }) => n >= start && n <= end)
    const window = windows[index]
    if (window === undefined) {
      const before = windows.findLast(({ end }) => end < n)
      score += FALSE_ALARM * (before === undefined ? -1 : weight((n - before.end) / (before.end - before.start)))
    } else if (!found.has(index)) {
      found.add(index)
      score += 1 + weight((n - window.end - 1) / (window.end - window.start + 1))
    }
  }
  return score
}

/** The weight of a flag: nearly 1 at a window's start (-1), 0 at its end (0), -1 long after it. */
function weight(place: number): number {
  return place > 3 ? -1 : 2 / (1 + Math.exp(5 * place)) - 1
}
