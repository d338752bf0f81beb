import { isUtf8 } from 'node:buffer'
import { IncomingMessage } from 'node:http'
import type { Context } from 'hono'
import { RequestFault } from './problem.ts'

export type BodyFormat = 'json' | 'ndjson'

/** By their names in lower case. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/** A request as far as its body goes. */
export interface BodySource {
  readonly headers: RequestHeaders
  /** Of a request that came through no socket, its stream; null for none. */
  readonly body: IncomingMessage | AsyncIterable<Uint8Array> | null
}

export function bodySourceOf(c: Context): BodySource {
  // Directly from the socket's request: through the web Request a small body costs twice as much.
  const incoming: IncomingMessage | undefined = c.env?.incoming
  return incoming === undefined
    ? { headers: c.req.header(), body: c.req.raw.body }
    : { headers: incoming.headers, body: incoming }
}

/** The whole body as text, and how to read it. */
export interface Body {
  readonly text: string
  readonly format: BodyFormat
}

export interface BodyReader {
  /** Rejects with a RequestFault. */
  read(source: BodySource): Promise<Body>
}

export interface BodyReaderOptions {
  readonly bytesMax: number
  /** Bytes of bodies that are being read at one time, all requests together. */
  readonly bytesInFlightMax: number
}

/** Types that say nothing about the body, or that clients send by default whatever the body is. */
const JSON_TYPES = new Set([
  '',
  'application/json',
  'application/x-www-form-urlencoded',
  'text/plain',
  'text/json',
  'application/octet-stream',
])

const NDJSON_TYPES = new Set([
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
  'application/json-lines',
])

/**
 * Chunks below this are copied together: each is an object of 200 bytes and more, so a body that comes in chunks of one
 * byte would take hundreds of times its length.
 */
const CHUNK_BYTES_KEPT = 4096

/** Small chunks are copied into blocks: the first is small, because a body that comes slowly may never have more. */
const BLOCK_BYTES = { min: 1024, max: 65_536 } as const

/**
 * A body's chunks must have so many bytes on average, once there are `count` of them. Each costs about 2 us whatever its
 * size, and 2 MiB are read at one turn of the event loop: that is 350,000 chunks of one byte, and half a second.
 */
const CHUNKS = { count: 1000, bytesMin: 16 } as const

/** Whether a body comes in chunks that are worth their while. */
export function createPace(): { allows(chunk: Uint8Array): boolean } {
  let count = 0
  let bytes = 0
  return {
    allows(chunk) {
      count++
      bytes += chunk.byteLength
      return count < CHUNKS.count || bytes >= count * CHUNKS.bytesMin
    },
  }
}

/** A body that is being read. */
interface Collector {
  /** Throws a RequestFault beyond the limits, and once it has given way. */
  add(chunk: Uint8Array): void
  text(): string
  /** Calls `listener` when this body is given up for the sake of others. */
  onGiveWay(listener: (fault: RequestFault) => void): void
  giveWay(): void
  /** Gives its bytes back. */
  release(): void
}

/**
 * Reads bodies and counts their bytes itself: a Content-Length may be absent or a lie. When all together have too many
 * bytes, the body that has been under way for longest gives way: a healthy client's is there within milliseconds, and
 * clients that hold theirs back must not take the room that it needs.
 */
export function createBodyReader({ bytesMax, bytesInFlightMax }: BodyReaderOptions): BodyReader {
  let bytesInFlight = 0
  /** Oldest first. */
  const underWay = new Set<Collector>()

  function createCollector(): Collector {
    const chunks: Uint8Array[] = []
    let bytes = 0
    let block: Buffer | undefined
    let blockUsed = 0
    const pace = createPace()
    let fault: RequestFault | undefined
    let tell: (fault: RequestFault) => void = () => {}

    function keepBlock(): void {
      if (block !== undefined) chunks.push(block.subarray(0, blockUsed))
      block = undefined
      blockUsed = 0
    }

    function keep(chunk: Uint8Array): void {
      // Most bodies are one chunk, and that is never copied.
      if (bytes === chunk.byteLength || chunk.byteLength >= CHUNK_BYTES_KEPT) {
        keepBlock()
        chunks.push(chunk)
        return
      }
      if (block === undefined || block.byteLength - blockUsed < chunk.byteLength) {
        keepBlock()
        const size = Math.min(BLOCK_BYTES.max, Math.max(BLOCK_BYTES.min, bytes))
        block = Buffer.allocUnsafeSlow(Math.max(size, chunk.byteLength))
      }
      block.set(chunk, blockUsed)
      blockUsed += chunk.byteLength
    }

    const collector: Collector = {
      add(chunk) {
        if (fault !== undefined) throw fault
        bytes += chunk.byteLength
        bytesInFlight += chunk.byteLength
        if (bytes > bytesMax) throw new RequestFault({ kind: 'body-too-large', bytesMax })
        if (!pace.allows(chunk)) {
          throw new RequestFault({ kind: 'body-malformed', reason: 'the body comes in chunks of a few bytes' })
        }
        underWay.add(collector)
        for (const oldest of underWay) {
          if (bytesInFlight <= bytesInFlightMax) break
          oldest.giveWay()
        }
        if (fault !== undefined) throw fault
        keep(chunk)
      },
      text() {
        keepBlock()
        return decode(chunks)
      },
      onGiveWay(listener) {
        tell = listener
      },
      giveWay() {
        fault = new RequestFault({ kind: 'overloaded', reason: 'too many bodies are being read', retryAfterS: 1 })
        collector.release()
        tell(fault)
      },
      release() {
        bytesInFlight -= bytes
        bytes = 0
        underWay.delete(collector)
        // What is left of a body that gave way waits in its connection, and must hold nothing.
        chunks.length = 0
        block = undefined
      },
    }
    return collector
  }

  async function readText(body: BodySource['body']): Promise<string> {
    const collector = createCollector()
    try {
      if (body instanceof IncomingMessage) await collectIncoming(body, collector)
      else await collectStream(body, collector)
      return collector.text()
    } finally {
      collector.release()
    }
  }

  return {
    async read({ headers, body }) {
      const format = formatOf(headers)
      const declared = headers['content-length']
      if (declared !== undefined && Number(declared) > bytesMax) {
        throw new RequestFault({ kind: 'body-too-large', bytesMax })
      }
      const text = await readText(body)
      if (text.trim() === '') throw new RequestFault({ kind: 'body-empty' })
      return { text, format }
    },
  }
}

