import { Worker } from 'node:worker_threads'
import type { ProbeFigures } from './probe-thread.ts'

/**
 * Healthy clients that post, read and ask for health all the time. They live in a thread of their own: the test's thread
 * is busy with thousands of sockets, and its delays would look like the gateway's.
 */
export class Probe implements AsyncDisposable {
  readonly #worker: Worker

  constructor(port: number) {
    this.#worker = new Worker(new URL('probe-thread.ts', import.meta.url), { workerData: { port }, execArgv: [] })
  }

  /** The figures since the last call. */
  async figures(): Promise<ProbeFigures> {
    const answer = new Promise<ProbeFigures>((resolve, reject) => {
      this.#worker.once('message', resolve)
      this.#worker.once('error', reject)
    })
    this.#worker.postMessage('figures')
    return answer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate()
  }
}
