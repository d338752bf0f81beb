import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { ChunkSizeLimit } from './pending-body.ts'
import { type Refusal, refusalResponse, toBytes } from './refusal.ts'

/** Open responses of one connection: a client may pipeline 1,000 requests for 300 kB each. */
const OPEN_RESPONSES_MAX = 32

/**
 * What is read and discarded after the last response, or after one that came before its request was
 * complete: closing with unread input resets TCP, and the client may lose the response. It ends
 * after `quietMs` without input, and at `ms`, `bytes` or `requests` at the latest.
 */
const LINGER = { quietMs: 500, ms: 5000, bytes: 8 * 1024 * 1024, requests: 1000, checkedEveryMs: 100 } as const

/** Unread bytes are counted at this interval, and at once after this share of the limit. */
const UNREAD_CHECK = { everyMs: 250, share: 0.25 } as const

/**
 * One client's connection. Its states:
 *
 * - idle: no response is open.
 * - busy: responses are open; requests beyond OPEN_RESPONSES_MAX wait for one of them to be sent.
 * - refused: the rest of its input cannot be understood. The requests before that get their
 *   responses, then the refusal is sent, and the connection is closed.
 * - closing: its last request has arrived. Requests behind it are discarded: a client must repeat
 *   requests that got no response before the connection was closed.
 * - lingering: the last response is sent; remaining input is discarded within LINGER.
 */
interface Connection {
  readonly socket: Duplex
  /** In order of arrival. A Set would keep responses alive: see 0019. */
  readonly openResponses: ServerResponse[]
  /** The lower, the earlier it became busy. */
  busySince: number
  /** Begins each waiting request, in order of arrival. */
  readonly waiting: (() => void)[]
  /** The response to the request that arrived last, whose body may still be arriving. */
  newest: ServerResponse | undefined
  refusal: Refusal | undefined
  /** Requests so far. */
  requests: number
  /** How many of them are served. */
  requestsMax: number
}

interface ConnectionsOptions {
  /** Bytes of responses that clients have not read yet, all connections together. */
  readonly unreadBytesMax: number
  readonly serve: (incoming: IncomingMessage, outgoing: ServerResponse) => void
  /** Called with the status of each response to input that never becomes a request of the app. */
  readonly onRefused: (status: number) => void
  /** Called for each connection that is closed because too many bytes are unread. */
  readonly onUnread: () => void
  /** Requests after which a connection is closed; 0 for never. */
  readonly requestsMax: number
}

/** Limits pipelining and unread responses, and closes connections gracefully. */
export function createConnections({
  unreadBytesMax,
  serve,
  onRefused,
  onUnread,
  requestsMax: configuredMax,
}: ConnectionsOptions) {
  const requestsMax = configuredMax === 0 ? Number.POSITIVE_INFINITY : configuredMax
  const connections = new WeakMap<Duplex, Connection>()
  const unread = createUnreadLimit(unreadBytesMax, onUnread)

  function connectionOf(socket: Duplex): Connection {
    let connection = connections.get(socket)
    if (connection === undefined) {
      connection = {
        socket,
        openResponses: [],
        busySince: 0,
        waiting: [],
        newest: undefined,
        refusal: undefined,
        requests: 0,
        requestsMax,
      }
      connections.set(socket, connection)
      unread.watch(connection)
    }
    return connection
  }

  function begin(connection: Connection, incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { socket } = incoming
    if (connection.openResponses.push(outgoing) === 1) unread.begin(connection)
    // Both happen once. A listener that removes itself costs several times as much.
    outgoing.on('prefinish', () => unread.add(outgoing.writableLength))
    outgoing.on('close', () => {
      const at = connection.openResponses.indexOf(outgoing)
      if (at >= 0) connection.openResponses.splice(at, 1)
      if (socket.destroyed) {
        // Waiting requests never began, and node:http closes only the response being sent.
        connection.waiting.length = 0
        connection.openResponses.length = 0
      } else {
        discardRest(incoming)
        connection.waiting.shift()?.()
      }
      closeIfRefused(socket, connection)
    })
    serve(incoming, outgoing)
  }

  /** Sends the refusal, once the requests before the refused input have their responses. */
  function closeIfRefused(socket: Duplex, connection: Connection): void {
    const { refusal, newest, openResponses, waiting } = connection
    if (refusal === undefined || socket.destroyed || socket.writableEnded) return
    // If the newest request is incomplete, the fault is in its body: the refusal takes the place of
    // its response, the last of those counted here.
    const isNewestRefused = newest !== undefined && !newest.req.complete
    const responsesAhead = openResponses.length + waiting.length - (isNewestRefused ? 1 : 0)
    if (responsesAhead > 0) return
    waiting.length = 0
    if (isNewestRefused && newest.headersSent) {
      // It has a response already, such as 413 before its body was complete.
      socket.end()
    } else {
      const response = refusalResponse(refusal)
      onRefused(response.status)
      // Requests can time out by the thousand at once. They send nothing, so they need not linger.
      socket.end(toBytes(response), refusal.kind === 'request-timeout' ? () => socket.destroy() : undefined)
    }
    if (refusal.kind !== 'request-timeout') linger(socket)
  }

  return {
    /** Must be called with each new connection. */
    open(socket: Socket): void {
      // node:http calls it after the last response, and by default it discards unread input.
      socket.destroySoon = () => {
        socket.end()
        linger(socket)
      }
    },
    /** Serves a request, at once or when enough responses of its connection are sent. */
    accept(incoming: IncomingMessage, outgoing: ServerResponse): void {
      const { socket } = incoming
      const connection = connectionOf(socket)
      connection.requests++
      if (connection.requests > connection.requestsMax) {
        incoming.resume()
        if (connection.requests > connection.requestsMax + LINGER.requests) socket.destroy()
        return
      }
      // The response gets `Connection: close`.
      if (connection.requests === connection.requestsMax) outgoing.shouldKeepAlive = false
      connection.newest = outgoing
      if (connection.openResponses.length < OPEN_RESPONSES_MAX) begin(connection, incoming, outgoing)
      else connection.waiting.push(() => begin(connection, incoming, outgoing))
    },
    /** Responds to a request that the app never sees. */
    refuseRequest(outgoing: ServerResponse, refusal: Refusal): void {
      const { req: incoming } = outgoing
      const connection = connectionOf(incoming.socket)
      connection.newest = outgoing
      connection.requestsMax = connection.requests
      const { status, headers, body } = refusalResponse(refusal)
      onRefused(status)
      outgoing.once('finish', () => discardRest(incoming))
      outgoing.writeHead(status, headers).end(body)
    },
    /** Closes a connection with a response, after those to the requests before it. */
    refuse(socket: Duplex, refusal: Refusal): void {
      const connection = connectionOf(socket)
      // Further errors of the connection follow from the first.
      if (connection.refusal !== undefined) return
      connection.refusal = refusal
      closeIfRefused(socket, connection)
    },
    stop: unread.stop,
  }
}

