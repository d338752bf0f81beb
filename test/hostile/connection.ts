import { connect, type Socket } from 'node:net'
import { pause } from '@tidemark/shared/runtime/lifecycle'

/** An answer as it stood on the wire. */
export interface Answer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** Bytes kept of what the other side says: an attack with 2,000 connections must not fill our own memory. */
const KEPT_BYTES_MAX = 4 * 1024 * 1024

export interface ConnectionOptions {
  readonly port: number
  /** False for a client that never takes its answers. */
  readonly reads?: boolean
}

/** A TCP connection to the gateway that says what no HTTP client would. */
export class Connection implements Disposable {
  readonly socket: Socket
  /** Resolves when the connection is over, however it ended; with milliseconds since it began. */
  readonly closed: Promise<number>
  /** Resolves when nothing more will come: the other side hung up or finished. */
  readonly ended: Promise<void>
  #isOver = false
  #heard: Buffer[] = []
  #heardBytes = 0

  private constructor({ port, reads = true }: ConnectionOptions) {
    const begin = performance.now()
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: false })
    // A reset is one of the ways to hang up.
    this.socket.on('error', () => {})
    if (reads) this.socket.on('data', chunk => this.#hear(chunk))
    this.closed = new Promise(resolve => {
      this.socket.on('close', () => {
        this.#isOver = true
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
      connection.socket.once('close', () => reject(new Error('the gateway takes no connection')))
    })
    return connection
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** What came, as Latin-1: one character a byte. */
  get heard(): string {
    return Buffer.concat(this.#heard).toString('latin1')
  }

  get heardBytes(): number {
    return this.#heardBytes
  }

  send(bytes: string | Uint8Array): void {
    if (this.socket.writable) this.socket.write(bytes)
  }

  /** Writes and waits until the kernel has it, so that a body of 100 MB is not in our memory. False: nobody listens any more. */
  async push(bytes: Uint8Array): Promise<boolean> {
    if (!this.socket.writable) return false
    if (this.socket.write(bytes)) return true
    await Promise.race([new Promise(resolve => this.socket.once('drain', resolve)), this.closed])
    return this.socket.writable
  }

  /** The answers that came whole so far. */
  get answers(): Answer[] {
    return readAnswers(this.heard)
  }

  /** Waits until `count` whole answers are there, or the connection or the patience ends. */
  async answered(count = 1, withinMs = 10_000): Promise<Answer[]> {
    const deadline = performance.now() + withinMs
    for (;;) {
      const { answers } = this
      if (answers.length >= count || this.#isOver || performance.now() > deadline) return answers
      await Promise.race([pause(10), this.closed])
    }
  }

  /** Waits until the other side hung up. */
  async hungUp(withinMs: number): Promise<boolean> {
    await Promise.race([this.closed, pause(withinMs)])
    return this.#isOver
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }

  #hear(chunk: Buffer): void {
    this.#heardBytes += chunk.length
    if (this.#heardBytes <= KEPT_BYTES_MAX) this.#heard.push(chunk)
  }
}

/** Opens connections in groups: thousands at once would overflow the listener's backlog, and SYNs are sent again after 1 s. */
export async function openMany(options: ConnectionOptions, count: number): Promise<Connection[]> {
  const connections: Connection[] = []
  while (connections.length < count) {
    const group = Math.min(100, count - connections.length)
    connections.push(...(await Promise.all(Array.from({ length: group }, () => Connection.open(options)))))
  }
  return connections
}

/** Splits what came into answers. An interim answer (100 Continue) is none. */
export function readAnswers(text: string): Answer[] {
  const answers: Answer[] = []
  for (let at = 0; ; ) {
    const headEnd = text.indexOf('\r\n\r\n', at)
    if (headEnd === -1) return answers
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
    if (text.length < at + length) return answers
    answers.push({ status, headers, body: text.slice(at, at + length) })
    at += length
  }
}
