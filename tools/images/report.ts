import type { Docker } from '../lib/docker.ts'
import { formatDuration } from '../lib/format.ts'

export interface CheckContext {
  readonly docker: Docker
  readonly redisImage: string
  readonly report: Report
}

/** Prints a line for each step: its outcome, its title, what was observed and how long it took. */
export class Report {
  readonly #stop: AbortSignal

  constructor(stop: AbortSignal) {
    this.#stop = stop
  }

  /** Runs a step. The first one that fails ends the run, because later steps depend on it. */
  async step<T>(title: string, act: () => Promise<T>, describe: (result: T) => string = String): Promise<T> {
    this.#stop.throwIfAborted()
    const begin = performance.now()
    try {
      const result = await act()
      this.#print('ok', title, describe(result), begin)
      return result
    } catch (error) {
      this.#print('FAILED', title, '', begin)
      throw error
    }
  }

  skipped(title: string, reason: string): void {
    this.#print('SKIPPED', title, reason, performance.now())
  }

  #print(mark: 'ok' | 'FAILED' | 'SKIPPED', title: string, observed: string, begin: number): void {
    const duration = formatDuration(performance.now() - begin)
    process.stdout.write(`${mark.padEnd(8)}${title.padEnd(42)}${observed.padEnd(52)} ${duration}\n`)
  }
}
