/**
 * As much of the Redis protocol (RESP 2 and 3) as the proxy needs: where a command or reply ends,
 * and a command's arguments. Both readers accept bytes in any chunks and buffer incomplete values.
 */
const CR = 0x0d

export interface RawCommand {
  readonly args: readonly Buffer[]
  readonly bytes: Buffer
}

abstract class Reader<T> {
  #rest: Buffer = Buffer.alloc(0)

  /** Adds bytes. Returns every value that is now complete. */
  push(chunk: Buffer): T[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const found: T[] = []
    for (;;) {
      const next = this.take(this.#rest)
      if (next === undefined) return found
      found.push(next.item)
      this.#rest = this.#rest.subarray(next.end)
    }
  }

  /** Bytes of an incomplete value. */
  get rest(): Buffer {
    return this.#rest
  }

  protected abstract take(buffer: Buffer): { item: T; end: number } | undefined
}

/** Splits what a client sends into commands. */
export class CommandReader extends Reader<RawCommand> {
  protected take(buffer: Buffer): { item: RawCommand; end: number } | undefined {
    const head = lineAt(buffer, 0)
    if (head === undefined) return undefined
    const args: Buffer[] = []
    let at = head.end
    for (let i = Number(head.text.slice(1)); i > 0; i--) {
      const length = lineAt(buffer, at)
      if (length === undefined) return undefined
      const end = length.end + Number(length.text.slice(1))
      if (buffer.length < end + 2) return undefined
      args.push(buffer.subarray(length.end, end))
      at = end + 2
    }
    return { item: { args, bytes: buffer.subarray(0, at) }, end: at }
  }
}

export interface RawReply {
  readonly bytes: Buffer
  /** A push message, which belongs to no command. */
  readonly isPush: boolean
}

/** Splits what a server sends into replies. */
export class ReplyReader extends Reader<RawReply> {
  protected take(buffer: Buffer): { item: RawReply; end: number } | undefined {
    const end = endOfValue(buffer, 0)
    if (end === undefined) return undefined
    return { item: { bytes: buffer.subarray(0, end), isPush: buffer[0] === 0x3e }, end }
  }
}

/** Returns all bulk strings of a complete reply, in order, at any nesting depth. */
export function bulkStrings(reply: Buffer): string[] {
  const found: string[] = []
  for (let at = 0; at < reply.length; ) {
    const head = lineAt(reply, at)
    if (head === undefined) break
    const length = Number(head.text.slice(1))
    at = head.end
    if (head.text[0] !== '$' || length < 0) continue
    found.push(reply.toString('utf8', at, at + length))
    at += length + 2
  }
  return found
}

function endOfValue(buffer: Buffer, at: number): number | undefined {
  const head = lineAt(buffer, at)
  if (head === undefined) return undefined
  const length = Number(head.text.slice(1))
  switch (head.text[0]) {
    case '$':
    case '=':
    case '!': {
      const end = length < 0 ? head.end : head.end + length + 2
      return buffer.length < end ? undefined : end
    }
    case '*':
    case '~':
    case '>':
      return endOfValues(buffer, head.end, length)
    case '%':
      return endOfValues(buffer, head.end, 2 * length)
    case '|':
      return endOfValues(buffer, head.end, 2 * length + 1)
    default:
      return head.end
  }
}

function endOfValues(buffer: Buffer, start: number, count: number): number | undefined {
  let at = start
  for (let i = 0; i < count; i++) {
    const end = endOfValue(buffer, at)
    if (end === undefined) return undefined
    at = end
  }
  return at
}

function lineAt(buffer: Buffer, at: number): { text: string; end: number } | undefined {
  const end = buffer.indexOf(CR, at)
  if (end < 0 || end + 1 >= buffer.length) return undefined
  return { text: buffer.toString('latin1', at, end), end: end + 2 }
}
