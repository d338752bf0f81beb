import { setImmediate } from 'node:timers/promises'
import type { Clock } from '@tidemark/shared/runtime/clock'

interface Pause {
  readonly at: number
  readonly end: () => void
}

/** A clock that stops until it is advanced. `random` returns one half unless replaced. */
export class FakeClock implements Clock {
  readonly #pauses = new Set<Pause>()
  #now: number
  random: () => number = () => 0.5

  constructor(now: number) {
    this.#now = now
  }

  wallMs = (): number => this.#now
  monotonicMs = (): number => this.#now

  pause(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      if (signal?.aborted === true) return resolve()
      const end = (): void => {
        this.#pauses.delete(pause)
        signal?.removeEventListener('abort', end)
        resolve()
      }
      const pause = { at: this.#now + ms, end }
      this.#pauses.add(pause)
      signal?.addEventListener('abort', end, { once: true })
    })
  }

  /** Moves the clock, as when the process was suspended: pauses that are over end afterwards. */
  jump(ms: number): void {
    this.#now += ms
  }

  /** Advances the clock, and ends the pauses on the way, each at its own time. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms
    for (;;) {
      // Pending work consists of promises, which settle before the next turn of the event loop.
      await setImmediate()
      const next = [...this.#pauses].sort((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > until) break
      this.#now = Math.max(this.#now, next.at)
      next.end()
    }
    this.#now = until
    await setImmediate()
  }
}
