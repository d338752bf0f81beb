import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { ChunkSizeLimit } from './chunk-size.ts'
import { type Refusal, refusalResponse, toBytes } from './refusal.ts'

/**
 * Responses of one connection that are being made or sent; further requests wait. A client may
 * pipeline: 1,000 requests fit into one packet, and a response can have 300 kB.
 */
const OPEN_RESPONSES_MAX = 32

/**
 * How long, and how much, a client may go on sending after the response to a request that was not
 * received in full. If the connection were closed with unread input, TCP would reset it, and the
 * client could lose the response.
 */
const LINGER = { ms: 500, bytes: 4 * 1024 * 1024 } as const

/** Unread bytes are counted at this interval, and at once after this share of the limit. */
const UNREAD_CHECK = { everyMs: 250, share: 0.25 } as const

/**
 * One client's connection. Its states:
 *
 * - idle: no response is open.
 * - busy: responses are open; requests beyond OPEN_RESPONSES_MAX wait for one of them to be sent.
 * - refused: the rest of its input cannot be understood. The requests before that get their
 *   responses, then the refusal is sent, and the connection is closed.
 * - lingering: the last response is sent; remaining input is discarded for at most LINGER.ms.
 */
interface Connection {
  readonly openResponses: Set<ServerResponse>
  /** Begins each waiting request, in order of arrival. */
  readonly waiting: (() => void)[]
  /** The request that arrived last, whose body may still be arriving, and its response. */
  newest: IncomingMessage | undefined
  newestResponse: ServerResponse | undefined
  refusal: Refusal | undefined
}

export interface ConnectionsOptions {
  /** Bytes of responses that clients have not read yet, all connections together. */
  readonly unreadBytesMax: number
  readonly serve: (incoming: IncomingMessage, outgoing: ServerResponse) => void
  /** Called with the status of each response to input that never becomes a request of the app. */
  readonly onRefused: (status: number) => void
  /** Called for each connection that is closed because too many bytes are unread. */
  readonly onUnread: () => void
}

export interface Connections extends Disposable {
  /** Serves a request, at once or when enough responses of its connection are sent. */
  accept(incoming: IncomingMessage, outgoing: ServerResponse): void
  /** Responds to a request that the app never sees. */
  refuseRequest(incoming: IncomingMessage, outgoing: ServerResponse, refusal: Refusal): void
  /** Closes a connection with a response, after those to the requests before it. */
  refuse(socket: Duplex, refusal: Refusal): void
}

