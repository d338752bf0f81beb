import { Cluster } from 'ioredis'
import { pauseUntilNext } from '../../runtime/lifecycle.ts'
import { DurabilityMismatch } from '../ports/errors.ts'
import type { DurabilityLevel } from '../ports/store.ts'
import type { Client } from './connection.ts'
import { type Judgement, judgeDurability, providedLevel, readFacts } from './durability.ts'
import { mapErrors } from './errors.ts'
import type { RedisStoreOptions } from './options.ts'

/** Redis can be reconfigured while it runs, and a failover replaces it with another. */
const CHECK_EVERY_MS = 5000

/** The same while there is a fault and samples are refused. */
const CHECK_AGAIN_MS = 500

const IN_MEMORY =
  'Redis has appendonly no and loses all data when it restarts, so responses say durability memory: ' +
  'set it to yes, or DURABILITY to memory if that is intended.'

const UNCHECKED = 'Redis was unavailable and its durability has not been checked again'

type GuardOptions = { readonly client: Client } & NonNullable<RedisStoreOptions['durability']>

/**
 * Compares the facts of Redis with the level: before the first append, after each reconnect, and
 * every few seconds. In a cluster: of every primary that responds; appends to others fail anyway.
 */
export class DurabilityGuard implements AsyncDisposable {
  readonly #options: GuardOptions
  readonly #stop = new AbortController()
  readonly #watching: Promise<void>
  /** Ends the pause before the next check. */
  #wake = new AbortController()
  #level: DurabilityLevel
  #fault: string | undefined
  #warned = ''

  /** Rejects with a DurabilityMismatch when Redis does not provide the level. */
  static async start(options: GuardOptions): Promise<DurabilityGuard> {
    const checked = await check(options)
    const { faults, outages } = checked
    const missing = [...faults, ...outages]
    if (missing.length > 0) throw new DurabilityMismatch(missing.join(' '))
    return new DurabilityGuard(options, checked)
  }

  private constructor(options: GuardOptions, { level, warnings }: Checked) {
    this.#options = options
    this.#level = level
    this.#warn(warnings)
    const { client } = options
    if (!(client instanceof Cluster)) client.on('close', this.#onClose)
    client.on('ready', this.#onReady)
    client.on('+node', this.#onReady)
    this.#watching = this.#watch()
  }

  /** Why samples must be refused now; undefined when they may be accepted. */
  get fault(): string | undefined {
    return this.#fault
  }

  /** What accepted samples survive: the required level, or the one that Redis provides. */
  get level(): DurabilityLevel {
    return this.#level
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    const { client } = this.#options
    client.off('close', this.#onClose)
    client.off('ready', this.#onReady)
    client.off('+node', this.#onReady)
    await this.#watching
  }

  readonly #onReady = (): void => this.#wake.abort()

  /** Another Redis may come back. The connection's failure has its own log line. */
  readonly #onClose = (): void => {
    this.#fault ??= UNCHECKED
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      this.#wake = new AbortController()
      const pauseMs = this.#fault === undefined ? CHECK_EVERY_MS : CHECK_AGAIN_MS
      await pauseUntilNext(pauseMs, AbortSignal.any([signal, this.#wake.signal]))
      if (signal.aborted) return
      try {
        this.#apply(await check(this.#options))
      } catch {
        // Redis is unavailable: appends fail by themselves, and the next connection is checked.
      }
    }
  }

  #apply({ level, faults, outages, warnings }: Checked): void {
    this.#level = level
    // A primary without a replica refuses by itself or does not confirm; the others may accept.
    this.#warn([...outages, ...warnings])
    const fault = faults.length > 0 ? faults.join(' ') : undefined
    const { onWarning } = this.#options
    if (fault !== undefined && fault !== this.#fault) onWarning(`samples are refused: ${fault}`)
    if (fault === undefined && this.#fault !== undefined && this.#fault !== UNCHECKED) {
      onWarning(`samples are accepted again: Redis provides what DURABILITY ${level} needs`)
    }
    this.#fault = fault
  }

  /** Warns of the same sentences once, until others replace them. */
  #warn(sentences: readonly string[]): void {
    const text = sentences.join(' ')
    if (text !== this.#warned && text !== '') this.#options.onWarning(text)
    this.#warned = text
  }
}

interface Checked extends Judgement {
  readonly level: DurabilityLevel
}

async function check({ client, level: required }: GuardOptions): Promise<Checked> {
  const facts = await mapErrors(() => readFacts(client))
  const level = required ?? providedLevel(facts)
  const all = facts.map(one => judgeDurability(level, one))
  return {
    level,
    faults: all.flatMap(({ faults }) => faults),
    outages: all.flatMap(({ outages }) => outages),
    warnings: [
      ...(required === undefined && level === 'memory' ? [IN_MEMORY] : []),
      ...all.flatMap(one => one.warnings),
    ],
  }
}
