import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Context } from 'hono'

const signals = new WeakMap<Socket, AbortSignal>()

/**
 * Returns a signal that aborts when the client of a request hangs up; undefined for a request that
 * did not arrive through a socket. A client that only closes its side looks the same until it gets
 * its response, so the signal is for waits alone. One per connection: requests can be pipelined.
 */
export function clientGone(c: Context): AbortSignal | undefined {
  const incoming: IncomingMessage | undefined = c.env?.incoming
  return incoming && signalOf(incoming.socket)
}

function signalOf(socket: Socket): AbortSignal {
  const known = signals.get(socket)
  if (known !== undefined) return known
  const gone = new AbortController()
  const abort = (): void => gone.abort()
  socket.once('end', abort).once('close', abort)
  if (socket.destroyed || socket.readableEnded) abort()
  signals.set(socket, gone.signal)
  return gone.signal
}
