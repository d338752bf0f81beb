import { IncomingMessage } from 'node:http'
import type { Context } from 'hono'
import { BodyBudget, PendingBody } from './pending-body.ts'
import { RequestFault } from './problem.ts'

export type BodyFormat = 'json' | 'ndjson'

/** By names in lower case. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

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
  readonly text: string
  readonly format: BodyFormat
}

interface BodyLimits {
  readonly bytesMax: number
  /** Bytes of all bodies that are being read at one time. */
  readonly bytesInFlightMax: number
}

/** Includes types that clients send by default, whatever the body is. */
const JSON_TYPE =
  /^(|application\/(json|x-www-form-urlencoded|octet-stream)|text\/(plain|json)|[\w.-]+\/[\w.-]+\+json)$/

const NDJSON_TYPE = /^application\/(x-ndjson|ndjson|jsonl|json-lines)$/

/** Returns a function that reads a body, and rejects with a RequestFault. */
export function createBodyReader({ bytesMax, bytesInFlightMax }: BodyLimits) {
  const budget = new BodyBudget(bytesInFlightMax)

  async function readText(source: BodySource['body']): Promise<string> {
    const body = new PendingBody(bytesMax, budget)
    try {
      if (source instanceof IncomingMessage) await collectIncoming(source, body)
      else await collectStream(source, body)
      return body.text()
    } finally {
      body.release()
    }
  }

  return async ({ headers, body }: BodySource): Promise<Body> => {
    const format = formatOf(headers)
    const declared = headers['content-length']
    if (declared !== undefined && Number(declared) > bytesMax) {
      throw new RequestFault({ kind: 'body-too-large', bytesMax })
    }
    const text = await readText(body)
    if (text.trim() === '') throw new RequestFault({ kind: 'body-empty' })
    return { text, format }
  }
}

/** Returns the format. Throws a RequestFault for a media type that cannot contain samples. */
function formatOf(headers: RequestHeaders): BodyFormat {
  const encoding = headers['content-encoding']
  if (typeof encoding === 'string' && encoding.trim().toLowerCase() !== 'identity') {
    throw unsupported('compressed bodies are not supported')
  }
  const header = headers['content-type']
  if (typeof header !== 'string' || header === 'application/json') return 'json'
  const [type = '', ...parameters] = header.split(';').map(part => part.trim().toLowerCase())
  const charset = parameters.find(parameter => parameter.startsWith('charset='))
  if (charset !== undefined && !/^charset="?(utf-?8|us-ascii)"?$/.test(charset)) {
    throw unsupported('the charset must be UTF-8')
  }
  if (NDJSON_TYPE.test(type)) return 'ndjson'
  if (JSON_TYPE.test(type)) return 'json'
  throw unsupported('the body must be JSON (application/json) or JSON lines (application/x-ndjson)')
}

function unsupported(reason: string): RequestFault {
  return new RequestFault({ kind: 'media-type-unsupported', reason })
}

/** For a request that did not arrive through a socket. */
function collectStream(stream: AsyncIterable<Uint8Array> | null, body: PendingBody): Promise<void> {
  async function collect(): Promise<void> {
    for await (const chunk of stream ?? []) body.add(chunk)
  }
  return new Promise((resolve, reject) => {
    body.onEvict(reject)
    collect().then(resolve, reject)
  })
}

function collectIncoming(incoming: IncomingMessage, body: PendingBody): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      incoming.off('data', onData)
      incoming.off('end', onEnd)
      incoming.off('error', onClosed)
      incoming.off('close', onClosed)
    }
    const giveUp = (error: unknown): void => {
      stop()
      // Nothing more is read from the socket, not even in this turn, until the response is sent.
      // Then linger() in connections.ts reads some of it, so that the client gets the response.
      incoming.pause()
      incoming.socket.pause()
      reject(error)
    }
    const onData = (chunk: Buffer): void => {
      try {
        body.add(chunk)
      } catch (error) {
        giveUp(error)
      }
    }
    const onEnd = (): void => {
      stop()
      resolve()
    }
    const onClosed = (): void => {
      stop()
      reject(new RequestFault({ kind: 'body-incomplete' }))
    }
    body.onEvict(giveUp)
    if (incoming.readableEnded) return onEnd()
    if (incoming.destroyed) return onClosed()
    incoming.on('data', onData)
    incoming.on('end', onEnd)
    incoming.on('error', onClosed)
    incoming.on('close', onClosed)
  })
}
