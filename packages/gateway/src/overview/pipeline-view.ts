import type { Store } from '@tidemark/shared/store/ports/store'
import type { GatewayMetrics } from '../metrics.ts'

/** Rates are measured over the newest readings of this time. */
const RATE_MS = 10_000

/** A shorter time says nothing about a rate. */
const RATE_MIN_MS = 900

/** One reading serves all who look within this time. */
const KEPT_MS = 900

interface Totals {
  readonly at: number
  readonly accepted: number
  readonly analysed: number
  readonly sent: number
  readonly failed: number
}

interface Options {
  readonly store: () => Store
  readonly metrics: Pick<GatewayMetrics, 'responses'>
  readonly warnings: () => readonly string[]
}

/** Returns a reader of what the pipeline does: progress, owners, rates and memory. */
export function createPipelineView({ store: current, metrics, warnings }: Options) {
  let readings: Totals[] = []
  let kept: { readonly at: number; readonly view: ReturnType<typeof read> } | undefined

  async function read() {
    const store = current()
    const numbers = Array.from({ length: store.partitions }, (_, partition) => partition)
    const [progress, owners, memory, { sent, failed }] = await Promise.all([
      store.gateway.progress(numbers),
      store.gateway.owners(numbers),
      store.gateway.memory(),
      metrics.responses(),
    ])
    const sum = (of: (one: (typeof progress)[number]) => number): number => progress.reduce((n, one) => n + of(one), 0)
    const totals = {
      at: performance.now(),
      accepted: sum(p => p.accepted),
      analysed: sum(p => p.analysed),
      sent,
      failed,
    }
    readings = [...readings.filter(({ at }) => at > totals.at - RATE_MS), totals]
    const per = (of: (one: Totals) => number): number | null => {
      const first = readings[0] ?? totals
      const ms = totals.at - first.at
      return ms < RATE_MIN_MS ? null : Math.max(0, (of(totals) - of(first)) / (ms / 1000))
    }
    return {
      samples_per_s: per(one => one.accepted),
      analysed_per_s: per(one => one.analysed),
      backlog: Math.max(
        0,
        sum(one => one.backlog),
      ),
      lost: Math.max(
        0,
        sum(one => one.lost),
      ),
      partitions: progress.map(({ checkpoint, accepted, analysed, dead, backlog }, partition) => ({
        partition,
        owner: owners[partition] ?? null,
        accepted,
        analysed,
        dead,
        backlog,
        applied_at: checkpoint === '0-0' ? null : Number(checkpoint.split('-')[0]),
      })),
      requests_per_s: per(one => one.sent),
      errors_per_s: per(one => one.failed),
      store: memory && { used_bytes: memory.usedBytes, max_bytes: memory.maxBytes },
      warnings: [...warnings()],
    }
  }

  return () => {
    const now = performance.now()
    if (kept === undefined || kept.at < now - KEPT_MS) {
      const reading = { at: now, view: read() }
      kept = reading
      reading.view.catch(() => {
        if (kept === reading) kept = undefined
      })
    }
    return kept.view
  }
}
