import { IncomingMessage } from 'node:http'
import type { OpenSpan } from '@tidemark/shared/runtime/tracing/spans'
import type { TraceContext } from '@tidemark/shared/sample/trace-context'
import type { Context, Hono, MiddlewareHandler } from 'hono'
import type { VerifiedConnection } from '../access/authentication.ts'
import { ANONYMOUS, type Principal } from '../access/principal.ts'
import { type Client, NO_CLIENT } from '../limits/clients.ts'
import { type BodySource, bodySourceOf } from './body.ts'
import { type Fault, type FaultFormat, type PlainResponse, problemResponse, send } from './problem.ts'

interface RequestTarget {
  /** The route's template, or `unmatched`. */
  readonly route: string
  readonly method: string
  readonly path: string
  /** As it was written, without the question mark; '' for none. */
  readonly query: string
}

/** What is kept of a connection from one of its requests to the next. */
export interface ConnectionNotes extends VerifiedConnection {
  /** The client's address as text, without the prefix of IPv4 in IPv6; '' if there is no socket. */
  readonly address: string
}

/** What a route says of the change that it made. It must contain no secret. */
export interface Change {
  /** What was changed, where the path does not say it. */
  readonly subject?: string
  /** What was there before and after it: a text, or a value that is written as JSON. */
  readonly before?: unknown
  readonly after?: unknown
}

/** One request as its concerns see it, and what they note about it. */
export interface Exchange extends BodySource, RequestTarget {
  readonly connection: ConnectionNotes
  /** The client's address: `connection.address`, or what trusted proxies have seen. */
  address: string
  /** Set by authentication; ANONYMOUS before. */
  principal: Principal
  /** Whose limits apply. Set once the caller is known; NO_CLIENT before. */
  client: Client
  /** Of performance.now(). */
  readonly beginMs: number
  /** What the request's samples carry on: its own span, or the trace that it arrived with. */
  trace: TraceContext | undefined
  span: OpenSpan | undefined
  /** What the route changed, for the audit log. */
  change: Change | undefined
  /** 0 until the response is known. */
  status: number
  /** From the request to its response; 0 until then. */
  seconds: number
}

export function createExchange(
  headers: BodySource['headers'],
  body: BodySource['body'],
  { route, method, path, query }: RequestTarget,
): Exchange {
  const beginMs = performance.now()
  const connection = connectionOf(body)
  return {
    headers,
    body,
    route,
    method,
    path,
    query,
    connection,
    address: connection.address,
    principal: ANONYMOUS,
    client: NO_CLIENT,
    beginMs,
    trace: undefined,
    span: undefined,
    change: undefined,
    status: 0,
    seconds: 0,
  }
}

/** Where a socket keeps its notes: a property is found sooner than an entry of a WeakMap. */
const NOTES = Symbol('connection notes')

function connectionOf(body: BodySource['body']): ConnectionNotes {
  if (!(body instanceof IncomingMessage)) return { address: '', verified: undefined }
  const socket: IncomingMessage['socket'] & { [NOTES]?: ConnectionNotes } = body.socket
  socket[NOTES] ??= {
    address: (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, ''),
    verified: undefined,
  }
  return socket[NOTES]
}

/** Headers of a response as node:http takes them: names and values alternate. */
export type HeaderList = (string | number)[]

/** Something that every request needs. Hooks are synchronous, so that they cost no promise. */
export interface Concern {
  readonly name: string
  /**
   * Runs before the route, which does not run if this throws. It returns a promise only where the
   * store has to decide, which is rare.
   */
  begin?(exchange: Exchange): void | Promise<void>
  /** Maps a value thrown by a `begin` or the route. The first concern with a fault decides. */
  fail?(exchange: Exchange, error: unknown): Fault | undefined
  /**
   * Runs the route of a request of the app, which resolves to the status of the response. Unlike
   * the other hooks it may wait. One concern has it, and the fast path, whose only route ingests,
   * does not run it.
   */
  around?(exchange: Exchange, run: () => Promise<number>): Promise<unknown>
  /** Runs when the response is known, before it is sent; may add headers to it. */
  end?(exchange: Exchange, headers: HeaderList): void
}

export type Pipeline = ReturnType<typeof createPipeline>

