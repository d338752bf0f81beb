/** What the gateway sends and takes, by the names of its OpenAPI document. */

/** A measured value of a key. Without a timestamp it is the time of arrival. */
export interface Sample {
  readonly key: string
  readonly value: number
  /** Unix seconds, Unix milliseconds or ISO 8601. */
  readonly timestamp?: number | string
}

/** Several metrics of one device. Its keys are `device/metric`. */
export interface DeviceReport {
  readonly device: string
  readonly timestamp?: number | string
  readonly metrics: Readonly<Record<string, number>>
}

/** The legacy load-report body. Its keys are `default/cpu` and `default/rps`. */
export interface LoadReport {
  readonly timestamp?: number | string
  readonly cpu?: number
  readonly rps: number
}

export type Item = Sample | DeviceReport | LoadReport

export interface Rejected {
  /** Index of the item in the body. */
  readonly index: number
  readonly reason: string
}

export interface IngestResult {
  /** Samples stored. Each will be analysed exactly once. */
  readonly accepted: number
  readonly rejected: readonly Rejected[]
  /** Parts of an agent's body that are no samples, by why they were skipped. */
  readonly skipped?: {
    readonly text?: number
    readonly null?: number
    readonly nested?: number
    readonly unsupported?: number
    readonly stale?: number
    readonly not_finite?: number
    readonly denied?: number
  }
  /** One for each partition that got samples. */
  readonly receipts: readonly string[]
  readonly durability: 'memory' | 'local' | 'disk' | 'replicated'
}

/** Why a request failed (RFC 9457). */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail?: string
  readonly instance?: string
  readonly errors?: readonly {
    readonly detail: string
    readonly index?: number
    readonly parameter?: string
    readonly field?: string
  }[]
  readonly accepted?: number
  readonly rejected?: readonly Rejected[]
  readonly receipts?: readonly string[]
  readonly backlog?: number
  readonly version?: number
}

/** The states of a key. */
export type KeyState = 'warming' | 'flat' | 'ok' | 'anomalous'

/** The verdict on one sample. */
export interface Analysis {
  readonly key: string
  readonly value: number
  /** When the sample was measured, in Unix milliseconds. */
  readonly timestamp: number
  /** Of the window; null while it is empty. */
  readonly mean: number | null
  readonly deviation: number | null
  /** Null while warming. */
  readonly z: number | null
  readonly threshold: number
  /** The band; null while warming. */
  readonly low: number | null
  readonly high: number | null
  readonly anomaly: boolean
  readonly state: KeyState | 'refused' | 'ignored'
  /** Samples of this key analysed so far, including this one. */
  readonly count: number
  /** Samples that the verdict is based on. */
  readonly window: number
  /** The receipt of the sample's entry. */
  readonly id: string
  readonly analyzed_at: number
  readonly rule?: string
  readonly detector?: string
  readonly score?: number | null
  readonly rate?: number | null
  /** The value is outside the range of its rule: an anomaly by any score. */
  readonly range?: 'above' | 'below'
  /** Of the values; rates are per second of it. */
  readonly unit?: string
  readonly late?: true
  readonly duplicate?: true
}

export interface LoadAnalysis {
  readonly timestamp: number
  readonly rps_avg: number
  readonly rps_z: number
  readonly anomaly: boolean
  readonly window: number
  readonly count: number
}

export interface AnalysesPage {
  readonly analyses: readonly Analysis[]
  /** Null on the last page. An empty page can have a next page. */
  readonly cursor: string | null
  readonly analysis: LoadAnalysis | null
}

export interface History {
  readonly key: string
  readonly count: number
  /** The window, oldest first. */
  readonly values: readonly number[]
  readonly timestamps: readonly number[]
  /** Of a counter, per second; null while unknown. */
  readonly rates?: readonly (number | null)[]
  readonly unit?: string
  /** Of the window before each value; null if that is no longer kept. */
  readonly mean: readonly (number | null)[]
  /** The band at each value. */
  readonly low: readonly (number | null)[]
  readonly high: readonly (number | null)[]
  readonly state: readonly (Analysis['state'] | null)[]
}

/** What is known of a key's samples in an interval. */
export interface Bucket {
  /** Unix milliseconds. */
  readonly start: number
  readonly count: number
  /** Null if numbers are too large to be kept. */
  readonly mean: number | null
  readonly deviation: number | null
  readonly min: number | null
  readonly max: number | null
  readonly anomalies: number
  /** Whether later samples may change it. */
  readonly open: boolean
}

