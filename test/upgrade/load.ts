import { pause } from '@tidemark/shared/runtime/lifecycle'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { derivedSeed, Random } from '@tidemark/testkit/random'

/** Keys of one request, each with one sample: an entry then has at most one sample of a key. */
const BATCH_MAX = 8
const RETRY_MS = 30
const RESPONSE_WITHIN_MS = 15_000

/** Only a fault keeps a request from being stored for so long. */
const GIVEN_UP_AFTER_MS = 60_000

/** Timestamps of a key's samples: the first, and the distance. */
const EPOCH_MS = 1_700_000_000_000
const STEP_MS = 1000

export interface StoredSample {
  readonly value: number
  readonly timestamp: number
  readonly receipt: string
}

interface StoredRequest {
  readonly id: string
  readonly body: string
  readonly receipts: readonly string[]
}

interface LoadOptions {
  readonly partitions: number
  readonly writers: number
  readonly keysPerWriter: number
  /** Milliseconds between two requests of a writer. */
  readonly everyMs: number
  readonly seed: number
  /** Ports of the gateways that run now. */
  readonly ports: () => readonly number[]
}

/**
 * Clients that send samples to any gateway, and each request again until it is stored. A key has
 * one writer, so its samples have an order.
 */
export class Load {
  /** By key, in the order in which they were sent. */
  readonly stored = new Map<string, StoredSample[]>()
  readonly requests: StoredRequest[] = []
  count = 0
  readonly #options: LoadOptions
  readonly #stop = new AbortController()
  readonly #done: Promise<unknown>

  constructor(options: LoadOptions) {
    this.#options = options
    this.#done = Promise.all(Array.from({ length: options.writers }, (_, writer) => this.#write(writer)))
    // A failure is thrown by `end`.
    this.#done.catch(() => {})
  }

  /** Resolves when every request is stored; rejects if one could not be. */
  async end(): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  /** Sends a request again, and returns its receipts. */
  async repeat({ id, body }: StoredRequest, port: number): Promise<readonly string[]> {
    return (await post(port, id, body)) ?? []
  }

  async #write(writer: number): Promise<void> {
    const { keysPerWriter, everyMs, seed, partitions } = this.#options
    const random = new Random(derivedSeed(seed, writer))
    for (let n = 0; !this.#stop.signal.aborted; n++) {
      const first = random.integer(0, keysPerWriter - 1)
      const size = random.integer(1, BATCH_MAX)
      const samples = Array.from({ length: size }, (_, i) => {
        const key = `edge-${writer}/metric-${(first + i) % keysPerWriter}`
        const timestamp = EPOCH_MS + STEP_MS * (this.stored.get(key)?.length ?? 0)
        return { key, value: nextValue(random), timestamp }
      })
      const id = `writer-${writer}-${n}`
      const body = JSON.stringify(samples)
      const receipts = await this.#store(id, body, random)
      const byPartition = new Map(receipts.map(receipt => [Number(receipt.split(':')[0]), receipt]))
      for (const { key, value, timestamp } of samples) {
        const receipt = byPartition.get(partitionOf(key, partitions))
        if (receipt === undefined) throw new Error(`no receipt is of the partition of ${key}: ${receipts.join()}`)
        const known = this.stored.get(key)
        if (known === undefined) this.stored.set(key, [{ value, timestamp, receipt }])
        else known.push({ value, timestamp, receipt })
      }
      this.requests.push({ id, body, receipts })
      this.count += samples.length
      await pause(everyMs, this.#stop.signal)
    }
  }

  async #store(id: string, body: string, random: Random): Promise<readonly string[]> {
    const deadline = performance.now() + GIVEN_UP_AFTER_MS
    while (performance.now() < deadline) {
      const receipts = await post(random.pick(this.#options.ports()), id, body)
      if (receipts !== undefined) return receipts
      await pause(RETRY_MS)
    }
    throw new Error(`no gateway stored the request ${id} within ${GIVEN_UP_AFTER_MS / 1000} s`)
  }
}

/** Noise with spikes and flat stretches. */
function nextValue(random: Random): number {
  const kind = random.uniform()
  if (kind < 0.02) return 60 + Math.round(random.uniform() * 1000) / 10
  return Math.round((20 + 4 * (random.uniform() - 0.5)) * 1000) / 1000
}

/** Posts samples; undefined if they may be sent again. Any other response is an error. */
async function post(port: number, id: string, body: string): Promise<readonly string[] | undefined> {
  const headers = { 'content-type': 'application/json', 'idempotency-key': id }
  const signal = AbortSignal.timeout(RESPONSE_WITHIN_MS)
  let response: Response
  let text: string
  try {
    response = await fetch(`http://127.0.0.1:${port}/ingest`, { method: 'POST', body, headers, signal })
    text = await response.text()
  } catch {
    return undefined
  }
  if (response.status === 503 || response.status === 409) return undefined
  if (response.status !== 202) throw new Error(`POST /ingest: ${response.status} ${text}`)
  return (JSON.parse(text) as { receipts: string[] }).receipts
}
