import { Cluster, Command, type Redis } from 'ioredis'
import { type Client, type ConnectionOptions, clusterNodes, connectOnce, denialOf, inOneWrite } from './connection.ts'

export interface CheckedTransaction {
  /** Keys whose change after the check makes the transaction do nothing. */
  readonly watched: readonly string[]
  /** A script that replies ['ready'] if the commands may be executed. */
  readonly check: Command
  readonly commands: readonly Command[]
}

/** Transactions at a time: each waits for two replies, behind the analyses of other partitions. */
const CONNECTIONS = 4

/**
 * Executes commands all or none, and only if what a script found out about the watched keys still
 * holds then (https://redis.io/docs/latest/develop/using-commands/transactions/):
 *
 *     WATCH keys, check, MULTI    wait for the replies, then
 *     commands, EXEC              or DISCARD if the check refuses
 */
export class CheckedTransactions implements Disposable {
  readonly #connections: readonly Connection[]

  /** `node` is that of a cluster. */
  constructor(options: ConnectionOptions, node?: Redis) {
    const connect = (): Promise<Redis> => connectOnce(options, node)
    this.#connections = Array.from({ length: CONNECTIONS }, () => new Connection(connect, options.onFailure))
  }

  /**
   * Returns the replies to the commands; undefined if none was executed: the check refused, a
   * watched key has changed, or Redis cannot do it now. Rejects if the outcome is unknown. `begin`
   * is called when it is the transaction's turn.
   */
  run(begin: () => CheckedTransaction): Promise<readonly unknown[] | undefined> {
    const [first, ...others] = this.#connections
    return others.reduce((best, one) => (one.waiting < best.waiting ? one : best), first as Connection).run(begin)
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection[Symbol.dispose]()
  }
}

/** The transactions of each node. */
export class NodeTransactions implements Disposable {
  readonly #client: Client
  readonly #partitionKeys: readonly string[]
  readonly #options: ConnectionOptions
  readonly #byNode = new Map<string, CheckedTransactions>()
  #nodeOf: Awaited<ReturnType<typeof clusterNodes>> | undefined

  /** `partitionKeys` are any key of each partition. */
  constructor(client: Client, partitionKeys: readonly string[], options: ConnectionOptions) {
    this.#client = client
    this.#partitionKeys = partitionKeys
    this.#options = options
  }

  /** Returns those of the node that has a partition; undefined if none is known to have it. */
  async of(partition: number): Promise<CheckedTransactions | undefined> {
    if (!(this.#client instanceof Cluster)) return this.#on('', undefined)
    this.#nodeOf ??= await clusterNodes(this.#client, this.#partitionKeys)
    const node = this.#nodeOf(partition)
    return node === undefined ? undefined : this.#on(`${node.options.host}:${node.options.port}`, node)
  }

  [Symbol.dispose](): void {
    for (const one of this.#byNode.values()) one[Symbol.dispose]()
  }

  #on(name: string, node: Redis | undefined): CheckedTransactions {
    const known = this.#byNode.get(name)
    if (known !== undefined) return known
    const created = new CheckedTransactions(this.#options, node)
    this.#byNode.set(name, created)
    return created
  }
}

/**
 * WATCH and MULTI change the state of a connection, so it is used for one transaction at a time, by
 * nothing else, and no longer than its socket lives.
 */
class Connection implements Disposable {
  waiting = 0
  readonly #connect: () => Promise<Redis>
  readonly #onFailure: (error: Error) => void
  #client: Redis | undefined
  #lastTurn: Promise<void> = Promise.resolve()
  #failures = 0
  /** The user may not run one of the commands. */
  #isDenied = false

  constructor(connect: () => Promise<Redis>, onFailure: (error: Error) => void) {
    this.#connect = connect
    this.#onFailure = onFailure
  }

  async run(begin: () => CheckedTransaction): Promise<readonly unknown[] | undefined> {
    if (this.#isDenied) return undefined
    const turn = Promise.withResolvers<void>()
    const [lastTurn, failures] = [this.#lastTurn, this.#failures]
    this.#lastTurn = turn.promise
    this.waiting++
    try {
      await lastTurn
      // What waited for one that failed would have to wait for the same timeout again.
      if (failures !== this.#failures) return undefined
      return await this.#execute(begin())
    } finally {
      this.waiting--
      turn.resolve()
    }
  }

  [Symbol.dispose](): void {
    this.#client?.disconnect()
  }

  async #execute({ watched, check, commands }: CheckedTransaction): Promise<readonly unknown[] | undefined> {
    let client: Redis
    try {
      client = await this.#connected()
      const [isWatched, checked, isBegun] = await inOneWrite(client, () =>
        Promise.all([
          client.sendCommand(new Command('watch', [...watched])),
          client.sendCommand(check).catch(refusalOf),
          client.sendCommand(new Command('multi')),
        ]),
      )
      const isReady = Array.isArray(checked) && String(checked[0]) === 'ready'
      // Without MULTI, Redis would execute the commands at once.
      if (!isReady || String(isWatched) !== 'OK' || String(isBegun) !== 'OK') {
        await client.sendCommand(new Command('discard'))
        return undefined
      }
    } catch (error) {
      this.#fail(error as Error)
      return undefined
    }
    try {
      const exec = new Command('exec', [], { replyEncoding: 'utf8' })
      const executed = inOneWrite(client, () => {
        // EXEC says what became of a command that could not be queued.
        for (const command of commands) client.sendCommand(command).catch(() => undefined)
        return client.sendCommand(exec)
      })
      const replies = (await executed) as readonly unknown[] | null
      const failed = replies?.find(reply => reply instanceof Error)
      if (failed !== undefined) throw failed
      return replies ?? undefined
    } catch (error) {
      this.#fail(error as Error)
      if ((error as Error).message.startsWith('EXECABORT')) return undefined
      throw error
    }
  }

  async #connected(): Promise<Redis> {
    if (this.#client?.status !== 'ready') {
      this.#client?.disconnect()
      this.#client = undefined
      this.#client = await this.#connect()
    }
    return this.#client
  }

  #fail(error: Error): void {
    this.#failures++
    // It may be in the middle of a transaction.
    this.#client?.disconnect()
    this.#client = undefined
    this.#isDenied ||= /^NOPERM|unknown command|unsupported/i.test(error.message)
    this.#onFailure(denialOf(error) ?? error)
  }
}

/** A script that fails, or that Redis does not know, refuses; anything else ends the connection. */
function refusalOf(error: unknown): unknown {
  if (error instanceof Error && error.name === 'ReplyError') return error
  throw error
}