export interface Aggregates {
  readonly key: string
  readonly step_ms: number
  /** Oldest first. Intervals without a sample have none. */
  readonly buckets: readonly Bucket[]
}

export interface AggregatesQuery {
  /** Unix seconds or milliseconds, or ISO 8601. */
  readonly from?: number | string
  readonly to?: number | string
  /** A multiple of 10 s, as '1m'. */
  readonly step?: string
}

export type Scope = 'ingest' | 'read' | 'operate' | 'admin'

/** Who sends the requests. */
export interface Caller {
  readonly id: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly key_prefix: string
  readonly via: 'open' | 'api-key' | 'session'
  readonly expires_at: number | null
}

export interface AnomaliesPage {
  readonly anomalies: readonly Analysis[]
  readonly cursor: string | null
}

export type Severity = 'info' | 'warning' | 'critical'

export interface KeyAlert {
  readonly id: string
  readonly severity: Severity
  readonly opened_at: number
}

/** A key by its newest analysis. */
export interface KeyRow {
  readonly key: string
  readonly state: Analysis['state']
  readonly value: number
  readonly z: number | null
  readonly low: number | null
  readonly high: number | null
  readonly timestamp: number
  readonly analyzed_at: number
  readonly count: number
  /** Samples per second; null until it is measured. */
  readonly rate: number | null
  /** The firing alert of the key. */
  readonly alert: KeyAlert | null
  readonly values?: readonly number[]
}

export interface KeysPage {
  readonly keys: readonly KeyRow[]
  readonly total: number
  readonly as_of: number
  readonly cursor: string | null
}

export interface Overview {
  readonly as_of: number
  readonly keys: {
    readonly total: number
    readonly alerting: number
    readonly anomalous: number
    readonly warming: number
    readonly flat: number
    readonly ok: number
  }
  readonly worst: {
    readonly key: string
    readonly since: number
    readonly z: number | null
    readonly value: number
  } | null
  readonly latency_p95_ms: number | null
  readonly pipeline: Pipeline | null
}

export interface Pipeline {
  readonly samples_per_s: number | null
  readonly analysed_per_s: number | null
  readonly backlog: number
  readonly lost: number
  readonly partitions: readonly PartitionView[]
  readonly requests_per_s: number | null
  readonly errors_per_s: number | null
  readonly store: { readonly used_bytes: number; readonly max_bytes: number } | null
  readonly warnings: readonly string[]
}

export interface PartitionView {
  readonly partition: number
  readonly owner: string | null
  readonly accepted: number
  readonly analysed: number
  readonly dead: number
  readonly backlog: number
  readonly applied_at: number | null
}

export interface Rebalances {
  readonly rebalances: readonly {
    readonly at: number
    readonly partition: number
    readonly from: string | null
    readonly to: string | null
    readonly reason: 'handed_off' | 'expired' | 'first' | 'released'
  }[]
}

interface Note {
  readonly who: string
  readonly why: string
  readonly at: number
}

export type AlertKind = 'anomaly' | 'silent' | 'level_shift' | 'storm'

export interface Alert {
  readonly id: string
  /** Null for an alert of the whole fleet. */
  readonly key: string | null
  readonly rule: string | null
  readonly severity: Severity
  readonly opened_at: number
  readonly cause: { readonly kind: AlertKind; readonly keys?: readonly string[] }
  readonly state: 'firing' | 'resolved'
  readonly resolved_at: number | null
  readonly resolve_reason: string | null
  readonly peak: { readonly score: number; readonly value: number; readonly samples: number } | null
  readonly acknowledged: Note | null
  readonly snoozed: (Note & { readonly until: number }) | null
  /** Notifications while firing. */
  readonly told: number
  readonly told_at: number
  readonly suppressed_by: 'mute' | 'snooze' | 'storm' | null
  readonly suppressed: { readonly mute: number; readonly snooze: number; readonly storm: number }
  /** What an operator made of it. */
  readonly feedback?: {
    readonly useful: boolean
    readonly who: string | null
    readonly why: string | null
    readonly at: number
  }
  /** A sentence for people. */
  readonly explanation: string
}

export interface AlertsPage {
  readonly alerts: readonly Alert[]
  readonly counts: { readonly firing: number; readonly resolved: number } | null
  readonly cursor: string | null
}

/** Firing alerts that probably have one cause. */
export interface AlertGroup {
  readonly id: string
  readonly name: string
  readonly severity: Severity
  /** When its first alert opened. */
  readonly since: number
  readonly count: number
  readonly keys: number
  /** A sentence for people. */
  readonly explanation: string
  /** The first of its alerts. */
  readonly alerts: readonly Alert[]
}

