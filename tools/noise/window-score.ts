import type { Recording } from './labelled.ts'

/** What one false alarm takes off, when a window that is found is worth 1 and a window that is not costs 1. */
const FALSE_ALARM = 0.11
/** Samples at the beginning in which nothing counts: a share of the recording, and no more than so many. */
const UNJUDGED = 0.15
const UNJUDGED_MAX = 750

export interface Scored {
  readonly recording: Recording
  readonly scores: Float64Array
}

/**
 * How well recordings were judged at a threshold, by the rules that labelled benchmarks of streams use (Lavin and Ahmad,
 * "Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark", 2015): of each window the first sample
 * flagged counts, and the earlier the more; each one flagged outside is a false alarm. 100 is perfect, 0 flags nothing.
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

/** The threshold with the best score: what a user would find who may choose one for all keys. */
export function bestThreshold(scored: readonly Scored[]): number {
  const all = scored.flatMap(({ scores }) => [...scores].filter(score => score > 0)).toSorted((a, b) => b - a)
  let best = { threshold: Number.POSITIVE_INFINITY, score: 0 }
  // Each step takes in a few per cent more: finer ones find nothing better.
  for (let rank = 1; rank <= Math.min(all.length, 400 * scored.length); rank = Math.ceil(rank * 1.06) + 1) {
    const threshold = all[rank - 1] as number
    const score = windowScore(scored, threshold)
    if (score > best.score) best = { threshold, score }
  }
  return best.threshold
}

/** How much better than flagging nothing. */
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

/** From nearly 1 at a window's start (-1) to 0 at its end (0) and -1 well after it. */
function weight(place: number): number {
  return place > 3 ? -1 : 2 / (1 + Math.exp(5 * place)) - 1
}
