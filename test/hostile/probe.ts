import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { ProbeFigures } from './probe-thread.ts'

/**
 * Healthy clients that continuously post, read and check liveness. They have their own thread: the
 * test's thread is busy with thousands of sockets, and its delays would look like the gateway's.
 */
export class Probe implements AsyncDisposable {
  readonly #worker: Worker

  constructor(port: number) {
    this.#worker = new Worker(new URL('probe-thread.ts', import.meta.url), { workerData: { port }, execArgv: [] })
  }

  /** Returns the figures since the last call. */
  async figures(): Promise<ProbeFigures> {
    const response = once(this.#worker, 'message')
    this.#worker.postMessage('figures')
    const [figures] = (await response) as [ProbeFigures]
    return figures
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate()
  }
}
