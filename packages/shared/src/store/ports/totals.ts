/** What a series that only grows has reached: a cumulative histogram or summary. */
export interface Total {
  /** Unix milliseconds. */
  readonly time: number
  /** Values since the start of the series. */
  readonly count: number
  /** Their sum. */
  readonly sum: number
}

/** How long a series may pause: the point after a longer pause has none to be compared with. */
export const TOTAL_TTL_MS = 86_400_000

/** The newest points of series whose values are means. Methods may reject with a `StoreError`. */
export interface TotalStore {
  /**
   * Remembers the point of a series, and returns the one before it: the same one each time, however
   * often and through whichever gateway the point is sent. Returns undefined for the first point,
   * and for one that is older than the two newest.
   */
  advance(series: string, total: Total): Promise<Total | undefined>
}
