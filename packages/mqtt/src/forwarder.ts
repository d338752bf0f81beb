import type { Client } from '@tidemark/client/client'
import { TidemarkError } from '@tidemark/client/error'
import type { Sender } from '@tidemark/client/sender'
import type { Sample } from '@tidemark/client/types'
import { isRefusal, pauseMs } from './gateway.ts'

/** Samples of one message, in order, and how to settle it once they are stored. */
export interface Delivery {
  readonly samples: readonly Sample[]
  readonly settle: () => void
}

/** What became of the samples of a request. */
export interface Sent {
  readonly accepted: number
  /** Samples that the gateway refused for good. */
  readonly rejected: number
  /** Why the first of them was refused. */
  readonly reason: string | undefined
}

export interface ForwarderOptions {
  readonly gateway: Client
  /** Samples of one request. */
  readonly samplesMax: number
  /** Samples that may wait for the request before them: with more, no more messages are read. */
  readonly backlogMax: number
  /** Called for each attempt that failed and is repeated. */
  readonly onFailure: (reason: string) => void
  readonly onSent: (sent: Sent) => void
}

/** How long a stop waits for the gateway. */
const STOP_MS = 5000

const HEADERS = { 'User-Agent': 'tidemark-mqtt' }

/**
 * Sends deliveries to the gateway, one request at a time, so that samples keep their order. What
 * arrives meanwhile leaves with the next request. A request is repeated until the gateway has
 * stored or refused each of its samples; a delivery is settled when that is so for all of its own.
 */
export class Forwarder {
  readonly #options: ForwarderOptions
  readonly #sender: Sender
  readonly #unsettled = new Set<{ left: number; readonly settle: () => void }>()
  #samples = 0
  #isFailing = false
  #isStopped = false

  constructor(options: ForwarderOptions) {
    this.#options = options
    const { gateway, samplesMax, backlogMax } = options
    this.#sender = gateway.sender({
      batchMax: samplesMax,
      waitingMax: backlogMax,
      delayMs: 0,
      request: { headers: HEADERS, retry: (error, attempt) => this.#retry(error, attempt) },
      onSent: ({ length }, { accepted, rejected }) =>
        this.#done(length, { accepted, rejected: rejected.length, reason: rejected[0]?.reason }),
      onFailed: ({ length }, error) => {
        if (!(error instanceof TidemarkError && isRefusal(error))) return
        const { problem, message } = error
        this.#done(length, { accepted: 0, rejected: length, reason: problem?.rejected?.[0]?.reason ?? message })
      },
    })
  }

  /** Samples that wait, or are on their way. */
  get backlog(): number {
    return this.#samples
  }

  /** Queues a delivery. `hasRoom` is called when the next one may come. */
  offer({ samples, settle }: Delivery, hasRoom: () => void): void {
    if (this.#isStopped) return
    this.#unsettled.add({ left: samples.length, settle })
    this.#samples += samples.length
    void this.#sender.add(samples).then(hasRoom)
    if (samples.length === 0) this.#settle(0)
  }

  /**
   * Sends what waits, for a short time. What is not stored by then, or cannot be, is not settled:
   * the broker has it.
   */
  async stop(): Promise<void> {
    this.#isStopped = true
    if (this.#isFailing) this.#sender.abort()
    const timer = setTimeout(() => this.#sender.abort(), STOP_MS)
    await this.#sender.close()
    clearTimeout(timer)
  }

  #retry(error: TidemarkError, attempt: number): number | undefined {
    if (this.#isStopped || isRefusal(error)) return undefined
    this.#isFailing = true
    this.#options.onFailure(error.message)
    return pauseMs(error, attempt)
  }

  #done(samples: number, sent: Sent): void {
    this.#isFailing = false
    this.#samples -= samples
    this.#options.onSent(sent)
    this.#settle(samples)
  }

  /** Settles the oldest deliveries, of which `samples` more are stored or refused. */
  #settle(samples: number): void {
    let left = samples
    for (const delivery of this.#unsettled) {
      const taken = Math.min(left, delivery.left)
      delivery.left -= taken
      left -= taken
      if (delivery.left > 0) return
      this.#unsettled.delete(delivery)
      delivery.settle()
    }
  }
}
