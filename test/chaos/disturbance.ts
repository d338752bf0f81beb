interface Disturbance {
  readonly from: number
  to: number
}

/** Periods in which analyzers or Redis were disturbed. A takeover is timed from their end. */
export class Disturbances {
  readonly #all: Disturbance[] = []

  /** Records a disturbance without duration. */
  note(): void {
    this.begin()()
  }

  /** Starts a disturbance that lasts until the returned function is called. */
  begin(): () => void {
    const disturbance = { from: performance.now(), to: Number.POSITIVE_INFINITY }
    this.#all.push(disturbance)
    return () => {
      disturbance.to = performance.now()
    }
  }

  /** Returns the latest end of the disturbances that overlap the period; `from` if none does. */
  lastEnd(from: number, to: number): number {
    const between = this.#all.filter(one => one.from < to && one.to > from)
    return between.reduce((latest, one) => Math.max(latest, one.to), from)
  }
}
