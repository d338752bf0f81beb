import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { pause } from '@tidemark/shared/runtime/lifecycle'

const SAMPLED_EVERY_MS = 50

/** Returns the resident memory of a process, in bytes. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => undefined)
  if (status !== undefined) return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
  // Without /proc, for example on macOS.
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)])
  return Number(stdout) * 1024
}

/** Samples the memory of a process. */
export class MemoryWatch implements AsyncDisposable {
  readonly #pid: number
  readonly #done = new AbortController()
  readonly #watching: Promise<void>
  #peak = 0

  constructor(pid: number) {
    this.#pid = pid
    this.#watching = this.#watch()
  }

  /** Returns the maximum since the last call, in bytes. */
  async peak(): Promise<number> {
    const peak = Math.max(this.#peak, await residentBytes(this.#pid))
    this.#peak = 0
    return peak
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#done.abort()
    await this.#watching
  }

  async #watch(): Promise<void> {
    while (!this.#done.signal.aborted) {
      this.#peak = Math.max(this.#peak, await residentBytes(this.#pid).catch(() => 0))
      await pause(SAMPLED_EVERY_MS, this.#done.signal)
    }
  }
}
