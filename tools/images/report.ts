import { formatDuration } from '../lib/format.ts'

const TITLE_WIDTH = 42
const SEEN_WIDTH = 52

/** Prints a line for each step: what was done, what was seen, how long it took. */
export class Report {
  readonly #stop: AbortSignal
  readonly #write: (text: string) => void

  constructor({ stop, write }: { readonly stop: AbortSignal; readonly write: (text: string) => void }) {
    this.#stop = stop
    this.#write = write
  }

  /** Does one step. The first that fails ends everything: the ones after it rest on it. */
  async step<T>(title: string, act: () => Promise<T>, describe: (result: T) => string): Promise<T> {
    this.#stop.throwIfAborted()
    const begin = performance.now()
    try {
      const result = await act()
      this.#line({ mark: 'ok', title, seen: describe(result), durationMs: performance.now() - begin })
      return result
    } catch (error) {
      this.#line({ mark: 'FAILED', title, seen: '', durationMs: performance.now() - begin })
      throw error
    }
  }

  /** As step, for one that returns what is to be said. */
  async check(title: string, act: () => Promise<string>): Promise<void> {
    await this.step(title, act, seen => seen)
  }

  skipped(title: string, reason: string): void {
    this.#line({ mark: 'SKIPPED', title, seen: reason, durationMs: 0 })
  }

  #line({ mark, title, seen, durationMs }: Line): void {
    const duration = durationMs > 0 ? formatDuration(durationMs) : ''
    this.#write(`${mark.padEnd(8)}${title.padEnd(TITLE_WIDTH)}${seen.padEnd(SEEN_WIDTH)} ${duration}\n`)
  }
}

interface Line {
  readonly mark: 'ok' | 'FAILED' | 'SKIPPED'
  readonly title: string
  readonly seen: string
  readonly durationMs: number
}
