import { createHash } from 'node:crypto'

/** A message of a broker: what is acknowledged when it is settled. */
export interface Message {
  readonly topic: string
  readonly payload: Uint8Array
}

interface Received {
  readonly digest: string
  isSettled: boolean
  /** The connection on which it was delivered last. */
  connection: number
}

/**
 * The messages of QoS 1 that the broker may deliver again: after a lost connection it repeats those
 * that it saw no acknowledgement of, under the same packet identifier (MQTT 3.1.1 and 5, section
 * 4.4). What is still on its way to the gateway, or has arrived there, is then not sent twice.
 */
export class Inbox {
  readonly #received = new Map<number, Received>()
  readonly #acknowledge: (packetId: number) => void
  #connection = 0

  /** `acknowledge` sends a PUBACK on the present connection. */
  constructor(acknowledge: (packetId: number) => void) {
    this.#acknowledge = acknowledge
  }

  /** A connection is open. Without its session the broker has forgotten what it delivered. */
  connected(hasSession: boolean): void {
    this.#connection++
    if (!hasSession) this.#received.clear()
  }

  /**
   * Takes a message of QoS 1. Returns how to settle it, once what it holds is stored or of no use;
   * undefined if it was delivered before, so nothing is to be done.
   */
  take(packetId: number, message: Message, isRepeated: boolean): (() => void) | undefined {
    const digest = createHash('sha1').update(`${message.topic}\0`).update(message.payload).digest('base64')
    const known = this.#received.get(packetId)
    if (isRepeated && known?.digest === digest) {
      known.connection = this.#connection
      if (known.isSettled) this.#acknowledge(packetId)
      return undefined
    }
    const received: Received = { digest, isSettled: false, connection: this.#connection }
    this.#received.set(packetId, received)
    return () => {
      received.isSettled = true
      // On a new connection the broker repeats it first, and may have given its identifier away.
      const isCurrent = received.connection === this.#connection && this.#received.get(packetId) === received
      if (isCurrent) this.#acknowledge(packetId)
    }
  }
}
