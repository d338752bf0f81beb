import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { type Command, toCommand } from './command.ts'
import { CommandReader, ReplyReader } from './resp.ts'

/**
 * A command's way through the proxy. A fault can strike at each of these points:
 *
 *     arriving   it is whole at the proxy, and nothing of it went on
 *     forwarded  it went on to Redis
 *     replied    Redis has executed it, and its reply is at the proxy
 *     delivered  the reply went on to the client
 */
export type Point = 'arriving' | 'forwarded' | 'replied' | 'delivered'

export interface Exchange {
  readonly proxy: RedisProxy
  readonly command: Command
  /** From the point `replied` on. */
  reply?: Buffer
}

/**
 * What is done with the command or reply at hand, and with its connection.
 *
 *     pass    goes on as if nothing were
 *     cut     is dropped, and both ends are reset
 *     tear    only half of the command goes on, then both ends are reset
 *     orphan  the client's end is reset, Redis' end stays open until it has answered: what was sent is executed, and what
 *             was asked for is handed to nobody
 *     defer   as orphan, but the command goes on to Redis only when `until` resolves: late, after others that were sent later
 */
export type Effect =
  | { readonly kind: 'pass' | 'cut' | 'tear' | 'orphan' }
  | { readonly kind: 'defer'; readonly until: Promise<void> }

export const PASS: Effect = { kind: 'pass' }

/** Strikes once, at the `nth` exchange that it matches, on whichever proxy that is. */
export interface Rule {
  readonly point: Point
  readonly matches: (exchange: Exchange) => boolean
  /** May take its time: what follows on the connection waits meanwhile. */
  readonly act: (exchange: Exchange) => Effect | Promise<Effect>
  left: number
}

/** What an auditor is told of every command: it is told before what it hears of can have had an effect elsewhere. */
export interface ProxyAudit {
  forwarding(exchange: Exchange): void
  replied(exchange: Exchange): void
}

/**
 *     pass     bytes go on, after `delayMs`
 *     hole     nothing goes on, in neither direction, and nobody is told: a half-open connection
 *     deaf     commands go on, replies do not
 *     refuse   nobody gets a connection
 */
export type Mode = 'pass' | 'hole' | 'deaf' | 'refuse'

/** What Redis executes though its client is gone, and an auditor wants to hear of. */
const AWAITED = new Set(['commit', 'append', 'append-once'])

/** How long a connection that lost its client waits for Redis to answer what was sent. */
const ORPHAN_MS = 3000

export interface ProxyOptions {
  readonly name: string
  readonly target: { readonly host: string; readonly port: number }
  readonly audit: ProxyAudit
  /** Of all proxies together, so that a rule can strike wherever it matches first. */
  readonly rules: Set<Rule>
}

/** One way to Redis on a port of its own, for faults to strike on. */
export class RedisProxy implements AsyncDisposable {
  readonly name: string
  readonly audit: ProxyAudit
  readonly rules: Set<Rule>
  target: { readonly host: string; readonly port: number }
  delayMs = 0
  #mode: Mode = 'pass'
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  #onModeChange = Promise.withResolvers<void>()

