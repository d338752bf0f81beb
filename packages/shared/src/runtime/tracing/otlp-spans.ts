import {
  type Attributes,
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  serviceNameEnvDetector,
} from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { TraceContext } from '../../sample/trace-context.ts'
import type { FailureLog } from '../logger.ts'
import type { OpenSpan, Spans, SpansOptions } from './spans.ts'

const KINDS = { server: SpanKind.SERVER, consumer: SpanKind.CONSUMER } as const

/** Later ones have the last word. */
const RESOURCE_DETECTORS = [serviceInstanceIdDetector, resourceAttributesEnvDetector, serviceNameEnvDetector]

/** Spans that wait to be sent. Beyond it they are dropped, and the log says how many: the receiver is away or too slow. */
const QUEUE_SPANS_MAX = 4096

/** How often what waits is sent. */
const SEND_MS = 1000

/**
 * How long sending may take, with all that the exporter tries again meanwhile. Its pauses keep the process alive, so this bounds
 * by how much a receiver that is away holds up the stop; OpenTelemetry's own 10 s would be too long for that.
 */
const SEND_TIMEOUT_MS = 2000

export interface OtlpSpansOptions extends Pick<SpansOptions, 'service' | 'ratio'> {
  readonly endpoint: string
  readonly logFailure: FailureLog
}

/**
 * Spans by OpenTelemetry's SDK, as OTLP in JSON over HTTP. Loaded only where there is somebody to send them to (spans.ts).
 * Headers, the service's name and further attributes come from OpenTelemetry's own environment variables, which the
 * SDK reads by itself.
 */
export function createOtlpSpans({ service, endpoint, ratio, logFailure }: OtlpSpansOptions): Spans {
  const warn = (message: string): void => logFailure(new Error(message), 'spans could not be sent')
  const ignore = (): void => {}
  diag.setLogger({ error: warn, warn, info: ignore, debug: ignore, verbose: ignore }, DiagLogLevel.WARN)

  const provider = new TracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': service, 'service.namespace': 'tidemark' }))
      .merge(detectResources({ detectors: RESOURCE_DETECTORS })),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: new OTLPTraceExporter({
          url: `${endpoint.replace(/\/+$/, '')}/v1/traces`,
          timeoutMillis: SEND_TIMEOUT_MS,
        }),
        maxQueueSize: QUEUE_SPANS_MAX,
        scheduledDelayMillis: SEND_MS,
      }),
    ],
  })
  const tracer = provider.getTracer('tidemark')

  return {
    begin({ name, kind, parent, attributes, startMs }): OpenSpan {
      const options = { kind: KINDS[kind], attributes, ...(startMs === undefined ? {} : { startTime: startMs }) }
      const span = tracer.startSpan(name, options, contextOf(parent))
      const { traceId, spanId, traceFlags } = span.spanContext()
      return {
        context: { traceId, spanId, isSampled: (traceFlags & TraceFlags.SAMPLED) !== 0 },
        end(more, fault) {
          if (more !== undefined) span.setAttributes(more as Attributes)
          if (fault !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: fault })
          span.end()
        },
      }
    },
    async [Symbol.asyncDispose]() {
      await provider.shutdown().catch((error: unknown) => logFailure(error, 'the last spans could not be sent'))
      diag.disable()
    },
  }
}

function contextOf(parent: TraceContext | undefined) {
  if (parent === undefined) return ROOT_CONTEXT
  const { traceId, spanId, isSampled } = parent
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true })
}
