import type { SpanAttributes, SpanStart, Spans } from '@tidemark/shared/runtime/tracing/spans'
import type { TraceContext } from '@tidemark/shared/sample/trace-context'

export interface RecordedSpan extends SpanStart {
  readonly context: TraceContext
  end?: { readonly attributes: SpanAttributes | undefined; readonly fault: string | undefined }
}

/** Spans that stay where a test can look at them. `isSampled` is decided of traces that begin here. */
export function createRecordedSpans({
  isSampled: ofRoots = false,
} = {}): Spans & { readonly all: readonly RecordedSpan[] } {
  const all: RecordedSpan[] = []
  return {
    all,
    begin(start) {
      const number = String(all.length + 1)
      const { traceId = number.padStart(32, '0'), isSampled = ofRoots } = start.parent ?? {}
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
