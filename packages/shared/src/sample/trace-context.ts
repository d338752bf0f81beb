/** A request's position in a trace: the traceparent of the W3C (www.w3.org/TR/trace-context). */
export interface TraceContext {
  readonly traceId: string
  readonly spanId: string
  readonly isSampled: boolean
}

/** Version, trace id, parent span id and flags; later versions may append more. */
const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/

const SAMPLED = 1

/** Parses a traceparent. Returns undefined for an invalid one, which must be ignored (W3C). */
export function parseTraceparent(text: string): TraceContext | undefined {
  const [, version = '', traceId = '', spanId = '', flags = '', rest] = TRACEPARENT.exec(text) ?? []
  if (version === '' || version === 'ff' || (version === '00' && rest !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 }
}

/** Returns a traceparent of version 00. By the W3C, only the sampled flag is passed on. */
export function formatTraceparent({ traceId, spanId, isSampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`
}

/** Returns the log fields of a line's traces, by OpenTelemetry's names; `trace_ids` if several. */
export function traceFields(traces: readonly TraceContext[]): Readonly<Record<string, unknown>> {
  const [first, ...others] = traces
  if (first === undefined) return {}
  const one = { trace_id: first.traceId, span_id: first.spanId }
  return others.length === 0 ? one : { ...one, trace_ids: traces.map(({ traceId }) => traceId) }
}
