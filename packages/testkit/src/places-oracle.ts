import { createJudgement } from '@tidemark/shared/detection/detectors/detector'
import { createSlab } from '@tidemark/shared/detection/detectors/places'
import { createZscore } from '@tidemark/shared/detection/detectors/zscore'
import { HistoryRing } from './history-ring.ts'

const FLOAT32_MAX = 3.4028234663852886e38

/** A slow, obvious form of places.ts: a list that is searched from end to end. */
export function oraclePlaces({ capacity, newAbove }: { capacity: number; newAbove: number }) {
  let list: { value: number; visited: number }[] = []
  let anchor: number | undefined
  let low = 0
  let high = 0

  const toPlace = (x: number): number => Math.fround(Math.max(-FLOAT32_MAX, Math.min(FLOAT32_MAX, x - (anchor ?? x))))

  function look(x: number, n: number) {
    const v = toPlace(x)
    const active = list.filter(({ visited }) => n - visited <= 4000).toSorted((a, b) => a.value - b.value)
    const distances = active.map(({ value }) => Math.abs(v - value))
    const d = Math.min(...distances)
    const nearest = active[distances.indexOf(d)]
    const gaps = active.filter(other => other !== nearest).map(({ value }) => Math.abs(value - (nearest?.value ?? 0)))
    return { v, nearest, d: nearest === undefined ? 0 : d, g: gaps.length === 0 ? 0 : Math.min(...gaps), w: high - low }
  }

  /** Learns the value of sample `n`. */
  function visit(x: number, n: number): void {
    anchor ??= x
    const { v, nearest, d, w } = look(x, n)
    if (nearest !== undefined && !(d > newAbove * w)) nearest.visited = n
    else {
      list = list.filter(({ visited }) => n - visited <= 4000).toSorted((a, b) => a.visited - b.visited)
      if (list.length === capacity) list.shift()
      list.push({ value: v, visited: n })
    }
    low = Math.fround(Math.min(low + w * 0.5e-4, v))
    high = Math.fround(Math.max(high - w * 0.5e-4, v))
  }

  return { look, visit }
}

/** Returns a distance in widths; by how much values of this size are rounded is none. */
export function oracleNews(d: number, w: number, size: number): number {
  const rounding = 4 * 2 ** -52 * size
  if (w <= rounding) return d <= rounding ? 0 : 1e6
  return Math.min(1e6, Math.max(0, d) / w)
}

/** Returns the z-scores of values by windows of at least so many samples before them; else NaN. */
export function zScores(values: readonly number[], samplesMin: number, window = 50): number[] {
  const detector = createZscore({ samplesMin })
  const ring = new HistoryRing(window)
  const judgement = createJudgement()
  const stateless = createSlab(0)
  return values.map((value, n) => {
    detector.judge(ring.history, stateless, 0, value, judgement)
    ring.push(value, n)
    return value < judgement.low ? -judgement.score : judgement.score
  })
}

/** Returns what the detectors discount of a value's novelty by its |z|. */
export function oracleDiscount(z: number | undefined): number {
  const size = Math.abs(z ?? 0) || 0
  return size <= 1 ? 0 : Math.max(0.3, Math.sqrt(Math.min(1, 4 / size)))
}