export interface AlertGroupsPage {
  readonly groups: readonly AlertGroup[]
  readonly counts: { readonly groups: number; readonly alerts: number }
  readonly cursor: string | null
}

/** A rule as it was written. */
export interface WrittenRule {
  readonly id: string
  readonly pattern: string
  readonly [member: string]: unknown
}

export interface Rule {
  readonly rule: WrittenRule
  /** The version of all rules with which this one was last changed. */
  readonly version: number
  readonly changed: Note
  /** Since the last change. */
  readonly counts: RuleCounts | null
  /** Of the alerts of the last 30 days; absent without marks. */
  readonly feedback?: Feedbacks
}

export interface RuleCounts {
  /** Samples with a score. */
  readonly judged: number
  readonly flagged: number
  /** What normal noise would have flagged. */
  readonly expected: number | null
  /** Alerts. */
  readonly opened: number
}

export interface Feedbacks {
  readonly opened: number
  readonly useful: number
  readonly noise: number
  readonly useful_share: number | null
}

export interface Mute {
  readonly id: string
  readonly pattern: string
  /** ISO 8601. */
  readonly until: string
  readonly who: string
  readonly why: string
}

export interface Rules {
  readonly version: number
  readonly rules: readonly Rule[]
  /** Of keys that no rule matches. */
  readonly default: { readonly counts: RuleCounts | null; readonly feedback?: Feedbacks }
  readonly mutes: readonly Mute[]
}

export interface RuleChange extends Note {
  readonly version: number
  readonly kind: 'rule_put' | 'rule_deleted' | 'mute_put' | 'mute_deleted' | 'storm_put'
  readonly id: string | null
  /** As it was written; null for a deletion. */
  readonly content: Readonly<Record<string, unknown>> | null
}

export interface RuleChangesPage {
  readonly changes: readonly RuleChange[]
  readonly cursor: string | null
}

/** What rules make of samples. */
export interface Tested {
  /** Samples with a score: those before only taught. */
  readonly scored: number
  readonly flagged: number
  /** Alerts. */
  readonly opened: number
}

export interface TestedKey extends Tested {
  /** Null for the default policy. */
  readonly rule: string | null
  readonly alerts: readonly {
    readonly kind: 'anomaly' | 'silent'
    readonly opened_at: number
    readonly resolved_at: number | null
    readonly value: number | null
    readonly score: number | null
  }[]
}

/** The verdicts on samples; the band is null where there is none. */
export interface TestedSamples {
  readonly low: readonly (number | null)[]
  readonly high: readonly (number | null)[]
  readonly flagged: readonly boolean[]
  readonly opened: readonly boolean[]
}

/** What a rule would have done, beside the rules in force. */
export interface RulePreview {
  readonly rules_version: number
  readonly rule: WrittenRule
  /** What the rule sets, with all defaults. */
  readonly policy: Readonly<Record<string, unknown>>
  readonly history: {
    readonly keys: number
    readonly keys_found: number
    readonly samples: number
    readonly from: number | null
    readonly to: number | null
    readonly cut: boolean
  }
  readonly in_force: Tested
  readonly preview: Tested
  /** Those that differ most first. */
  readonly keys: readonly {
    readonly key: string
    readonly samples: number
    readonly from: number
    readonly to: number
    readonly in_force: TestedKey
    readonly preview: TestedKey
  }[]
  /** Of a single key: its newest samples. */
  readonly series: {
    readonly timestamps: readonly number[]
    readonly values: readonly number[]
    readonly in_force: TestedSamples
    readonly preview: TestedSamples
  } | null
}

export interface RuleExplanation {
  readonly key: string
  readonly version: number
  readonly rule: string | null
  readonly reason: string
  readonly shadow: string | null
  readonly others: readonly { readonly rule: string; readonly pattern: string; readonly shadow: boolean }[]
  readonly muted: { readonly until: number; readonly who: string; readonly why: string } | null
  readonly policy: {
    readonly detector: string
    readonly threshold: number | null
    readonly budget: string | null
    readonly window: number
    readonly direction: 'up' | 'down' | 'both'
  }
  /** A rule that the window suggests. */
  readonly hint: { readonly reason: string; readonly rule: WrittenRule } | null
}

export interface DeadLetter {
  /** The receipt of the entry. */
  readonly id: string
  readonly reason: string
  /** As far as they could be read. */
  readonly samples: string
  readonly accepted_at: number
}

export interface DeadLettersPage {
  readonly dead: readonly DeadLetter[]
  readonly cursor: string | null
}
