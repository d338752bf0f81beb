import type { Logger } from 'pino'
import { createFailureLog } from '../logger.ts'
import type { Spans } from './spans.ts'

export interface SpansOptions {
  /** The service's name unless OTEL_SERVICE_NAME is set. */
  readonly service: string
  /** The OTLP receiver; undefined for none. */
  readonly endpoint: string | undefined
  /** The sampled share of the traces that start here; others keep their sampled flag. */
  readonly ratio: number
  readonly log: Logger
}

/** Returns undefined without an endpoint; then OpenTelemetry is not even loaded. */
export async function openSpans({ service, endpoint, ratio, log }: SpansOptions): Promise<Spans | undefined> {
  if (endpoint === undefined) return undefined
  const { createOtlpSpans } = await import('./otlp-spans.ts')
  return createOtlpSpans({ service, endpoint, ratio, logFailure: createFailureLog(log) })
}
