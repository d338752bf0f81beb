import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { type Command, CommandNames } from './command.ts'
import { CommandReader, ReplyReader } from './resp.ts'

/**
 * The points of a command's way through the proxy at which a fault can be injected:
 *
 *     arriving   the command is complete at the proxy, and nothing of it was forwarded
 *     forwarded  it was sent to Redis
 *     replied    Redis has executed it, and the reply is at the proxy
 *     delivered  the reply was sent to the client
 */
export type Point = 'arriving' | 'forwarded' | 'replied' | 'delivered'

export interface Exchange {
  readonly proxy: RedisProxy
  readonly command: Command
  /** Set from the point `replied` on. */
  reply?: Buffer
}

/**
 * What is done with the current command or reply, and with its connection:
 *
 *     pass    it continues normally
 *     cut     it is dropped, and both ends are reset
 *     tear    only half of the command is sent, then both ends are reset
 *     orphan  the client's end is reset. Redis' end stays open until Redis has replied: the command
 *             is executed, but no client gets its reply
 *     defer   as orphan, but the command is sent only once `until` resolves, after later commands
 */
export type Effect =
  | { readonly kind: 'pass' | 'cut' | 'tear' | 'orphan' }
  | { readonly kind: 'defer'; readonly until: Promise<void> }

export const PASS: Effect = { kind: 'pass' }

/** Acts once, at the `nth` exchange that it matches, on whichever proxy that passes. */
export interface Interceptor {
  readonly point: Point
  readonly matches: (exchange: Exchange) => boolean
  /** May be slow: later traffic on the connection waits meanwhile. */
  readonly act: (exchange: Exchange) => Effect | Promise<Effect>
  remaining: number
}

/** Sees every command and reply before it can have an effect elsewhere. */
export interface ProxyAudit {
  forwarding(exchange: Exchange): void
  replied(exchange: Exchange): void
}

/**
 * How a proxy treats all its connections:
 *
 *     pass     bytes are forwarded after `delayMs`
 *     hole     nothing is forwarded in either direction, and no error occurs: half-open
 *     deaf     commands are forwarded, replies are not
 *     refuse   connections are refused
 */
export type Mode = 'pass' | 'hole' | 'deaf' | 'refuse'

/** Commands whose replies the audit needs even if the client is gone. */
const AWAITED = new Set(['commit', 'append', 'append-once'])

/** How long an orphaned connection waits for Redis to reply. */
const ORPHAN_MS = 3000

export interface ProxyOptions {
  readonly name: string
  readonly target: { readonly host: string; readonly port: number }
  readonly audit: ProxyAudit
  /** Shared by all proxies, so that an interceptor can act wherever it matches first. */
  readonly interceptors: Set<Interceptor>
}

/** A TCP proxy to Redis on its own port, where faults are injected. */
export class RedisProxy implements AsyncDisposable {
  readonly name: string
  readonly audit: ProxyAudit
  readonly interceptors: Set<Interceptor>
  target: { readonly host: string; readonly port: number }
  delayMs = 0
  #mode: Mode = 'pass'
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  #onModeChange = Promise.withResolvers<void>()

  private constructor({ name, target, audit, interceptors }: ProxyOptions, server: Server) {
    this.name = name
    this.target = target
    this.audit = audit
    this.interceptors = interceptors
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

  /** Resolves when the mode changes. */
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

/** A client's connection and the corresponding one to Redis. */
class Connection {
  readonly ended: Promise<void>
  readonly #proxy: RedisProxy
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #requests: Command[] = []
  /** Forwarded exchanges without a reply, oldest first. */
  readonly #pending: Exchange[] = []
  readonly #replies: { readonly bytes: Buffer; readonly exchange: Exchange | undefined }[] = []
  readonly #stop = new AbortController()
  #isForwarding = false
  #isDelivering = false
  /** The client is gone; replies are only audited. */
  #isOrphan = false
  /** From here on the connection carries replication instead of commands and replies. */
  #isRaw = false

  constructor(proxy: RedisProxy, client: Socket) {
    this.#proxy = proxy
    this.#client = client
    this.#upstream = connect(proxy.target)
    this.ended = once(this.#stop.signal, 'abort').then(() => undefined)
    const commands = new CommandReader()
    const names = new CommandNames()
    const replies = new ReplyReader()
    client.setNoDelay()
    this.#upstream.setNoDelay()
    client.on('data', chunk => {
      if (this.#isRaw) void this.#raw(chunk, this.#upstream)
      else this.#takeCommands(commands.push(chunk).map(raw => names.next(raw)))
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

  /** Resets the client's end only. */
  orphan(): void {
    this.#isOrphan = true
    abort(this.#client)
    setTimeout(() => this.end(), ORPHAN_MS).unref()
  }

  get #isEnded(): boolean {
    return this.#stop.signal.aborted
  }

  #clientClosed(): void {
    // Redis detects a closed client immediately and aborts its blocking read. A commit is executed
    // anyway, and the audit needs its reply.
    const isAwaited = this.#pending.some(({ command }) => AWAITED.has(command.name))
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
      const effect = await this.#intercept('arriving', exchange)
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
      const after = await this.#intercept('forwarded', exchange)
      if (after.kind === 'pass') continue
      if (after.kind === 'cut') this.end()
      else this.orphan()
      return
    }
  }

  #send(exchange: Exchange): void {
    if (exchange.command.name === 'psync') this.#isRaw = true
    this.#proxy.audit.forwarding(exchange)
    this.#pending.push(exchange)
    this.#upstream.write(exchange.command.bytes)
  }

  #takeReplies(replies: readonly { readonly bytes: Buffer; readonly isPush: boolean }[]): void {
    for (const { bytes, isPush } of replies) {
      const exchange = isPush ? undefined : this.#pending.shift()
      if (exchange !== undefined) {
        exchange.reply = bytes
        this.#proxy.audit.replied(exchange)
      }
      this.#replies.push({ bytes, exchange })
    }
    if (this.#isOrphan) {
      if (this.#pending.length === 0) this.end()
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
      const effect = exchange === undefined ? PASS : await this.#intercept('replied', exchange)
      if (effect.kind !== 'pass') {
        this.end()
        return
      }
      if (this.#client.writable) this.#client.write(bytes)
      if (exchange !== undefined) await this.#intercept('delivered', exchange)
    }
  }

  /** Waits while the proxy's mode is one of `modes`, then for its delay. */
  async #passing(...modes: Mode[]): Promise<void> {
    const stopped = this.ended
    while (modes.includes(this.#proxy.mode) && !this.#isEnded) await Promise.race([this.#proxy.modeChange, stopped])
    if (this.#proxy.delayMs > 0) await pause(this.#proxy.delayMs, this.#stop.signal)
  }

  async #raw(chunk: Buffer, to: Socket): Promise<void> {
    await this.#passing('hole')
    if (!this.#isEnded) to.write(chunk)
  }

  async #intercept(point: Point, exchange: Exchange): Promise<Effect> {
    for (const interceptor of this.#proxy.interceptors) {
      if (interceptor.point !== point || !interceptor.matches(exchange)) continue
      interceptor.remaining--
      if (interceptor.remaining > 0) continue
      this.#proxy.interceptors.delete(interceptor)
      return interceptor.act(exchange)
    }
    return PASS
  }
}

/**
 * Resets a connection, but not one that is being ended: libuv refuses that, and Node would keep the
 * handle forever and wake the process again and again.
 */
function abort(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
