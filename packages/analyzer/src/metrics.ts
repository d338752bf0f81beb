import { RESOLVE_REASONS, SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import type { AlertCause, AlertEnd } from '@tidemark/shared/detection/alerts/record'
import { exportBuildInfo } from '@tidemark/shared/runtime/build-info'
import { createCounters, createGauges } from '@tidemark/shared/runtime/metric-tables'
import { TracedHistogram } from '@tidemark/shared/runtime/open-metrics'
import { Histogram, type Registry } from 'prom-client'

const ALERT_KINDS = ['anomaly', 'silent', 'level_shift'] as const satisfies AlertCause['kind'][]
const ENDS = [...RESOLVE_REASONS, 'heard'] as const satisfies AlertEnd['resolve_reason'][]

/** Rules are named by operators; there are at most RULES_MAX of them. */
const RULE = { rule: [] }

const COUNTERS = {
  commits: [
    'analyzer_commits_total',
    'Commits by result: ok, already (applied by an earlier attempt), stale, gap, fenced, failed (retried).',
    { result: ['ok', 'already', 'stale', 'gap', 'fenced', 'failed'] },
  ],
  samplesAnalysed: ['analyzer_samples_analysed_total', 'Samples analysed and committed.'],
  anomalies: ['analyzer_anomalies_total', 'Analysed samples that are anomalies.'],
  /** For dashboards and alerts that know the metric by its legacy name. */
  loadAnomalies: [
    'metrics_anomaly_total',
    'Anomalies of default/rps, the key of load reports, for existing dashboards.',
  ],
  deadLetters: ['analyzer_dead_entries_total', 'Entries that became dead letters: unreadable ones and poison entries.'],
  samplesLost: ['analyzer_samples_lost_total', 'Accepted samples missing from the stream before they were analysed.'],
  samplesRolledBack: [
    'analyzer_samples_rolled_back_total',
    'Accepted samples that this analyzer had read and that Redis has lost since. Analyzers count independently: take the maximum over analyzers for each partition; the sum of those is a lower bound of the loss.',
    { partition: [] },
  ],
  takeovers: ['analyzer_takeovers_total', 'Partitions taken over.'],
  recoveries: ['analyzer_recoveries_total', 'Recoveries of a partition: its state was read again from Redis.'],
  windowsLoaded: ['analyzer_windows_loaded_total', 'Windows read from Redis.'],
  windowsUnreadable: [
    'analyzer_windows_unreadable_total',
    'Unreadable stored windows; their keys started again empty.',
  ],
  keysEvicted: [
    'analyzer_keys_evicted_total',
    'Keys removed with all that was known of them: idle for KEY_IDLE_TTL, or deleted by an operator.',
    { reason: ['idle', 'deleted'] },
  ],
  windowsEvicted: [
    'analyzer_windows_evicted_total',
    'Windows removed from memory to make room. They are read from Redis again when a sample of their key comes.',
  ],
  alertsOpened: ['analyzer_alerts_opened_total', 'Alerts opened.', { kind: ALERT_KINDS, severity: SEVERITIES }],
  alertsResolved: ['analyzer_alerts_resolved_total', 'Alerts resolved, by reason.', { reason: ENDS }],
  samplesLate: ['analyzer_samples_late_total', 'Samples with a timestamp before that of an earlier one of their key.'],
  samplesDuplicate: [
    'analyzer_samples_duplicate_total',
    'Samples with the timestamp and value of a sample in the window, or of the previous sample.',
  ],
  samplesRefused: [
    'analyzer_samples_refused_total',
    'Late and duplicate samples that a rule refused: processed, but not analysed.',
    { reason: ['late', 'duplicate'] },
  ],
  samplesIgnored: [
    'analyzer_samples_ignored_total',
    'Samples with a value that a rule ignores, such as an error value: processed, but not analysed.',
    RULE,
  ],
  ruleJudged: ['analyzer_rule_samples_judged_total', 'Samples scored by a rule, in force or shadow.', RULE],
  ruleFlagged: ['analyzer_rule_samples_flagged_total', 'Samples flagged by a rule, in force or shadow.', RULE],
  ruleExpected: [
    'analyzer_rule_samples_expected_total',
    'Samples that a rule would have flagged in independent normal noise; 0 where that cannot be computed.',
    RULE,
  ],
  rulesUnreadable: ['analyzer_rules_unreadable_total', 'Unreadable rule versions; the previous one stayed in force.'],
  rulesLost: [
    'analyzer_rules_lost_total',
    'Times that the rules in Redis were no longer those in force and not newer: Redis lost rules, or others were restored.',
  ],
  storeErrors: ['analyzer_store_errors_total', 'Store operations that failed.'],
  faults: [
    'analyzer_faults_total',
    'Unexpected errors of the analyzer itself, which are bugs. After three of them an entry becomes a dead letter.',
  ],
} as const

const GAUGES = {
  partitionsOwned: ['analyzer_partitions_owned', 'Partitions owned by this analyzer.'],
  partitions: ['analyzer_partitions', 'Total partitions.'],
  members: ['analyzer_members', 'Live analyzers, as seen by this one.'],
  windowsKept: ['analyzer_windows_kept', 'Windows in memory.'],
  windowsBytes: ['analyzer_windows_bytes', 'Memory of the windows, which WINDOWS_BYTES_MAX bounds.'],
  backlogSamples: ['analyzer_backlog_samples', 'Samples accepted and not analysed yet, in the owned partitions.'],
  partitionBacklog: [
    'analyzer_partition_backlog_samples',
    'Consumer lag: samples accepted and not analysed yet, by owned partition.',
    { partition: [] },
  ],
  deadLettersKept: [
    'analyzer_dead_letters',
    'Dead letters kept in the owned partitions. Each partition keeps about DEAD_KEPT, then the oldest are deleted.',
  ],
  keys: ['analyzer_keys', 'Registered keys of the owned partitions, by partition.', { partition: [] }],
  timers: ['analyzer_timers', 'Keys of the owned partitions that are checked at a time, although no sample arrives.'],
  accountSamples: [
    'analyzer_account_samples',
    'Samples ever accepted in the partitions owned by this analyzer, and their state: analysed, dead, lost or waiting in the stream. Each partition is read atomically, so accepted is the sum of the others unless Redis lost samples.',
    { state: [] },
  ],
  oldestSampleAgeSeconds: [
    'analyzer_oldest_sample_age_seconds',
    'Age of the oldest sample not analysed yet in the partitions owned by this analyzer; 0 if there is none.',
  ],
  idsAheadSeconds: [
    'analyzer_entry_ids_ahead_seconds',
    "How far the ids of applied entries are ahead of Redis' clock in the partitions owned by this analyzer; 0 if they are not.",
  ],
  settingsDiffering: [
    'analyzer_settings_differing',
    'Settings on which running processes disagree; one more if two processes have one ANALYZER_ID.',
  ],
  ruleAlerts: [
    'analyzer_rule_alerts',
    'Alerts of the last 30 days in the owned partitions by rule in force (empty: the default policy), and by what operators marked them as: useful, noise or none.',
    { rule: [], mark: [] },
  ],
  rulesVersion: ['analyzer_rules_version', 'Version of the rules in force.'],
  rulesDigest: [
    'analyzer_rules_digest',
    'The first 48 bits of the digest of the rules in force: analyzers with different values run different rules.',
  ],
} as const

/** Creates the analyzer's metrics. No label has values that clients send. */
export function createAnalyzerMetrics(registry: Registry) {
  exportBuildInfo(registry, 'analyzer')
  return {
    ...createCounters(registry, COUNTERS),
    ...createGauges(registry, GAUGES),
    batchSamples: new Histogram({
      name: 'analyzer_batch_samples',
      help: 'Samples in one commit.',
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000],
      registers: [registry],
    }),
    batchSeconds: new Histogram({
      name: 'analyzer_batch_seconds',
      help: 'Time to process one run of entries, its commit included.',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers: [registry],
    }),
    delaySeconds: new TracedHistogram({
      name: 'analyzer_delay_seconds',
      help: 'Latency from an entry being accepted to its analyses being committed, by the clock of Redis.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers: [registry],
    }),
  }
}

export type AnalyzerMetrics = ReturnType<typeof createAnalyzerMetrics>
