import type { Logger } from 'pino'
import type { TraceContext } from '../../sample/trace-context.ts'

export interface SpansOptions {
  /** The service's name unless OTEL_SERVICE_NAME is set. */
  readonly service: string
  /** The OTLP receiver; undefined for none. */
  readonly endpoint: string | undefined
  /** The sampled share of the traces that start here; others keep their sampled flag. */
  readonly ratio: number
  readonly log: Logger
}

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>

export interface SpanStart {
  readonly name: string
  /** `server` handles a request, `consumer` processes a stored entry. */
  readonly kind: 'server' | 'consumer'
  /** The parent span; undefined starts a trace. */
  readonly parent: TraceContext | undefined
  readonly attributes: SpanAttributes
  /** Unix milliseconds; default now. */
  readonly startMs?: number
}

export interface OpenSpan {
  readonly context: TraceContext
  /** Ends the span, as failed if there is a `fault`. */
  end(attributes?: SpanAttributes, fault?: string): void
}

/** Sends spans in the background. Never throws or blocks; drops spans beyond its queue. */
export interface Spans extends AsyncDisposable {
  begin(start: SpanStart): OpenSpan
}