/**
 * Runs the concerns of a request, in order. Every way into the gateway uses the same pipeline.
 * `formats` has the routes whose clients expect another form of errors than problems.
 */
export function createPipeline(concerns: readonly Concern[], formats: ReadonlyMap<string, FaultFormat> = new Map()) {
  const beginning = concerns.filter(concern => concern.begin !== undefined)
  const failing = concerns.filter(concern => concern.fail !== undefined)
  const ending = concerns.filter(concern => concern.end !== undefined)
  const surrounding = concerns.find(concern => concern.around !== undefined)
  async function continueAfter(pending: Promise<void>, exchange: Exchange, next: number): Promise<void> {
    await pending
    for (const concern of beginning.slice(next)) await concern.begin?.(exchange)
  }
  return {
    /**
     * Throws, or rejects with, what a concern throws; the caller passes that to `fail`. It returns
     * a promise only if a concern does.
     */
    begin(exchange: Exchange): void | Promise<void> {
      for (let i = 0; i < beginning.length; i++) {
        const pending = beginning[i]?.begin?.(exchange)
        if (pending !== undefined) return continueAfter(pending, exchange, i + 1)
      }
    },
    /** Runs the route of a request of the app. */
    async around(exchange: Exchange, run: () => Promise<number>): Promise<void> {
      await (surrounding?.around?.(exchange, run) ?? run())
    },
    fail(exchange: Exchange, error: unknown): PlainResponse {
      let fault: Fault | undefined
      for (const concern of failing) fault ??= concern.fail?.(exchange, error)
      const { route, path, headers } = exchange
      // A path that no route serves may belong to a protocol, too.
      const format = formats.get(route) ?? formats.get(path) ?? problemResponse
      return format(fault ?? { kind: 'internal' }, path, headers)
    },
    end(exchange: Exchange, status: number, headers: HeaderList): void {
      exchange.status = status
      exchange.seconds = (performance.now() - exchange.beginMs) / 1000
      for (const concern of ending) concern.end?.(exchange, headers)
    },
  }
}

/** Where a request's exchange is kept among the variables of its Context. */
const EXCHANGE = 'exchange'

export function exchangeOf(c: Context): Exchange {
  return c.get(EXCHANGE)
}

/** Returns who sent the request of a handler. */
export function callerOf(c: Context): Principal {
  return exchangeOf(c).principal
}

/** Notes what a route changed, for the audit log. */
export function noteChange(c: Context, change: Change): void {
  exchangeOf(c).change = change
}

/**
 * Makes all requests of the app use the pipeline. `routeOf` returns a route's template. What runs
 * `around` it also sees the responses to requests that a concern refuses.
 */
export function installPipeline(
  app: Hono,
  pipeline: Pipeline,
  routeOf: (c: Context) => string,
  around: readonly MiddlewareHandler[] = [],
): void {
  app.use(async (c: Context, next) => {
    const { headers, body } = bodySourceOf(c)
    const { method, path, url } = c.req
    const query = url.includes('?') ? url.slice(url.indexOf('?') + 1) : ''
    const exchange = createExchange(headers, body, { route: routeOf(c), method, path, query })
    c.set(EXCHANGE, exchange)
    try {
      await next()
    } catch (error) {
      c.res = send(c, pipeline.fail(exchange, error))
    }
    const added: HeaderList = []
    pipeline.end(exchange, c.res.status, added)
    for (let i = 0; i < added.length; i += 2) setHeader(c, String(added[i]), String(added[i + 1]))
  })
  for (const handler of around) app.use(handler)
  app.use(async (c, next) => {
    const exchange = exchangeOf(c)
    await pipeline.begin(exchange)
    await pipeline.around(exchange, async () => {
      await next()
      return c.res.status
    })
  })
  app.onError((error, c) => send(c, pipeline.fail(exchangeOf(c), error)))
}

/**
 * Adds a header to a finished response, unless the response has it. On the socket's own, where
 * those of the response are set later, because Hono would copy it.
 */
function setHeader(c: Context, name: string, value: string): void {
  if (c.env?.outgoing !== undefined) c.env.outgoing.setHeader(name, value)
  else if (!c.res.headers.has(name)) c.header(name, value)
}
