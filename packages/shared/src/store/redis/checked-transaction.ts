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

  /** Ends all connections; those that are needed are opened again. */
  end(): void {
    for (const connection of this.#connections) connection.end()
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
  #isLearning = false

  /** `partitionKeys` are any key of each partition. */
  constructor(client: Client, partitionKeys: readonly string[], options: ConnectionOptions) {
    this.#client = client
    this.#partitionKeys = partitionKeys
    this.#options = options
    // Behind its address may be another Redis now, to which the other requests go.
    if (!(client instanceof Cluster)) client.on('close', this.#end)
  }

  /** Returns those of the node that has a partition; undefined as long as that is not known. */
  of(partition: number): CheckedTransactions | undefined {
    if (!(this.#client instanceof Cluster)) return this.#on('', undefined)
    if (this.#nodeOf === undefined) {
      void this.#learnNodes(this.#client)
      return undefined
    }
    const node = this.#nodeOf(partition)
    return node === undefined ? undefined : this.#on(`${node.options.host}:${node.options.port}`, node)
  }

  [Symbol.dispose](): void {
    if (!(this.#client instanceof Cluster)) this.#client.off('close', this.#end)
    for (const one of this.#byNode.values()) one[Symbol.dispose]()
  }

  readonly #end = (): void => {
    for (const one of this.#byNode.values()) one.end()
  }

  async #learnNodes(client: Cluster): Promise<void> {
    if (this.#isLearning) return
    this.#isLearning = true
    // Without the slots, commits are scripts.
    this.#nodeOf = await clusterNodes(client, this.#partitionKeys).catch(() => undefined)
    this.#isLearning = false
  }

  #on(name: string, node: Redis | undefined): CheckedTransactions {
    const known = this.#byNode.get(name)
    if (known !== undefined) return known
    const created = new CheckedTransactions(this.#options, node)
    this.#byNode.set(name, created)
    return created
  }
}

/** How long no transaction is tried after Redis denied one of its commands. */
const DENIED_MS = 60_000

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
  /** The last failure, if Redis did not reply in time. */
  #timeout: Error | undefined
  #deniedUntil = Number.NEGATIVE_INFINITY
  #isDisposed = false

  constructor(connect: () => Promise<Redis>, onFailure: (error: Error) => void) {
    this.#connect = connect
    this.#onFailure = onFailure
  }

  async run(begin: () => CheckedTransaction): Promise<readonly unknown[] | undefined> {
    if (performance.now() < this.#deniedUntil) return undefined
    const turn = Promise.withResolvers<void>()
    const [lastTurn, failures] = [this.#lastTurn, this.#failures]
    this.#lastTurn = turn.promise
    this.waiting++
    try {
      await lastTurn
      if (failures === this.#failures) return await this.#execute(begin())
      // What waited for one that failed would have to wait for the same timeout again.
      if (this.#timeout !== undefined) throw this.#timeout
      return undefined
    } finally {
      this.waiting--
      turn.resolve()
    }
  }

  /** Ends the socket; the next transaction opens another. */
  end(): void {
    // It may be in the middle of a transaction.
    this.#client?.disconnect()
    this.#client = undefined
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true
    this.end()
  }

  async #execute({ watched, check, commands }: CheckedTransaction): Promise<readonly unknown[] | undefined> {
    const client = await this.#connected()
    if (client === undefined) return undefined
    return (await this.#isReady(client, watched, check)) ? this.#executeNow(client, commands) : undefined
  }

  /** Undefined if there is no connection, which the script will see for itself. */
  async #connected(): Promise<Redis | undefined> {
    if (this.#client?.status === 'ready') return this.#client
    this.end()
    try {
      const client = await this.#connect()
      if (this.#isDisposed) client.disconnect()
      else this.#client = client
    } catch (error) {
      this.#fail(error as Error)
    }
    return this.#client
  }

  /** Watches keys, checks, and begins a transaction unless the check refuses. */
  async #isReady(client: Redis, watched: readonly string[], check: Command): Promise<boolean> {
    try {
      const [isWatched, checked, isBegun] = await inOneWrite(client, () =>
        Promise.all([
          send(client, new Command('watch', [...watched])),
          send(client, check).catch(refusalOf),
          send(client, new Command('multi')),
        ]),
      )
      const isReady = Array.isArray(checked) && String(checked[0]) === 'ready'
      // Without MULTI, Redis would execute the commands at once.
      if (isReady && String(isWatched) === 'OK' && String(isBegun) === 'OK') return true
      await send(client, new Command('discard'))
    } catch (error) {
      this.#fail(error as Error)
      // The script would have to wait for the same timeout again.
      if (this.#timeout !== undefined) throw error
    }
    return false
  }

  async #executeNow(client: Redis, commands: readonly Command[]): Promise<readonly unknown[] | undefined> {
    let refusal: unknown
    try {
      const exec = new Command('exec', [], { replyEncoding: 'utf8' })
      const executed = inOneWrite(client, () => {
        for (const command of commands) {
          send(client, command).catch((error: unknown) => {
            refusal ??= error
          })
        }
        return send(client, exec)
      })
      const replies = (await executed) as readonly unknown[] | null
      const failed = replies?.find(reply => reply instanceof Error)
      if (failed !== undefined) throw failed
      return replies ?? undefined
    } catch (error) {
      const isAborted = isReply(error) && error.message.startsWith('EXECABORT')
      if (!isAborted || isDenial(refusal)) this.#fail((refusal ?? error) as Error)
      if (isAborted) return undefined
      throw error
    }
  }

  #fail(error: Error): void {
    this.#failures++
    this.end()
    this.#timeout = error.message.startsWith('Command timed out') ? error : undefined
    if (isDenial(error)) this.#deniedUntil = performance.now() + DENIED_MS
    this.#onFailure(denialOf(error) ?? error)
  }
}

function send(client: Redis, command: Command): Promise<unknown> {
  return client.sendCommand(command) as Promise<unknown>
}

/** The user may not run a command, or something between does not support it. */
function isDenial(error: unknown): boolean {
  return error instanceof Error && /NOPERM|unknown command|unsupported/i.test(error.message)
}

function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError'
}

/** Redis does not know the script yet. */
function refusalOf(error: unknown): unknown {
  if (isReply(error) && error.message.startsWith('NOSCRIPT')) return error
  throw error
}