/** Limits pipelining and unread responses, and closes connections gracefully. */
export function createConnections({ unreadBytesMax, serve, onRefused, onUnread }: ConnectionsOptions): Connections {
  const connections = new WeakMap<Duplex, Connection>()
  const unread = createUnreadLimit(unreadBytesMax, onUnread)

  function connectionOf(socket: Duplex): Connection {
    let connection = connections.get(socket)
    if (connection === undefined) {
      connection = {
        openResponses: new Set(),
        waiting: [],
        newest: undefined,
        newestResponse: undefined,
        refusal: undefined,
      }
      connections.set(socket, connection)
    }
    return connection
  }

  function begin(connection: Connection, incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { socket } = incoming
    connection.openResponses.add(outgoing)
    unread.watch(socket, connection)
    outgoing.once('prefinish', () => unread.add(outgoing.writableLength))
    outgoing.once('finish', () => {
      if (!incoming.complete) linger(incoming)
    })
    outgoing.once('close', () => {
      connection.openResponses.delete(outgoing)
      if (socket.destroyed) {
        // Waiting requests were not begun, and node:http does not close the responses behind the
        // one being sent.
        connection.waiting.length = 0
        connection.openResponses.clear()
      } else connection.waiting.shift()?.()
      if (connection.openResponses.size === 0) unread.forget(socket)
      closeIfRefused(socket, connection)
    })
    serve(incoming, outgoing)
  }

  /** Sends the refusal, once the requests before the refused input have their responses. */
  function closeIfRefused(socket: Duplex, connection: Connection): void {
    const { refusal, newest, newestResponse, openResponses, waiting } = connection
    if (refusal === undefined || socket.destroyed) return
    // If the body of the newest request is incomplete, the fault is in that body: the request
    // itself is refused, and the refusal takes the place of its response, which must not be waited
    // for. It is the last of those that are counted here.
    const isNewestRefused = newest !== undefined && !newest.complete
    const responsesAhead = openResponses.size + waiting.length - (isNewestRefused ? 1 : 0)
    if (responsesAhead > 0) return
    waiting.length = 0
    if (isNewestRefused && newestResponse?.headersSent === true) {
      // It has a response already, such as 413 before its body was complete.
      socket.end()
    } else {
      const response = refusalResponse(refusal)
      onRefused(response.status)
      // Requests can time out by the thousand at one moment. They send nothing, so their
      // connections need not linger.
      socket.end(toBytes(response), refusal === 'request-timeout' ? () => socket.destroy() : undefined)
    }
    if (refusal !== 'request-timeout') setTimeout(() => socket.destroy(), LINGER.ms).unref()
  }

  return {
    accept(incoming, outgoing) {
      const connection = connectionOf(incoming.socket)
      connection.newest = incoming
      connection.newestResponse = outgoing
      if (connection.openResponses.size < OPEN_RESPONSES_MAX) begin(connection, incoming, outgoing)
      else connection.waiting.push(() => begin(connection, incoming, outgoing))
    },
    refuseRequest(incoming, outgoing, refusal) {
      const connection = connectionOf(incoming.socket)
      connection.newest = incoming
      connection.newestResponse = outgoing
      const { status, headers, body } = refusalResponse(refusal)
      onRefused(status)
      outgoing.writeHead(status, headers).end(body)
    },
    refuse(socket, refusal) {
      const connection = connectionOf(socket)
      // Further errors of the connection follow from the first.
      if (connection.refusal !== undefined) return
      connection.refusal = refusal
      closeIfRefused(socket, connection)
    },
    [Symbol.dispose]: unread.stop,
  }
}

/**
 * Limits the bytes of responses that clients have not read, all connections together. Beyond the
 * limit the connections that have been busy for longest are closed: a healthy client reads its
 * response at once.
 */
function createUnreadLimit(bytesMax: number, onUnread: () => void) {
  /** Connections with open responses, the one that has been busy for longest first. */
  const busy = new Map<Duplex, Connection>()
  /** Bytes of responses since the last check. */
  let addedBytes = 0

  function check(): void {
    addedBytes = 0
    let total = 0
    for (const connection of busy.values()) total += unreadBytes(connection)
    for (const [socket, connection] of busy) {
      if (total <= bytesMax) return
      const bytes = unreadBytes(connection)
      if (bytes === 0) continue
      total -= bytes
      onUnread()
      socket.destroy()
    }
  }
  const timer = setInterval(check, UNREAD_CHECK.everyMs).unref()

  return {
    watch(socket: Duplex, connection: Connection): void {
      busy.set(socket, connection)
    },
    forget(socket: Duplex): void {
      busy.delete(socket)
    },
    /** Counts the bytes of a response that its socket has not taken. */
    add(bytes: number): void {
      addedBytes += bytes
      if (addedBytes > bytesMax * UNREAD_CHECK.share) check()
    },
    stop: () => clearInterval(timer),
  }
}

function unreadBytes({ openResponses }: Connection): number {
  let bytes = 0
  for (const outgoing of openResponses) bytes += outgoing.writableLength
  return bytes
}

/** Discards the rest of a request, within limits. If it ends in time, the connection lives on. */
function linger(incoming: IncomingMessage): void {
  const { socket } = incoming
  const chunkSizes = new ChunkSizeLimit()
  let bytes = 0
  const cut = (): void => {
    clearTimeout(timer)
    socket.destroy()
  }
  const timer = setTimeout(cut, LINGER.ms)
  timer.unref()
  incoming.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength
    if (bytes > LINGER.bytes || !chunkSizes.allows(chunk)) cut()
  })
  incoming.on('end', () => clearTimeout(timer))
  incoming.resume()
  // The reader of the body may have paused it.
  socket.resume()
}
