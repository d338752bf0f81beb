import type { Spans, SpansOptions } from './spans.ts'

/** Returns undefined without an endpoint; then OpenTelemetry is not even loaded. */
export async function openSpans({ endpoint, ...options }: SpansOptions): Promise<Spans | undefined> {
  if (endpoint === undefined) return undefined
  const { createOtlpSpans } = await import('./otlp-spans.ts')
  return createOtlpSpans({ ...options, endpoint })
}