  private constructor({ name, target, audit, rules }: ProxyOptions, server: Server) {
    this.name = name
    this.target = target
    this.audit = audit
    this.rules = rules
    this.#server = server
    server.on('connection', (socket: Socket) => this.#accept(socket))
  }

  static async open(options: ProxyOptions & { readonly port?: number }): Promise<RedisProxy> {
    const server = createServer().listen(options.port ?? 0, '127.0.0.1')
    await once(server, 'listening')
    return new RedisProxy(options, server)
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  get mode(): Mode {
    return this.#mode
  }

  /** Resolves when the mode is another one. */
  get modeChange(): Promise<void> {
    return this.#onModeChange.promise
  }

  set mode(mode: Mode) {
    this.#mode = mode
    this.#onModeChange.resolve()
    this.#onModeChange = Promise.withResolvers<void>()
    if (mode === 'refuse') this.reset()
  }

  /** Resets every connection. */
  reset(): void {
    for (const connection of this.#connections) connection.end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.mode = 'refuse'
    this.#server.close()
    await once(this.#server, 'close')
  }

  #accept(client: Socket): void {
    client.on('error', () => {})
    if (this.#mode === 'refuse') {
      abort(client)
      return
    }
    const connection = new Connection(this, client)
    this.#connections.add(connection)
    void connection.ended.then(() => this.#connections.delete(connection))
  }
}

/** One client's connection and the one to Redis that stands behind it. */
class Connection {
  readonly ended: Promise<void>
  readonly #proxy: RedisProxy
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #requests: Command[] = []
  /** Forwarded and not answered, oldest first. */
  readonly #waiting: Exchange[] = []
  readonly #replies: { readonly bytes: Buffer; readonly exchange: Exchange | undefined }[] = []
  readonly #stop = new AbortController()
  #isForwarding = false
  #isDelivering = false
  /** Nobody hears the replies any more. */
  #isOrphan = false
  /** The connection carries something else than commands and replies from here on: replication. */
  #isRaw = false

  constructor(proxy: RedisProxy, client: Socket) {
    this.#proxy = proxy
    this.#client = client
    this.#upstream = connect(proxy.target)
    this.ended = once(this.#stop.signal, 'abort').then(() => undefined)
    const commands = new CommandReader()
    const replies = new ReplyReader()
    client.setNoDelay()
    this.#upstream.setNoDelay()
    client.on('data', chunk => {
      if (this.#isRaw) void this.#raw(chunk, this.#upstream)
      else this.#takeCommands(commands.push(chunk).map(toCommand))
    })
    this.#upstream.on('data', chunk => {
      if (this.#isRaw) void this.#raw(chunk, client)
      else this.#takeReplies(replies.push(chunk))
    })
    client.on('close', () => this.#clientClosed())
    client.on('end', () => client.destroy())
    this.#upstream.on('error', () => this.end())
    this.#upstream.on('close', () => this.end())
  }

  end(): void {
    this.#stop.abort()
    abort(this.#client)
    abort(this.#upstream)
  }

  /** Resets the client's end alone. */
  orphan(): void {
    this.#isOrphan = true
    abort(this.#client)
    setTimeout(() => this.end(), ORPHAN_MS).unref()
  }

  get #isEnded(): boolean {
    return this.#stop.signal.aborted
  }

  #clientClosed(): void {
    // Redis notices at once that a client of a dead process is gone, and stops a read that waits. A commit it has executed
    // or will: its answer tells the auditor.
    const isAwaited = this.#waiting.some(({ command }) => AWAITED.has(command.name))
    if (this.#isEnded || this.#isOrphan) return
    if (isAwaited) this.orphan()
    else this.end()
  }

  #takeCommands(commands: Command[]): void {
    this.#requests.push(...commands)
    if (this.#isForwarding) return
    this.#isForwarding = true
    void this.#forward().finally(() => {
      this.#isForwarding = false
    })
  }

  async #forward(): Promise<void> {
    for (let command = this.#requests.shift(); command !== undefined; command = this.#requests.shift()) {
      await this.#passing('hole')
      if (this.#isEnded) return
      const exchange: Exchange = { proxy: this.#proxy, command }
      const effect = await this.#struck('arriving', exchange)
      if (this.#isEnded) return
      switch (effect.kind) {
        case 'cut':
          this.end()
          return
        case 'tear':
          this.#upstream.write(command.bytes.subarray(0, command.bytes.length >> 1), () => this.end())
          return
        case 'defer':
          this.#isOrphan = true
          abort(this.#client)
          await effect.until
          break
        case 'orphan':
          this.orphan()
          break
        case 'pass':
      }
      if (this.#isEnded) return
      this.#send(exchange)
      if (effect.kind === 'defer') {
        this.orphan()
        return
      }
      const after = await this.#struck('forwarded', exchange)
      if (after.kind === 'pass') continue
      if (after.kind === 'cut') this.end()
      else this.orphan()
      return
    }
  }

  #send(exchange: Exchange): void {
    if (exchange.command.name === 'psync') this.#isRaw = true
    this.#proxy.audit.forwarding(exchange)
    this.#waiting.push(exchange)
    this.#upstream.write(exchange.command.bytes)
  }

  #takeReplies(replies: readonly { readonly bytes: Buffer; readonly isPush: boolean }[]): void {
    for (const { bytes, isPush } of replies) {
      const exchange = isPush ? undefined : this.#waiting.shift()
      if (exchange !== undefined) {
        exchange.reply = bytes
        this.#proxy.audit.replied(exchange)
      }
      this.#replies.push({ bytes, exchange })
    }
    if (this.#isOrphan) {
      if (this.#waiting.length === 0) this.end()
      return
    }
    if (this.#isDelivering) return
    this.#isDelivering = true
    void this.#deliver().finally(() => {
      this.#isDelivering = false
    })
  }

  async #deliver(): Promise<void> {
    for (let reply = this.#replies.shift(); reply !== undefined; reply = this.#replies.shift()) {
      await this.#passing('hole', 'deaf')
      if (this.#isEnded) return
      const { bytes, exchange } = reply
      const effect = exchange === undefined ? PASS : await this.#struck('replied', exchange)
      if (effect.kind !== 'pass') {
        this.end()
        return
      }
      if (this.#client.writable) this.#client.write(bytes)
      if (exchange !== undefined) await this.#struck('delivered', exchange)
    }
  }

  /** Waits while the proxy's mode is one of `modes`, and for its delay. */
  async #passing(...modes: Mode[]): Promise<void> {
    const stopped = this.ended
    while (modes.includes(this.#proxy.mode) && !this.#isEnded) await Promise.race([this.#proxy.modeChange, stopped])
    if (this.#proxy.delayMs > 0) await pause(this.#proxy.delayMs, this.#stop.signal)
  }

  async #raw(chunk: Buffer, to: Socket): Promise<void> {
    await this.#passing('hole')
    if (!this.#isEnded) to.write(chunk)
  }

  async #struck(point: Point, exchange: Exchange): Promise<Effect> {
    for (const rule of this.#proxy.rules) {
      if (rule.point !== point || !rule.matches(exchange)) continue
      rule.left--
      if (rule.left > 0) continue
      this.#proxy.rules.delete(rule)
      return rule.act(exchange)
    }
    return PASS
  }
}

/**
 * Resets a connection. Not one whose end is on its way: libuv refuses that, and Node would keep the handle for ever, which
 * then wakes the process again and again.
 */
function abort(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
