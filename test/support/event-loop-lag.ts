const TICK_MS = 20

/** Measures how late timers of this process fire, because of a busy machine or a busy process. */
export class EventLoopLag implements Disposable {
  readonly #late: { readonly at: number; readonly ms: number }[] = []
  readonly #timer: NodeJS.Timeout
  #dueAt = performance.now() + TICK_MS

  constructor() {
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  /** Returns the sum of the delays of all timers from `from` to `to`, in ms. */
  between(from: number, to: number): number {
    return this.#late.reduce((sum, { at, ms }) => (at > from && at - ms < to ? sum + ms : sum), 0)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #tick(): void {
    const now = performance.now()
    if (now > this.#dueAt) this.#late.push({ at: now, ms: now - this.#dueAt })
    this.#dueAt = now + TICK_MS
  }
}
