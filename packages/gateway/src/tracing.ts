import type { OpenSpan, Spans } from '@tidemark/shared/runtime/tracing/spans'
import { parseTraceparent, type TraceContext } from '@tidemark/shared/sample/trace-context'
import type { Context } from 'hono'

/** Where the trace of a request's own span is kept, among its context's variables. */
const OWN_TRACE = 'trace'

/** Routes that get a span: those that work with samples, and none of those that operations poll. */
const TRACED_ROUTES = new Set(['/ingest', '/analyze', '/history', '/dead/:id/put-back'])

/** What the request's samples carry on: its own span where there is one, else the trace that came with it, if one did. */
export function traceOf(c: Context): TraceContext | undefined {
  return c.get(OWN_TRACE) ?? traceThatCame(c)
}

function traceThatCame(c: Context): TraceContext | undefined {
  const header = c.req.header('traceparent')
  return header === undefined ? undefined : parseTraceparent(header)
}

/** Begins the span of a request, where spans are wanted. */
export function beginRequestSpan(spans: Spans | undefined, c: Context, route: string): OpenSpan | undefined {
  if (spans === undefined || !TRACED_ROUTES.has(route)) return undefined
  const { method } = c.req
  const parent = traceThatCame(c)
  const span = spans.begin({
    name: `${method} ${route}`,
    kind: 'server',
    parent,
    attributes: { 'http.request.method': method, 'http.route': route },
  })
  // A trace that began here and that nobody records is of no use to anybody further on.
  if (parent !== undefined || span.context.isSampled) c.set(OWN_TRACE, span.context)
  return span
}

/** As OpenTelemetry's conventions have it, a server's span failed when the server did: not for what is the client's fault. */
export function endRequestSpan(span: OpenSpan | undefined, status: number): void {
  span?.end({ 'http.response.status_code': status }, status >= 500 ? `answered ${status}` : undefined)
}
