interface Disturbance {
  readonly from: number
  to: number
}

/** When something was done to analyzers or to Redis, performance.now(): a take-over that it stands in the way of starts anew. */
export class Disturbances {
  readonly #all: Disturbance[] = []

  /** Something happened at this moment. */
  note(): void {
    this.begin()()
  }

  /** Something goes on until the returned function is called. */
  begin(): () => void {
    const disturbance = { from: performance.now(), to: Number.POSITIVE_INFINITY }
    this.#all.push(disturbance)
    return () => {
      disturbance.to = performance.now()
    }
  }

  /** When the last of those ended that were under way at some time from `from` to `to`; `from` when there was none. */
  lastEnd(from: number, to: number): number {
    const between = this.#all.filter(one => one.from < to && one.to > from)
    return between.reduce((latest, one) => Math.max(latest, one.to), from)
  }
}
