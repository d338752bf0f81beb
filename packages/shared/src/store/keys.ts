/** The consumer group of each partition's samples. */
export const GROUP = 'analyzers'

/** The same for every owner: XREADGROUP returns pending entries only to their consumer. */
export const CONSUMER = 'owner'

/** Partition keys by their name in the code. The stored names are the format of existing data. */
const PARTITION_KEYS = {
  samples: 'samples',
  accepted: 'accepted',
  checkpoint: 'checkpoint',
  lease: 'lease',
  ownerChanges: 'owner_changes',
  windows: 'windows',
  windowTails: 'window_tails',
  guardMemories: 'guard_memories',
  /** Open buckets. The rings of a key are under the next two, a colon and the key. */
  aggregates: 'aggregates',
  aggregatesHours: 'aggregates_6h',
  aggregatesDays: 'aggregates_7d',
  lastAnalysis: 'last_analysis',
  verdicts: 'verdicts',
  anomalies: 'anomalies',
  deadLetters: 'dead',
  requests: 'requests',
  requestTimes: 'request_times',
  alerts: 'alerts',
  alertsFiring: 'alerts_firing',
  alertsResolved: 'alerts_resolved',
  alertFeed: 'alert_feed',
  keyAlerts: 'key_alerts',
  ruleAlerts: 'rule_alerts',
  alertChanges: 'alert_changes',
  timers: 'due',
  notificationChecks: 'notices',
  outbox: 'outbox',
  outboxPositions: 'outbox_positions',
  /** Followed by a colon and a receiver's name. */
  outboxRetries: 'outbox_retries',
  deadNotifications: 'dead_notifications',
  ruleCounts: 'rule_counts',
  shadowed: 'shadowed',
  points: 'points',
  keys: 'keys',
  keyOwners: 'key_owners',
  keyBirths: 'key_births',
  keyDeletions: 'key_deletions',
  /** Used for one partition only: FLEET_PARTITION. */
  storm: 'storm',
} as const

export type PartitionKeys = Readonly<Record<keyof typeof PARTITION_KEYS, string>>

export type Keys = Readonly<ReturnType<typeof keysUnder>>

/**
 * Returns every Redis key under `prefix`: `tm` in production, another for each test. A partition's
 * keys share a hash tag, so one slot of a cluster. The first braces win: user keys have no effect.
 */
export function keysUnder(prefix: string) {
  const made = new Map<number, PartitionKeys>()
  return {
    members: `${prefix}:members`,
    meta: `${prefix}:meta`,
    processes: `${prefix}:processes`,
    sessions: `${prefix}:sessions`,
    rules: `${prefix}:{rules}:document`,
    ruleChanges: `${prefix}:{rules}:changes`,
    apiKeys: `${prefix}:{api_keys}:records`,
    apiKeysRevision: `${prefix}:{api_keys}:revision`,
    apiKeyUses: `${prefix}:{api_keys}:uses`,
    /** A rate limit's bucket. */
    limit: (name: string) => `${prefix}:{limit:${name}}`,
    /** The newest points of a cumulative series. */
    total: (series: string) => `${prefix}:{total:${series}}`,
    auditLog: `${prefix}:{audit}:log`,
    auditResults: `${prefix}:{audit}:results`,
    partition(partition: number): PartitionKeys {
      let keys = made.get(partition)
      if (keys === undefined) {
        const named = Object.entries(PARTITION_KEYS).map(([name, key]) => [name, `${prefix}:{${partition}}:${key}`])
        keys = Object.fromEntries(named) as PartitionKeys
        made.set(partition, keys)
      }
      return keys
    },
  }
}