/** What the headers say about the body. Throws a RequestFault for what cannot be a sample. */
function formatOf(headers: RequestHeaders): BodyFormat {
  const encoding = headers['content-encoding']
  if (typeof encoding === 'string' && encoding.trim().toLowerCase() !== 'identity') {
    throw unsupported('a compressed body is not supported')
  }
  const header = headers['content-type']
  if (typeof header !== 'string' || header === 'application/json') return 'json'
  const [type = '', ...parameters] = header.split(';').map(part => part.trim().toLowerCase())
  const charset = parameters.find(parameter => parameter.startsWith('charset='))?.slice('charset='.length)
  if (charset !== undefined && !/^"?(utf-?8|us-ascii)"?$/.test(charset)) throw unsupported('the charset must be UTF-8')
  if (NDJSON_TYPES.has(type)) return 'ndjson'
  if (JSON_TYPES.has(type) || /^[\w.-]+\/[\w.-]+\+json$/.test(type)) return 'json'
  throw unsupported('the body must be JSON (application/json) or JSON lines (application/x-ndjson)')
}

function unsupported(reason: string): RequestFault {
  return new RequestFault({ kind: 'media-type-unsupported', reason })
}

/** Of a request that came through no socket. */
async function collectStream(stream: AsyncIterable<Uint8Array> | null, collector: Collector): Promise<void> {
  const { promise: gaveWay, reject } = Promise.withResolvers<never>()
  collector.onGiveWay(reject)
  async function collect(): Promise<void> {
    for await (const chunk of stream ?? []) collector.add(chunk)
  }
  await Promise.race([collect(), gaveWay])
}

function collectIncoming(incoming: IncomingMessage, collector: Collector): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      incoming.off('data', onData)
      incoming.off('end', onEnd)
      incoming.off('error', onGone)
      incoming.off('close', onGone)
    }
    const giveUp = (error: unknown): void => {
      stop()
      // The rest is not read here: when it has answered, the HTTP server reads a little of it, so that the client can see
      // the answer, and hangs up. Until then nothing more is taken from the socket, not even in this turn.
      incoming.pause()
      incoming.socket.pause()
      reject(error)
    }
    const onData = (chunk: Buffer): void => {
      try {
        collector.add(chunk)
      } catch (error) {
        giveUp(error)
      }
    }
    const onEnd = (): void => {
      stop()
      resolve()
    }
    const onGone = (): void => {
      stop()
      reject(new RequestFault({ kind: 'body-incomplete' }))
    }
    collector.onGiveWay(giveUp)
    if (incoming.readableEnded) return resolve()
    if (incoming.destroyed) return reject(new RequestFault({ kind: 'body-incomplete' }))
    incoming.on('data', onData)
    incoming.on('end', onEnd)
    incoming.on('error', onGone)
    incoming.on('close', onGone)
  })
}

function decode(chunks: readonly Uint8Array[]): string {
  const [first] = chunks
  if (first === undefined) return ''
  const bytes =
    chunks.length === 1 ? Buffer.from(first.buffer, first.byteOffset, first.byteLength) : Buffer.concat(chunks)
  if (!isUtf8(bytes)) {
    throw new RequestFault({ kind: 'body-malformed', reason: 'the body is not valid UTF-8' })
  }
  const text = bytes.toString('utf8')
  // Windows clients begin a file with a byte order mark; it is no part of the text.
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}
