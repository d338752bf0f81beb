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
import { createFailureLog } from '../logger.ts'
import type { OpenSpan, Spans, SpansOptions } from './spans.ts'

const KINDS = { server: SpanKind.SERVER, consumer: SpanKind.CONSUMER } as const

/** Later ones take precedence. */
const RESOURCE_DETECTORS = [serviceInstanceIdDetector, resourceAttributesEnvDetector, serviceNameEnvDetector]

/** Unsent spans. More are dropped, and logged: the receiver is unavailable or too slow. */
const QUEUE_SPANS_MAX = 4096

const SEND_MS = 1000

/** Includes retries, which delay the shutdown. OpenTelemetry's default of 10 s is too long. */
const SEND_TIMEOUT_MS = 2000

/** Loaded only with a receiver. The SDK reads OpenTelemetry's environment variables, too. */
export function createOtlpSpans({ service, endpoint, ratio, log }: SpansOptions & { endpoint: string }): Spans {
  const logFailure = createFailureLog(log)
  const warn = (message: string): void => logFailure(new Error(message), 'spans could not be sent')
  const ignore = (): void => {}
  diag.setLogger({ error: warn, warn, info: ignore, debug: ignore, verbose: ignore }, DiagLogLevel.WARN)

  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`
  const exporter = new OTLPTraceExporter({ url, timeoutMillis: SEND_TIMEOUT_MS })
  const provider = new TracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': service, 'service.namespace': 'tidemark' }))
      .merge(detectResources({ detectors: RESOURCE_DETECTORS })),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [
      new BatchSpanProcessor({ exporter, maxQueueSize: QUEUE_SPANS_MAX, scheduledDelayMillis: SEND_MS }),
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
