import type { History } from '@tidemark/shared/detection/detectors/detector'

/** A key's window: a ring of the newest `capacity` samples, as detectors read it. */
export class HistoryRing {
  readonly history: History
  #pushed = 0

  constructor(capacity: number) {
    this.history = { rows: new Float64Array(2 * capacity), start: 0, times: capacity, size: 0, head: 0 }
  }

  push(value: number, timestamp: number): void {
    const { history } = this
    const capacity = history.times
    const place = this.#pushed % capacity
    history.rows[place] = value
    history.rows[place + capacity] = timestamp
    this.#pushed++
    history.size = Math.min(this.#pushed, capacity)
    history.head = this.#pushed > capacity ? this.#pushed % capacity : 0
  }
}
