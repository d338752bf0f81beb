import type { SpanAttributes, SpanStart, Spans } from '@tidemark/shared/runtime/tracing/spans'
import type { TraceContext } from '@tidemark/shared/sample/trace-context'

export interface RecordedSpan extends SpanStart {
  readonly context: TraceContext
  end?: { readonly attributes: SpanAttributes | undefined; readonly fault: string | undefined }
}

/** Returns spans that a test can inspect. `isSampled` applies to traces that start here. */
export function createRecordedSpans({
  isSampled: rootsSampled = false,
} = {}): Spans & { readonly all: readonly RecordedSpan[] } {
  const all: RecordedSpan[] = []
  return {
    all,
    begin(start) {
      const number = String(all.length + 1)
      const { traceId = number.padStart(32, '0'), isSampled = rootsSampled } = start.parent ?? {}
      const span: RecordedSpan = { ...start, context: { traceId, spanId: number.padStart(16, '0'), isSampled } }
      all.push(span)
      return {
        context: span.context,
        end(attributes, fault) {
          span.end = { attributes, fault }
        },
      }
    },
    async [Symbol.asyncDispose]() {},
  }
}
