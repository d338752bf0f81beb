import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { createPace } from './body.ts'
import { answerOf, bytesOf, type Refusal } from './refusal.ts'

/**
 * Answers of one connection that are being made or wait to be read. A client may send its next request without waiting,
 * but 1,000 requests fit into one packet, and each answer can have 300 kB.
 */
const UNANSWERED_MAX = 32

/**
 * What a client may go on sending when it was answered before its request was over: a connection that is closed before its
 * bytes were read is reset, and the answer with it.
 */
const LINGER = { ms: 500, bytes: 4 * 1024 * 1024 } as const

/** How often it is looked at how much of the answers is unread. A large share of new ones is looked at at once. */
const UNREAD = { checkMs: 250, share: 0.25 } as const

/** One client's connection. */
interface Connection {
  readonly unanswered: Set<ServerResponse>
  /** Requests that begin when others are answered, in their order. */
  readonly waiting: (() => void)[]
  /** The request that came last; its body may still be coming. */
  newest: IncomingMessage | undefined
  newestAnswer: ServerResponse | undefined
  refusal: Refusal | undefined
}

export interface ConnectionsOptions {
  /** Bytes of answers that their clients have not taken yet, all connections together. */
  readonly unreadBytesMax: number
  readonly serve: (incoming: IncomingMessage, outgoing: ServerResponse) => void
  /** Told the status of each answer that no request of the app gets. */
  readonly onRefused: (status: number) => void
  /** Told of each connection that is closed because too much is unread. */
  readonly onUnread: () => void
}

export interface Connections extends Disposable {
  /** Serves a request, at once or when enough of the same connection's are answered. */
  take(incoming: IncomingMessage, outgoing: ServerResponse): void
  /** Answers a request that the app never sees. */
  refuseRequest(incoming: IncomingMessage, outgoing: ServerResponse, refusal: Refusal): void
  /** Ends a connection with an answer, after those of the requests before it, so that none is taken for another's. */
  refuse(socket: Duplex, refusal: Refusal): void
}

/**
 * What the server knows of each connection, beyond its requests. When too much of all answers together is unread, the
 * connection that is busy for longest gives way, as with bodies: a healthy client takes its answer at once.
 */
export function createConnections({ unreadBytesMax, serve, onRefused, onUnread }: ConnectionsOptions): Connections {
  const connections = new WeakMap<Duplex, Connection>()
  /** Those with unanswered requests, the one that is so for longest first. */
  const busy = new Map<Duplex, Connection>()
  let uncheckedBytes = 0

  function checkUnread(): void {
    uncheckedBytes = 0
    let total = 0
    for (const connection of busy.values()) total += unreadBytes(connection)
    for (const [socket, connection] of busy) {
      if (total <= unreadBytesMax) return
      const bytes = unreadBytes(connection)
      if (bytes === 0) continue
      total -= bytes
      onUnread()
      socket.destroy()
    }
  }
  const timer = setInterval(checkUnread, UNREAD.checkMs).unref()

  function connectionOf(socket: Duplex): Connection {
    let connection = connections.get(socket)
    if (connection === undefined) {
      connection = {
        unanswered: new Set(),
        waiting: [],
        newest: undefined,
        newestAnswer: undefined,
        refusal: undefined,
      }
      connections.set(socket, connection)
    }
    return connection
  }

  function begin(connection: Connection, incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { socket } = incoming
    connection.unanswered.add(outgoing)
    busy.set(socket, connection)
    outgoing.once('prefinish', () => {
      uncheckedBytes += outgoing.writableLength
      if (uncheckedBytes > unreadBytesMax * UNREAD.share) checkUnread()
    })
    outgoing.once('finish', () => {
      if (!incoming.complete) linger(incoming)
    })
    outgoing.once('close', () => {
      connection.unanswered.delete(outgoing)
      // A connection that is gone takes what it still wanted with it: none of that was begun.
      if (socket.destroyed) forget(socket, connection)
      else connection.waiting.shift()?.()
      if (connection.unanswered.size === 0) busy.delete(socket)
      end(socket, connection)
    })
    serve(incoming, outgoing)
  }

  function forget(socket: Duplex, connection: Connection): void {
    connection.waiting.length = 0
    // Answers behind the one that was being written never hear that their connection is gone.
    connection.unanswered.clear()
    busy.delete(socket)
  }

  function end(socket: Duplex, connection: Connection): void {
    const { refusal, newest, newestAnswer } = connection
    if (refusal === undefined || socket.destroyed) return
    // A request whose body is broken is what is refused; those before it have answers of their own.
    const isCut = newest !== undefined && !newest.complete
    if (connection.unanswered.size + connection.waiting.length > (isCut ? 1 : 0)) return
    connection.waiting.length = 0
    if (isCut && newestAnswer?.headersSent === true) {
      socket.end()
    } else {
      const answer = answerOf(refusal)
      onRefused(answer.status)
      // Thousands can be too slow at the same moment, and nothing of theirs is on its way.
      socket.end(bytesOf(answer), refusal === 'request-timeout' ? () => socket.destroy() : undefined)
    }
    if (refusal !== 'request-timeout') setTimeout(() => socket.destroy(), LINGER.ms).unref()
  }

  return {
    take(incoming, outgoing) {
      const connection = connectionOf(incoming.socket)
      connection.newest = incoming
      connection.newestAnswer = outgoing
      if (connection.unanswered.size < UNANSWERED_MAX) begin(connection, incoming, outgoing)
      else connection.waiting.push(() => begin(connection, incoming, outgoing))
    },
    refuseRequest(incoming, outgoing, refusal) {
      const connection = connectionOf(incoming.socket)
      connection.newest = incoming
      connection.newestAnswer = outgoing
      const { status, headers, body } = answerOf(refusal)
      onRefused(status)
      outgoing.writeHead(status, headers).end(body)
    },
    refuse(socket, refusal) {
      const connection = connectionOf(socket)
      // Whatever comes after the first fault is another of the same.
      if (connection.refusal !== undefined) return
      connection.refusal = refusal
      end(socket, connection)
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}

function unreadBytes({ unanswered }: Connection): number {
  let bytes = 0
  for (const outgoing of unanswered) bytes += outgoing.writableLength
  return bytes
}

/** Reads what still comes of a body that nobody wants, within limits. A client that ends it in time keeps its connection. */
function linger(incoming: IncomingMessage): void {
  const { socket } = incoming
  const pace = createPace()
  let bytes = 0
  const cut = (): void => {
    clearTimeout(timer)
    socket.destroy()
  }
  const timer = setTimeout(cut, LINGER.ms)
  timer.unref()
  incoming.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength
    if (bytes > LINGER.bytes || !pace.allows(chunk)) cut()
  })
  incoming.on('end', () => clearTimeout(timer))
  incoming.resume()
  // The body's reader may have stopped it.
  socket.resume()
}
