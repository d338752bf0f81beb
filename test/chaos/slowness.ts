const TICK_MS = 20

/** How late this process' own timers are: what it had to wait for the processor, or was busy itself. */
export class Slowness implements Disposable {
  readonly #late: { readonly at: number; readonly ms: number }[] = []
  readonly #timer: NodeJS.Timeout
  #dueAt = performance.now() + TICK_MS

  constructor() {
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  /** Milliseconds by which timers were late from `from` to `to`, all together. */
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
