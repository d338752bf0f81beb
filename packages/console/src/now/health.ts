import type { Overview } from '@tidemark/client/types'
import { formatBytes, formatCount, formatDuration, formatRate, plural } from '../format.ts'
import type { Level } from '../parts/sign.tsx'

/** One figure of the pipeline, whether it is well, and why. */
export interface Vital {
  readonly name: string
  readonly figure: string
  readonly level: Level
  readonly reason: string
  /** The entry of the runbook that helps. */
  readonly runbook?: string
}

/** Samples that wait for so long, at the present rate. */
const LAG_WARN_S = 5
const LAG_BAD_S = 30

/** A backlog that is always there while samples flow. */
const BACKLOG_USUAL = 1000

const LATENCY_WARN_MS = 1000
const LATENCY_BAD_MS = 10_000

const ERRORS_BAD = 0.01
const MEMORY_WARN = 0.75
const MEMORY_BAD = 0.9

/** Judges the pipeline; none for callers that see only a part of it. */
export function vitalsOf({ pipeline, keys, latency_p95_ms: latency }: Overview): readonly Vital[] {
  if (pipeline === null) return []
  const { samples_per_s: rate, partitions } = pipeline
  const owners = new Set(partitions.flatMap(({ owner }) => owner ?? []))
  const unowned = partitions.filter(({ owner }) => owner === null).length
  return [
    samples(rate, keys.total),
    lag(pipeline.backlog, pipeline.analysed_per_s, owners.size),
    verdicts(latency),
    errors(pipeline.errors_per_s, pipeline.requests_per_s),
    analyzers(owners.size, unowned, partitions.length),
    memory(pipeline.store),
  ]
}

function samples(rate: number | null, keys: number): Vital {
  const common = { name: 'Samples per second', figure: formatRate(rate) }
  if (rate === null) return { ...common, level: 'none', reason: 'being measured' }
  if (rate > 0) return { ...common, level: 'good', reason: 'samples arrive' }
  if (keys === 0) return { ...common, level: 'none', reason: 'nothing was sent yet' }
  return { ...common, level: 'warn', reason: 'no samples arrive now', runbook: 'NoSamples' }
}

function lag(backlog: number, analysed: number | null, owners: number): Vital {
  const common = { name: 'Consumer lag', figure: plural(backlog, 'sample') }
  if (backlog > 0 && owners === 0)
    return { ...common, level: 'bad', reason: 'no analyzer works on it', runbook: 'AnalyzerGone' }
  if (backlog <= BACKLOG_USUAL) return { ...common, level: 'good', reason: 'analyzers keep up' }
  const seconds = backlog / Math.max(analysed ?? 0, 1e-9)
  const reason =
    analysed === null || analysed === 0
      ? 'nothing is analysed'
      : `${formatDuration(seconds * 1000)} of work at this rate`
  const level = seconds > LAG_BAD_S ? 'bad' : seconds > LAG_WARN_S ? 'warn' : 'good'
  return { ...common, level, reason, ...(level !== 'good' && { runbook: 'BacklogGrowing' }) }
}

function verdicts(ms: number | null): Vital {
  const name = 'Verdict latency, p95'
  if (ms === null) return { name, figure: '–', level: 'none', reason: 'no verdicts in the last minute' }
  const figure = ms < 1000 ? `${formatCount(ms)} ms` : formatDuration(ms)
  if (ms < LATENCY_WARN_MS) return { name, figure, level: 'good', reason: 'from arrival to verdict' }
  const level = ms < LATENCY_BAD_MS ? 'warn' : 'bad'
  return { name, figure, level, reason: 'verdicts are late', runbook: 'VerdictsSlow' }
}

function errors(failed: number | null, sent: number | null): Vital {
  const name = 'Failed requests'
  if (failed === null || sent === null) return { name, figure: '–', level: 'none', reason: 'being measured' }
  const share = sent > 0 ? failed / sent : 0
  const figure = new Intl.NumberFormat(navigator.languages, { style: 'percent', maximumFractionDigits: 1 }).format(
    share,
  )
  if (failed === 0) return { name, figure, level: 'good', reason: `of ${formatRate(sent)} per second here` }
  const level = share >= ERRORS_BAD ? 'bad' : 'warn'
  return { name, figure, level, reason: 'the gateway responds with errors', runbook: 'IngestErrors' }
}

function analyzers(owners: number, unowned: number, partitions: number): Vital {
  const name = 'Analyzers'
  const figure = formatCount(owners)
  if (owners === 0) return { name, figure, level: 'bad', reason: 'none is running', runbook: 'AnalyzerGone' }
  if (unowned > 0)
    return {
      name,
      figure,
      level: 'bad',
      reason: `${plural(unowned, 'partition')} without one`,
      runbook: 'PartitionsUnowned',
    }
  return { name, figure, level: 'good', reason: `all ${plural(partitions, 'partition')} owned` }
}

function memory(store: { readonly used_bytes: number; readonly max_bytes: number } | null): Vital {
  const name = 'Redis memory'
  if (store === null) return { name, figure: '–', level: 'none', reason: 'no Redis, or it does not say' }
  const figure = formatBytes(store.used_bytes)
  if (store.max_bytes === 0) return { name, figure, level: 'good', reason: 'no limit is set' }
  const share = store.used_bytes / store.max_bytes
  const reason = `${formatCount(share * 100)} % of ${formatBytes(store.max_bytes)}`
  if (share < MEMORY_WARN) return { name, figure, level: 'good', reason }
  return { name, figure, level: share < MEMORY_BAD ? 'warn' : 'bad', reason, runbook: 'RedisMemoryHigh' }
}
