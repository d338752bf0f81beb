import { PARTITIONS_DEFAULT, partitionOf } from '../../../sample/partition.ts'
import { keysUnder } from '../../keys.ts'
import { type Client, type ConnectionOptions, connect } from '../connection.ts'
import { FORMAT, REPARTITIONING } from '../layout.ts'
import { Copy } from './copy.ts'
import { keyOf, READY, ringsOf, STAGED } from './moves.ts'
import { RepartitionRefused, requireDrained, requireKnownKeys, requireMemory, requireStopped } from './preconditions.ts'
import { executed, pagesOf, parsed } from './reading.ts'

export interface RepartitionOptions extends ConnectionOptions {
  readonly prefix: string
  /** How many partitions there will be. */
  readonly partitions: number
  readonly onProgress: (done: number, total: number, text: string) => void
}

export interface RepartitionResult {
  readonly from: number
  readonly to: number
  readonly keys: number
  readonly alerts: number
  /** Whether it went on with what an interrupted run had done. */
  readonly isResumed: boolean
}

interface State {
  readonly from: number
  readonly to: number
  /** `copy`: the old data is untouched. `switch`: the new data is complete and replaces it. */
  readonly phase: 'copy' | 'switch'
}

/**
 * Changes the number of partitions of a deployment whose processes are stopped and whose backlog is
 * empty. It first writes all data a second time, in its new place under other names, and then
 * replaces the old by the new data, one partition in one transaction. Run again after an
 * interruption it repeats the first part, or goes on with the second.
 */
export async function repartition(options: RepartitionOptions): Promise<RepartitionResult> {
  const client = await connect(options)
  try {
    return await new Repartitioning(client, options).run()
  } finally {
    client.disconnect()
  }
}

class Repartitioning {
  readonly #client: Client
  readonly #options: RepartitionOptions
  readonly #keys
  #done = 0
  #total = 1

  constructor(client: Client, options: RepartitionOptions) {
    this.#client = client
    this.#options = options
    this.#keys = keysUnder(options.prefix)
  }

  async run(): Promise<RepartitionResult> {
    const { partitions: to } = this.#options
    const found = await this.#state()
    const isResumed = found.format === REPARTITIONING
    if (!isResumed && found.format !== FORMAT) {
      throw new RepartitionRefused(
        found.format === undefined
          ? `there is no deployment under the prefix ${this.#options.prefix}: set REDIS_PREFIX to the one that the services use`
          : `this Redis holds data of format ${found.format}, and this version reads format ${FORMAT}: use the version that wrote it`,
      )
    }
    const { from } = found
    if (found.state?.phase === 'switch' && found.state.to !== to) {
      throw new RepartitionRefused(
        `an earlier run to ${found.state.to} partitions was interrupted when its data was complete: run it again with ${found.state.to} first`,
      )
    }
    const receivers = await this.#receivers(from)
    let counts = { keys: 0, alerts: 0 }
    if (found.state?.phase !== 'switch') {
      if (from === to) {
        if (!isResumed) throw new RepartitionRefused(`this deployment has ${to} partitions already`)
        await this.#clearStaged(found.state?.to ?? to, receivers)
        if (found.state !== undefined) await this.#dropRings(from, found.state.to)
        await this.#finish(to)
        return { from, to, ...counts, isResumed }
      }
      await requireStopped(this.#client, this.#keys)
      await requireDrained(this.#client, this.#keys, from)
      await requireKnownKeys(this.#client, this.#options.prefix)
      await requireMemory(this.#client)
      await this.#mark({ from, to, phase: 'copy' })
      try {
        await requireStopped(this.#client, this.#keys)
      } catch (error) {
        await this.#finish(from)
        throw error
      }
      await this.#clearStaged(Math.max(found.state?.to ?? 0, to), receivers)
      if (found.state !== undefined) await this.#dropRings(from, found.state.to)
      counts = await this.#copy(from, to, receivers)
      await this.#mark({ from, to, phase: 'switch' })
    }
    await this.#switch(from, to, receivers)
    await this.#dropRings(to, from)
    await this.#finish(to)
    return { from, to, ...counts, isResumed }
  }

  async #state() {
    const [format, partitions, text] = await this.#client.hmget(this.#keys.meta, 'format', 'partitions', 'repartition')
    const state = text == null ? undefined : (JSON.parse(text) as State)
    return { format: format ?? undefined, from: Number(partitions ?? PARTITIONS_DEFAULT), state }
  }

  /** No process of any version starts while the format is this one. */
  async #mark(state: State): Promise<void> {
    await this.#client.hset(this.#keys.meta, { format: REPARTITIONING, repartition: JSON.stringify(state) })
  }

  async #finish(partitions: number): Promise<void> {
    const { meta } = this.#keys
    const done = this.#client.multi().hset(meta, { format: FORMAT, partitions }).hdel(meta, 'repartition')
    await executed(done)
  }

  /** The receivers of notifications, which are part of the names of keys. */
  async #receivers(from: number): Promise<ReadonlySet<string>> {
    const receivers = new Set<string>()
    for (let partition = 0; partition < from; partition++) {
      const at = this.#keys.partition(partition)
      for (const name of await this.#client.hkeys(at.outboxPositions)) receivers.add(name)
      for await (const [field, value] of this.#fields(at.alerts)) {
        if (field.startsWith('n:')) for (const name of Object.keys(parsed(value))) receivers.add(name)
      }
    }
    return receivers
  }

  /** The names of all keys that a partition can have, without what they begin with. */
  #namesOf(partition: number, receivers: ReadonlySet<string>): string[] {
    const at = this.#keys.partition(partition)
    const own = Object.values(at).map(key => key.slice(this.#rootOf(partition).length))
    return [...own, ...[...receivers].map(receiver => `outbox_retries:${receiver}`)]
  }

  #rootOf(partition: number): string {
    return `${this.#options.prefix}:{${partition}}:`
  }

  #staged(partition: number, name: string): string {
    return `${this.#rootOf(partition)}${STAGED}${name}`
  }

  async #clearStaged(to: number, receivers: ReadonlySet<string>): Promise<void> {
    for (let partition = 0; partition < to; partition++) {
      const names = this.#namesOf(partition, receivers).map(name => this.#staged(partition, name))
      await this.#client.unlink(`${this.#rootOf(partition)}${READY}`, ...names)
    }
  }

