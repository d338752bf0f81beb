import { connect, type Socket } from 'node:net'
import { pause } from '@tidemark/shared/runtime/lifecycle'

/** A response as it was received. */
export interface HttpResponse {
  readonly status: number
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** Bytes kept per connection, so that an attack with 2,000 connections fits our own memory. */
const KEPT_BYTES_MAX = 4 * 1024 * 1024

/** Only a fault lasts so long: Node itself closes silent connections after 60 s. */
export const CLOSED_WITHIN_MS = 45_000

export interface ConnectionOptions {
  readonly port: number
  /** False for a client that never reads its responses. */
  readonly reads?: boolean
}

/** A raw TCP connection to the gateway, which can send what no HTTP client would. */
export class Connection implements Disposable {
  readonly socket: Socket
  /** Resolves when the connection is closed, with its age in milliseconds. */
  readonly closed: Promise<number>
  /** Resolves when nothing more will arrive: the gateway ended or closed the connection. */
  readonly ended: Promise<void>
  #isClosed = false
  #received: Buffer[] = []
  #receivedBytes = 0

  private constructor({ port, reads = true }: ConnectionOptions) {
    const begin = performance.now()
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: false })
    // A reset is one way to close a connection.
    this.socket.on('error', () => {})
    if (reads) this.socket.on('data', chunk => this.#receive(chunk))
    this.closed = new Promise(resolve => {
      this.socket.on('close', () => {
        this.#isClosed = true
        resolve(performance.now() - begin)
      })
    })
    this.ended = new Promise(resolve => {
      this.socket.on('end', resolve)
      this.socket.on('close', () => resolve())
    })
  }

  static async open(options: ConnectionOptions): Promise<Connection> {
    const connection = new Connection(options)
    await new Promise<void>((resolve, reject) => {
      connection.socket.once('connect', resolve)
      connection.socket.once('close', () => reject(new Error('the gateway refused the connection')))
    })
    return connection
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** What was received, as Latin-1: one character per byte. */
  get received(): string {
    return Buffer.concat(this.#received).toString('latin1')
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  send(bytes: string | Uint8Array): void {
    if (this.socket.writable) this.socket.write(bytes)
  }

  /** Writes and waits for the kernel, which limits our memory. Returns false if it is closed. */
  async push(bytes: Uint8Array): Promise<boolean> {
    if (!this.socket.writable) return false
    if (this.socket.write(bytes)) return true
    await Promise.race([new Promise(resolve => this.socket.once('drain', resolve)), this.closed])
    return this.socket.writable
  }

  /** The complete responses so far. */
  get responses(): HttpResponse[] {
    return parseResponses(this.received)
  }

  /** Waits for `count` complete responses, the end of the connection, or the timeout. */
  async waitForResponses(count = 1, withinMs = CLOSED_WITHIN_MS): Promise<HttpResponse[]> {
    const deadline = performance.now() + withinMs
    for (;;) {
      const { responses } = this
      if (responses.length >= count || this.#isClosed || performance.now() > deadline) return responses
      await Promise.race([pause(10), this.closed])
    }
  }

  /** Waits until the gateway has closed the connection. */
  async waitForClose(withinMs = CLOSED_WITHIN_MS): Promise<boolean> {
    await Promise.race([this.closed, pause(withinMs)])
    return this.#isClosed
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }

  #receive(chunk: Buffer): void {
    this.#receivedBytes += chunk.length
    if (this.#receivedBytes <= KEPT_BYTES_MAX) this.#received.push(chunk)
  }
}

/** Opens connections in groups, because thousands at once would overflow the listen backlog. */
export async function openMany(options: ConnectionOptions, count: number): Promise<Connection[]> {
  const connections: Connection[] = []
  while (connections.length < count) {
    const group = Math.min(100, count - connections.length)
    connections.push(...(await Promise.all(Array.from({ length: group }, () => Connection.open(options)))))
  }
  return connections
}

/** Splits received bytes into responses, without interim ones (100 Continue). */
export function parseResponses(text: string): HttpResponse[] {
  const responses: HttpResponse[] = []
  for (let at = 0; ; ) {
    const headEnd = text.indexOf('\r\n\r\n', at)
    if (headEnd === -1) return responses
    const [statusLine = '', ...lines] = text.slice(at, headEnd).split('\r\n')
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1] ?? Number.NaN)
    const headers = new Map(
      lines.map(line => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
      }),
    )
    at = headEnd + 4
    if (status >= 100 && status < 200) continue
    const length = Number(headers.get('content-length') ?? 0)
    if (text.length < at + length) return responses
    responses.push({ status, headers, body: text.slice(at, at + length) })
    at += length
  }
}
