import { IncomingMessage } from 'node:http'
import type { Context } from 'hono'
import type { Share } from '../limits/fair-budget.ts'
import { charsetOf, decodeText } from './charset.ts'
import { codingsOf, decompress, SNAPPY } from './content-coding.ts'
import { Incoming } from './incoming.ts'
import { BodyBudget, PendingBody } from './pending-body.ts'
import { RequestFault } from './problem.ts'
import type { RequestHeaders } from './request-headers.ts'

/** `lines`: a protocol of lines of text. `binary`: one whose bodies are no text. */
export type BodyFormat = 'json' | 'ndjson' | 'lines' | 'binary'

export interface BodySource {
  readonly headers: RequestHeaders
  /** The stream of a request that did not arrive through a socket; null if it has no body. */
  readonly body: IncomingMessage | AsyncIterable<Uint8Array> | null
}

export function bodySourceOf(c: Context): BodySource {
  // Directly from the socket's request: through the web Request a small body costs twice as much.
  const incoming: IncomingMessage | undefined = c.env?.incoming
  return incoming === undefined
    ? { headers: c.req.header(), body: c.req.raw.body }
    : { headers: incoming.headers, body: incoming }
}

export interface Body {
  /** '' if the body is binary. */
  readonly text: string
  /** Of a binary body, decompressed. */
  readonly bytes?: Buffer
  readonly format: BodyFormat
}

interface BodyLimits {
  readonly bytesMax: number
  /** Bytes of all bodies that are being read at one time. */
  readonly bytesInFlightMax: number
}

/** Types that clients send by default, whatever the body is, wildcards, and what is not a type. */
const GENERIC_TYPE =
  /^(?:[^/]*|\*\/\*|(?:application|text)\/(?:\*|plain)|application\/(?:x-www-form-urlencoded|octet-stream))$/

/** JSON by any of its names: application/json, text/x-json, text/javascript. */
const JSON_TYPE = /json|javascript/

/** application/x-ndjson, application/jsonl, application/x-jsonlines, application/json-seq. */
const NDJSON_TYPE = /ndjson|json-?l|json-seq|stream[.+-]json|json-?stream/

const PROTOBUF_TYPE = /protobuf/

const PROTOBUF_UNREADABLE =
  'protobuf is not read here: send OTLP to POST /v1/metrics, and Prometheus remote write to POST /api/v1/write'

/**
 * Returns a function that reads a body and resolves to what `take` makes of it; it rejects with a
 * RequestFault. `share` is how many bytes of the client's bodies are being read, this one until
 * `take` returns.
 */
export function createBodyReader({ bytesMax, bytesInFlightMax }: BodyLimits) {
  const budget = new BodyBudget(bytesInFlightMax)

  function contentOf(sent: Buffer, { format, charset, codings }: BodyType): Body {
    const bytes = decompress(sent, codings, bytesMax)
    // No bytes are an empty message of protobuf, but nothing that was compressed.
    if (format === 'binary' && (sent.byteLength > 0 || codings.length === 0)) return { text: '', bytes, format }
    const text = decodeText(bytes, charset)
    if (text.trim() === '') throw new RequestFault({ kind: 'body-empty' })
    return { text, format }
  }

  // A promise and no asynchronous functions: most bodies have one sample, and are here at once.
  return <T>(
    { headers, body: source }: BodySource,
    share: Share,
    typeOf: BodyTypeOf,
    take: (body: Body) => T | Promise<T>,
  ): Promise<T> =>
    new Promise((resolve, reject) => {
      const type = typeOf(headers)
      const declared = headers['content-length']
      const bytesDeclared = declared === undefined ? undefined : Number(declared)
      if (bytesDeclared !== undefined && bytesDeclared > bytesMax) {
        throw new RequestFault({ kind: 'body-too-large', bytesMax })
      }
      const body = new PendingBody({ bytesMax, bytesDeclared, budget, share })
      const settle: Settle = fault => {
        try {
          if (fault !== undefined) throw fault
          resolve(take(contentOf(body.bytes(), type)))
        } catch (error) {
          reject(error)
        } finally {
          body.release()
        }
      }
      if (source instanceof IncomingMessage) collectIncoming(source, body, settle)
      else collectStream(source, body, settle)
    })
}

/** Ends the reading of a body, or gives it up with what was thrown. Only the first call counts. */
type Settle = (fault?: unknown) => void

