import type { Logger } from 'pino'
import type { TraceContext } from '../../sample/trace-context.ts'
import { createFailureLog } from '../logger.ts'

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>

export interface SpanStart {
  readonly name: string
  /** `server` answers a request, `consumer` works on what somebody left. */
  readonly kind: 'server' | 'consumer'
  /** What it goes on from; without one a trace begins here. */
  readonly parent: TraceContext | undefined
  readonly attributes: SpanAttributes
  /** Unix milliseconds; now if absent. */
  readonly startMs?: number
}

export interface OpenSpan {
  /** What others go on from. */
  readonly context: TraceContext
  /** Ends it; with a `fault`, as one that failed. */
  end(attributes?: SpanAttributes, fault?: string): void
}

/** Takes spans and sends them, some time, to whoever collects them. Never throws, never waits, and drops what is too much. */
export interface Spans extends AsyncDisposable {
  begin(start: SpanStart): OpenSpan
}

export interface SpansOptions {
  /** What the service is called, unless OTEL_SERVICE_NAME says otherwise. */
  readonly service: string
  /** Where the OTLP receiver is; undefined for none. */
  readonly endpoint: string | undefined
  /** The part of the traces that begin here of which spans are sent. Others are sent when whoever began them records them. */
  readonly ratio: number
  readonly log: Logger
}

/** Undefined without an endpoint: then nothing of OpenTelemetry is even loaded. */
export async function openSpans({ service, endpoint, ratio, log }: SpansOptions): Promise<Spans | undefined> {
  if (endpoint === undefined) return undefined
  const { createOtlpSpans } = await import('./otlp-spans.ts')
  return createOtlpSpans({ service, endpoint, ratio, logFailure: createFailureLog(log) })
}
