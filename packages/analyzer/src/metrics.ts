import { createTracedHistogram } from '@tidemark/shared/open-metrics'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What became of a commit: the store's outcomes, and `failed` for a send without an answer. */
export const COMMIT_RESULTS = ['ok', 'already', 'stale', 'gap', 'fenced', 'failed'] as const

/** The analyzer's metrics. Labels come from closed sets, never from what clients send. */
export function createAnalyzerMetrics(registry: Registry) {
  const registers = [registry]
  const commits = new Counter({
    name: 'analyzer_commits_total',
    help: 'Commits by result: ok, already (a lost answer), stale, gap, fenced, failed (no answer).',
    labelNames: ['result'],
    registers,
  })
  for (const result of COMMIT_RESULTS) commits.inc({ result }, 0)
  return {
    commits,
    samplesAnalysed: new Counter({
      name: 'analyzer_samples_analysed_total',
      help: 'Samples analysed and committed.',
      registers,
    }),
    anomalies: new Counter({
      name: 'analyzer_anomalies_total',
      help: 'Analysed samples that are anomalies.',
      registers,
    }),
    /** The replaced service's name, which its users' dashboards and alerts know. */
    anomaliesOfOld: new Counter({
      name: 'metrics_anomaly_total',
      help: 'The same as analyzer_anomalies_total, under its former name.',
      registers,
    }),
    deadEntries: new Counter({
      name: 'analyzer_dead_entries_total',
      help: 'Entries that could not be read.',
      registers,
    }),
    samplesLost: new Counter({
      name: 'analyzer_samples_lost_total',
      help: 'Accepted samples that were gone from the stream before they were analysed.',
      registers,
    }),
    samplesRolledBack: new Counter({
      name: 'analyzer_samples_rolled_back_total',
      help: 'Accepted samples that this analyzer had read and that Redis has forgotten since. Each analyzer counts by itself, so take the max over analyzers of each partition: the sum of those is a lower bound of what is lost.',
      labelNames: ['partition'],
      registers,
    }),
    batchSamples: new Histogram({
      name: 'analyzer_batch_samples',
      help: 'Samples in one commit.',
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000],
      registers,
    }),
    batchSeconds: new Histogram({
      name: 'analyzer_batch_seconds',
      help: 'Time from taking a batch up to its commit.',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    }),
    delaySeconds: createTracedHistogram(registry, {
      name: 'analyzer_delay_seconds',
      help: 'Time from an entry being accepted to its samples being analysed and committed, by the clock of Redis.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    }),
    partitionsOwned: new Gauge({
      name: 'analyzer_partitions_owned',
      help: 'Partitions that this analyzer owns.',
      registers,
    }),
    partitions: new Gauge({
      name: 'analyzer_partitions',
      help: 'Partitions that there are, whoever owns them.',
      registers,
    }),
    members: new Gauge({ name: 'analyzer_members', help: 'Live analyzers, as this one sees them.', registers }),
    takeovers: new Counter({ name: 'analyzer_takeovers_total', help: 'Partitions taken over.', registers }),
    recoveries: new Counter({
      name: 'analyzer_recoveries_total',
      help: 'Times that the memory of a partition was thrown away and read again from Redis.',
      registers,
    }),
    windowsKept: new Gauge({ name: 'analyzer_windows_kept', help: 'Windows in memory.', registers }),
    windowsLoaded: new Counter({ name: 'analyzer_windows_loaded_total', help: 'Windows read from Redis.', registers }),
    windowsUnreadable: new Counter({
      name: 'analyzer_windows_unreadable_total',
      help: 'Windows in Redis that were not windows; their keys began anew.',
      registers,
    }),
    backlogSamples: new Gauge({
      name: 'analyzer_backlog_samples',
      help: 'Samples accepted and not analysed, in the partitions that this analyzer owns.',
      registers,
    }),
    accountSamples: new Gauge({
      name: 'analyzer_account_samples',
      help: 'Samples ever accepted in the partitions that this analyzer owns, and what became of them: analysed, dead, lost or waiting in the stream. All of a partition is read from Redis at one moment, so accepted is the sum of the others unless Redis lost some.',
      labelNames: ['state'],
      registers,
    }),
    oldestSampleAgeSeconds: new Gauge({
      name: 'analyzer_oldest_sample_age_seconds',
      help: 'Age of the oldest sample not analysed in the partitions that this analyzer owns; 0 when there is none.',
      registers,
    }),
    storeErrors: new Counter({
      name: 'analyzer_store_errors_total',
      help: 'Questions to the store that failed.',
      registers,
    }),
  }
}

export type AnalyzerMetrics = ReturnType<typeof createAnalyzerMetrics>
