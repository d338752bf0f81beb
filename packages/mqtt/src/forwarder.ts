import type { Sample } from './gateway.ts'

/** Samples of one message, in order, and how to settle it once they are stored. */
export interface Delivery {
  readonly samples: readonly Sample[]
  readonly settle: () => void
}

export interface ForwarderOptions {
  /** Resolves when each sample is stored or rejected for good; rejects only when stopped. */
  readonly send: (samples: readonly Sample[]) => Promise<void>
  /** Samples of one request, unless one message has more. */
  readonly samplesMax: number
  /** Samples that may wait: with more of them, no more messages are read. */
  readonly backlogMax: number
}

/**
 * Sends deliveries to the gateway, one request at a time, so that samples keep their order. What
 * arrives meanwhile leaves with the next request.
 */
export class Forwarder {
  readonly #options: ForwarderOptions
  #queue: Delivery[] = []
  #samples = 0
  #running: Promise<void> | undefined
  #room: (() => void)[] = []
  #isStopped = false

  constructor(options: ForwarderOptions) {
    this.#options = options
  }

  /** Samples that wait, or are on their way. */
  get backlog(): number {
    return this.#samples
  }

  /** Queues a delivery. `hasRoom` is called when the next one may come. */
  offer(delivery: Delivery, hasRoom: () => void): void {
    if (this.#isStopped) return
    this.#queue.push(delivery)
    this.#samples += delivery.samples.length
    if (this.#samples < this.#options.backlogMax) hasRoom()
    else this.#room.push(hasRoom)
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
  }

  /** Waits for the request that is on its way. What waits is not settled: the broker has it. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#queue = []
    await this.#running?.catch(() => undefined)
  }

  async #run(): Promise<void> {
    // What the same read of the socket delivers leaves together.
    await new Promise(resolve => setImmediate(resolve))
    while (this.#queue.length > 0) {
      const batch = this.#take()
      const samples = batch.flatMap(delivery => delivery.samples)
      if (samples.length > 0) await this.#options.send(samples)
      this.#samples -= samples.length
      for (const { settle } of batch) settle()
      while (this.#samples < this.#options.backlogMax && this.#room.length > 0) this.#room.shift()?.()
    }
  }

  /** Returns the oldest deliveries, at least one, with at most `samplesMax` samples. */
  #take(): Delivery[] {
    let samples = 0
    const end = this.#queue.findIndex(delivery => {
      samples += delivery.samples.length
      return samples > this.#options.samplesMax
    })
    return this.#queue.splice(0, end === -1 ? this.#queue.length : Math.max(1, end))
  }
}