  /** Of the keys of `partitions`, drops the rings that are where they would be with `others`. */
  async #dropRings(partitions: number, others: number): Promise<void> {
    for (let partition = 0; partition < partitions; partition++) {
      for await (const [field] of this.#fields(this.#keys.partition(partition).aggregates)) {
        const key = keyOf(field)
        const other = partitionOf(key, others)
        if (other !== partition) await this.#client.unlink(...ringsOf(this.#keys.partition(other), key))
      }
    }
  }

  /** Replaces the data of each partition by the new one; of a partition that did so, nothing. */
  async #switch(from: number, to: number, receivers: ReadonlySet<string>): Promise<void> {
    const all = Math.max(from, to)
    for (let partition = 0; partition < all; partition++) {
      this.#options.onProgress(
        this.#total * (partition / all),
        this.#total,
        `replacing partition ${partition} of ${all}`,
      )
      const root = this.#rootOf(partition)
      const isNew = partition < to
      if (isNew && (await this.#client.exists(root + READY)) === 0) continue
      const transaction = this.#client.multi()
      for (const name of this.#namesOf(partition, receivers)) {
        const staged = this.#staged(partition, name)
        if (isNew && (await this.#client.exists(staged)) > 0) transaction.rename(staged, root + name)
        else transaction.unlink(root + name)
      }
      transaction.unlink(root + READY)
      await executed(transaction)
    }
  }

  async #copy(from: number, to: number, receivers: ReadonlySet<string>): Promise<{ keys: number; alerts: number }> {
    const copy = new Copy(this.#client, { from, to, keys: this.#keys, staged: (q, name) => this.#staged(q, name) })
    this.#total = from + 1
    this.#done = 0
    const step = (text: string): void => this.#options.onProgress(this.#done++, this.#total, text)
    const alerts = await copy.findAlerts()
    for (let partition = 0; partition < from; partition++) {
      step(`copying partition ${partition} of ${from}`)
      await copy.partition(partition, receivers)
    }
    step('copying streams')
    await copy.streams()
    await copy.finish(receivers)
    const keys = await copy.verify()
    for (let partition = 0; partition < to; partition++) {
      await this.#client.set(`${this.#rootOf(partition)}${READY}`, '1')
    }
    return { keys, alerts }
  }

  async *#fields(key: string): AsyncGenerator<[string, string]> {
    for await (const [field, value] of pagesOf(this.#client, 'hscanBuffer', key)) yield [String(field), String(value)]
  }
}