/** What the headers say of a body. */
export interface BodyType {
  readonly format: BodyFormat
  /** Undefined where it is UTF-8. */
  readonly charset: string | undefined
  readonly codings: readonly string[]
}

/** Throws a RequestFault for a type, charset or coding that cannot be read. */
export type BodyTypeOf = (headers: RequestHeaders) => BodyType

const PLAIN_JSON: BodyType = { format: 'json', charset: undefined, codings: [] }

export const jsonType: BodyTypeOf = headers => {
  const header = headers['content-type']
  const isPlain = header === undefined || header === 'application/json'
  return isPlain && headers['content-encoding'] === undefined ? PLAIN_JSON : typeBy(headers, formatOf)
}

/** Of a protocol whose clients give any type: the route says what the body is. */
export const linesType: BodyTypeOf = headers => typeBy(headers, () => 'lines')

/** Of JSON or protobuf, whichever the type says. */
export const messageType: BodyTypeOf = headers =>
  typeBy(headers, type => {
    if (PROTOBUF_TYPE.test(type)) return 'binary'
    if (JSON_TYPE.test(type) || type === '') return 'json'
    const reason = 'the Content-Type must be application/x-protobuf or application/json'
    throw new RequestFault({ kind: 'media-type-unsupported', reason })
  })

/** Of protobuf in one block of snappy, unless the header has another coding. */
export const snappyType: BodyTypeOf = ({ 'content-encoding': header }) => {
  const coding = String(header ?? SNAPPY)
    .trim()
    .toLowerCase()
  return { format: 'binary', charset: undefined, codings: coding === SNAPPY ? [SNAPPY] : codingsOf(header) }
}

function typeBy(headers: RequestHeaders, formatOf: (type: string) => BodyFormat): BodyType {
  // Some clients forget the semicolon, and proxies join two headers by a comma.
  const words = String(headers['content-type'] ?? '')
    .trim()
    .toLowerCase()
    .split(/[\s;,]+/)
  const [type = '', ...parameters] = words
  const format = formatOf(type)
  return { format, charset: charsetOf(parameters), codings: codingsOf(headers['content-encoding']) }
}

function formatOf(type: string): BodyFormat {
  if (NDJSON_TYPE.test(type)) return 'ndjson'
  if (JSON_TYPE.test(type) || GENERIC_TYPE.test(type)) return 'json'
  const reason = PROTOBUF_TYPE.test(type)
    ? PROTOBUF_UNREADABLE
    : 'the body must be JSON (application/json) or JSON lines (application/x-ndjson)'
  throw new RequestFault({ kind: 'media-type-unsupported', reason })
}

/** For a request that did not arrive through a socket. */
function collectStream(stream: AsyncIterable<Uint8Array> | null, body: PendingBody, settle: Settle): void {
  async function collect(): Promise<void> {
    for await (const chunk of stream ?? []) body.add(chunk)
  }
  body.onEvict(settle)
  collect().then(() => settle(), settle)
}

function collectIncoming(incoming: IncomingMessage, body: PendingBody, settle: Settle): void {
  let stop = (): void => {}
  const onData = (chunk: Buffer): void => {
    try {
      body.add(chunk)
    } catch (error) {
      giveUp(error)
    }
  }
  const onEnd = (): void => {
    stop()
    settle()
  }
  const onClosed = (): void => {
    stop()
    settle(new RequestFault({ kind: 'body-incomplete' }))
  }
  function giveUp(error: unknown): void {
    stop()
    // Nothing more is read from the socket, not even in this turn, until the response is sent.
    // Then linger() in connections.ts reads some of it, so that the client gets the response.
    incoming.pause()
    incoming.socket.pause()
    settle(error)
  }
  body.onEvict(giveUp)
  if (incoming instanceof Incoming && incoming.handTo({ data: onData, end: onEnd, abort: onClosed })) {
    stop = () => incoming.takeBack()
  } else if (incoming.readableEnded) onEnd()
  else if (incoming.destroyed) onClosed()
  else {
    const listeners = Object.entries({ data: onData, end: onEnd, error: onClosed, close: onClosed })
    for (const [event, listener] of listeners) incoming.on(event, listener)
    stop = () => {
      for (const [event, listener] of listeners) incoming.off(event, listener)
    }
  }
}
