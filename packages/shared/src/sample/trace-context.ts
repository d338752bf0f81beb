/** Where a request stands in somebody's trace, as far as we carry it: a traceparent of the W3C (www.w3.org/TR/trace-context). */
export interface TraceContext {
  readonly traceId: string
  readonly spanId: string
  /** Somebody records this trace. */
  readonly isSampled: boolean
}

/** Version, trace id, id of the parent span and flags; later versions may say more after that. */
const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/

const SAMPLED = 1

/** Reads a traceparent; undefined for one that breaks the rules, which is then to be treated as if it were not there. */
export function parseTraceparent(text: string): TraceContext | undefined {
  const [, version = '', traceId = '', spanId = '', flags = '', rest] = TRACEPARENT.exec(text) ?? []
  if (version === '' || version === 'ff' || (version === '00' && rest !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 }
}

/** A traceparent of version 00: always 55 characters. Of the flags only the one that we know goes on, as the W3C wants it. */
export function formatTraceparent({ traceId, spanId, isSampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`
}

/** What is in a log line about the traces that it belongs to: OpenTelemetry's name for a trace's id, and all when there are several. */
export function traceFields(traces: readonly TraceContext[]): Readonly<Record<string, unknown>> {
  const [first, ...others] = traces
  if (first === undefined) return {}
  const one = { trace_id: first.traceId, span_id: first.spanId }
  return others.length === 0 ? one : { ...one, trace_ids: traces.map(({ traceId }) => traceId) }
}
