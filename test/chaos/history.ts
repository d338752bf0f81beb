import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'

/** A log of the run, one JSON object per line: the plan, the faults, and every response. */
export class History implements AsyncDisposable {
  readonly path: string
  readonly #stream: WriteStream
  readonly #begin = performance.now()

  constructor(path: string) {
    this.path = path
    this.#stream = createWriteStream(path)
  }

  note(event: string, details: Readonly<Record<string, unknown>>): void {
    this.#stream.write(`${JSON.stringify({ ms: Math.round(performance.now() - this.#begin), event, ...details })}\n`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.end()
    if (!this.#stream.closed) await once(this.#stream, 'close')
  }
}
