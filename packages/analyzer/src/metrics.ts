import { SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import type { AlertCause, AlertEnd } from '@tidemark/shared/detection/alerts/record'
import { MILLION } from '@tidemark/shared/detection/rules/rule-counts'
import { TracedHistogram } from '@tidemark/shared/runtime/open-metrics'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** What became of a commit: the store's outcomes, and `failed` for a send without an answer. */
export const COMMIT_RESULTS = ['ok', 'already', 'stale', 'gap', 'fenced', 'failed'] as const

const ALERT_KINDS = ['anomaly', 'silent', 'level_shift'] as const satisfies AlertCause['kind'][]
const RESOLVE_REASONS = ['calm', 'no_samples', 'level_shift', 'heard'] as const satisfies AlertEnd['resolve_reason'][]
const REFUSAL_REASONS = ['late', 'duplicate'] as const

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
  const alertsOpened = new Counter({
    name: 'analyzer_alerts_opened_total',
    help: 'Alerts opened, by what they are about and how severe they are.',
    labelNames: ['kind', 'severity'],
    registers,
  })
  for (const kind of ALERT_KINDS) for (const severity of SEVERITIES) alertsOpened.inc({ kind, severity }, 0)
  const alertsResolved = new Counter({
    name: 'analyzer_alerts_resolved_total',
    help: 'Alerts resolved, by reason.',
    labelNames: ['reason'],
    registers,
  })
  for (const reason of RESOLVE_REASONS) alertsResolved.inc({ reason }, 0)
  const samplesRefused = new Counter({
    name: 'analyzer_samples_refused_total',
    help: 'Late and repeated samples that were not analysed because a rule says so; they count as worked through.',
    labelNames: ['reason'],
    registers,
  })
  for (const reason of REFUSAL_REASONS) samplesRefused.inc({ reason }, 0)
  /** Rules are named by operators, and there are at most RULES_MAX of them. */
  const ruleCounter = (what: string, help: string) =>
    new Counter({ name: `analyzer_rule_samples_${what}_total`, help, labelNames: ['rule'], registers })
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
    deadLetters: new Counter({
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
    delaySeconds: new TracedHistogram({
      name: 'analyzer_delay_seconds',
      help: 'Time from an entry being accepted to its samples being analysed and committed, by the clock of Redis.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
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
    alertsOpened,
    alertsResolved,
    samplesLate: new Counter({
      name: 'analyzer_samples_late_total',
      help: 'Samples that were measured before one of their key that came earlier.',
      registers,
    }),
    samplesDuplicate: new Counter({
      name: 'analyzer_samples_duplicate_total',
      help: 'Samples with time and value of one in the window, or of the one before.',
      registers,
    }),
    samplesRefused,
    ruleJudged: ruleCounter('judged', 'Samples that a rule gave a score, tried out or in force.'),
    ruleFlagged: ruleCounter('flagged', 'Samples that a rule flagged, tried out or in force.'),
    ruleExpected: ruleCounter(
      'expected',
      'Samples that a rule would have flagged, had they been independent normal noise; 0 where nobody knows.',
    ),
    rulesVersion: new Gauge({ name: 'analyzer_rules_version', help: 'Version of the rules in force.', registers }),
    rulesUnreadable: new Counter({
      name: 'analyzer_rules_unreadable_total',
      help: 'Versions of the rules that this analyzer could not read; those before stayed in force.',
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
