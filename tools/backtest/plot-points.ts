import type { Judged } from '@tidemark/shared/detection/judge'
import type { Sample } from '@tidemark/shared/sample/sample'

/** Panels of a plot: more would be unreadable. */
const PANELS_MAX = 24

/** Buckets of a panel: two per pixel. Each shows its minimum, maximum and all flags. */
const BUCKETS = 3000
/** Points are thinned out after this many. */
const THIN_EVERY = 20 * BUCKETS

export interface PlotPoint {
  readonly timestamp: number
  readonly value: number
  /** Null while warming. */
  readonly low: number | null
  readonly high: number | null
  readonly isFlagged: boolean
  readonly isOpened: boolean
  readonly isResolved: boolean
}

/** The points of one panel: one key under one variant. */
export interface KeyPoints {
  readonly title: string
  readonly points: readonly PlotPoint[]
}

/** Collects the points of a plot: a panel for each variant and key, in order of appearance. */
export class PlotPoints {
  readonly #names: readonly string[]
  readonly #panels = new Map<string, PlotPoint[]>()
  /** Whether there are more keys and variants than panels. */
  isFull = false

  constructor(variants: readonly string[]) {
    this.#names = variants
  }

  add(variant: number, { key, value, timestamp }: Sample, judged: Judged): void {
    if (!judged.isAnalysed) return
    const title = `${key}, ${this.#names[variant]}`
    const points = this.#panels.get(title) ?? []
    if (points.length === 0) {
      if (this.#panels.size >= PANELS_MAX) {
        this.isFull = true
        return
      }
      this.#panels.set(title, points)
    }
    const { isFlagged, alerts } = judged
    const low = Number.isNaN(judged.low) ? null : judged.low
    const high = Number.isNaN(judged.high) ? null : judged.high
    const isOpened = alerts.some(({ kind }) => kind === 'opened')
    const isResolved = alerts.some(({ kind }) => kind === 'resolved')
    points.push({ timestamp, value, isFlagged, low, high, isOpened, isResolved })
    if (points.length % THIN_EVERY === 0) this.#panels.set(title, thinned(points))
  }

  panels(): KeyPoints[] {
    return [...this.#panels].map(([title, points]) => ({ title, points: thinned(points) }))
  }
}

/** Returns as many points as can be distinguished, and all with a flag or an alert. */
function thinned(points: readonly PlotPoint[]): PlotPoint[] {
  const size = Math.ceil(points.length / BUCKETS)
  if (size <= 2) return [...points]
  const kept: PlotPoint[] = []
  const isMarked = ({ isFlagged, isOpened, isResolved }: PlotPoint): boolean => isFlagged || isOpened || isResolved
  for (let first = 0; first < points.length; first += size) {
    const bucket = points.slice(first, first + size)
    const least = bucket.reduce((best, point) => (point.value < best.value ? point : best))
    const greatest = bucket.reduce((best, point) => (point.value > best.value ? point : best))
    kept.push(...bucket.filter(point => point === least || point === greatest || isMarked(point)))
  }
  return kept
}