/**
 * Limits the bytes of responses that clients have not read, all connections together. Beyond it the
 * connections that were busy for longest are closed: a healthy client reads its response at once.
 */
function createUnreadLimit(bytesMax: number, onUnread: () => void) {
  const open = new Set<Connection>()
  /** How often a connection became busy. */
  let beginnings = 0
  /** Bytes of responses since the last check. */
  let addedBytes = 0
  /** Runs while a connection is busy: a gateway at rest does not wake up for it. */
  let timer: NodeJS.Timeout | undefined

  function stop(): void {
    clearInterval(timer)
    timer = undefined
  }

  function check(): void {
    addedBytes = 0
    let total = 0
    let isBusy = false
    for (const connection of open) {
      total += unreadBytes(connection)
      isBusy ||= connection.openResponses.length > 0
    }
    if (!isBusy) stop()
    if (total <= bytesMax) return
    for (const connection of [...open].sort((a, b) => a.busySince - b.busySince)) {
      if (total <= bytesMax) return
      const bytes = unreadBytes(connection)
      if (bytes === 0) continue
      total -= bytes
      onUnread()
      connection.socket.destroy()
    }
  }

  return {
    watch(connection: Connection): void {
      open.add(connection)
      connection.socket.once('close', () => open.delete(connection))
    },
    begin(connection: Connection): void {
      connection.busySince = ++beginnings
      timer ??= setInterval(check, UNREAD_CHECK.everyMs).unref()
    },
    /** Counts the bytes of a response that its socket has not taken. */
    add(bytes: number): void {
      addedBytes += bytes
      if (addedBytes > bytesMax * UNREAD_CHECK.share) check()
    },
    stop,
  }
}

function unreadBytes({ openResponses }: Connection): number {
  let bytes = 0
  for (const outgoing of openResponses) bytes += outgoing.writableLength
  return bytes
}

/** Discards the rest of a request within LINGER. If it ends in time, the connection lives on. */
function discardRest(incoming: IncomingMessage): void {
  if (incoming.complete) return
  const { socket } = incoming
  const chunkSizes = new ChunkSizeLimit()
  const check = linger(socket, () => incoming.complete)
  incoming.on('data', (chunk: Buffer) => {
    check()
    if (!chunkSizes.allows(chunk)) socket.destroy()
  })
  incoming.resume()
  // The reader of the body may have paused it.
  socket.resume()
}

/**
 * Closes a connection when its input ends or reaches a limit of LINGER, unless it `livesOn`.
 * Returns a function that checks the limits at once.
 */
function linger(socket: Duplex & { readonly bytesRead?: number }, livesOn = () => false): () => void {
  const beginMs = performance.now()
  const beginBytes = socket.bytesRead ?? 0
  let quietSinceMs = beginMs
  let bytes = beginBytes
  const check = (): void => {
    const now = performance.now()
    const read = socket.bytesRead ?? 0
    if (read > bytes) quietSinceMs = now
    bytes = read
    if (livesOn()) stop()
    else if (now - quietSinceMs >= LINGER.quietMs || now - beginMs >= LINGER.ms || bytes - beginBytes > LINGER.bytes) {
      socket.destroy()
    }
  }
  const timer = setInterval(check, LINGER.checkedEveryMs).unref()
  const stop = (): void => {
    clearInterval(timer)
    socket.off('close', stop)
  }
  socket.on('close', stop)
  return check
}
