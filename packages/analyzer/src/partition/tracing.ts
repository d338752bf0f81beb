import type { Spans } from '@tidemark/shared/runtime/tracing/spans'
import { unpackTraces } from '@tidemark/shared/sample/entry'
import { type EntryId, entryTimeMs, formatReceipt } from '@tidemark/shared/sample/receipt'
import { traceFields } from '@tidemark/shared/sample/trace-context'
import type { CommitOutcome } from '@tidemark/shared/store/ports/commit'
import type { Context } from '../context.ts'
import type { Run, TracedEntry } from '../judging/run.ts'

/** A commit with entries that carry traces. */
export interface TracedCommit {
  readonly partition: number
  readonly run: Run
  readonly outcome: CommitOutcome
  /** Time to process the run, its commit included. */
  readonly tookMs: number
}

export interface TracingOptions extends Pick<Context, 'metrics' | 'log'> {
  /** Undefined if no spans are collected. */
  readonly spans: Spans | undefined
  /** Unix milliseconds. */
  readonly now: () => number
}

/** Returns the fields that name an entry's traces in a log line. */
export function tracesOf({ traced }: Run, id: EntryId): Readonly<Record<string, unknown>> {
  const entry = traced.find(one => one.id === id)
  return entry === undefined ? {} : traceFields(unpackTraces(entry.traces))
}

/**
 * Returns a function that publishes the traces of a commit's entries: a log line per entry, an
 * exemplar of the latency, and a span in each recorded trace, which then spans both services.
 */
export function createTracing({ metrics, log, spans, now }: TracingOptions): (commit: TracedCommit) => void {
  function trace(entry: TracedEntry, { partition, run, outcome, tookMs }: TracedCommit, endMs: number): void {
    const traces = unpackTraces(entry.traces)
    if (traces.length === 0) return
    const receipt = formatReceipt({ partition, id: entry.id })
    const fault = run.deadLetters.find(({ id }) => id === entry.id)?.reason
    const delayMs = outcome.kind === 'ok' ? Math.max(0, outcome.at - entryTimeMs(entry.id)) : undefined
    const recorded = traces.filter(({ isSampled }) => isSampled)
    if (fault === undefined) {
      const [first] = recorded
      if (first !== undefined && delayMs !== undefined) metrics.delaySeconds.exemplify(delayMs / 1000, first)
      log.debug({ receipt, samples: entry.count, delayMs, ...traceFields(traces) }, 'an entry was analysed')
    }
    if (spans === undefined) return
    const attributes = {
      'messaging.system': 'redis',
      'messaging.operation.type': 'process',
      'messaging.message.id': receipt,
      'messaging.destination.partition.id': String(partition),
      'tidemark.samples': entry.count,
      ...(delayMs === undefined ? {} : { 'tidemark.delay_ms': delayMs }),
    }
    for (const parent of recorded) {
      const span = spans.begin({ name: 'analyse', kind: 'consumer', parent, attributes, startMs: endMs - tookMs })
      span.end(undefined, fault)
    }
  }

  return commit => {
    const endMs = now()
    for (const entry of commit.run.traced) trace(entry, commit, endMs)
  }
}
