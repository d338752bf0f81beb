/**
 * Every Redis key of Tidemark. A partition's keys share a hash tag, so they are in one slot of a
 * cluster. The first braces win, so braces in user keys, which are hash fields, have no effect.
 */
export const GROUP = 'analyzers'

/**
 * The one consumer of a partition, whichever analyzer owns it: XREADGROUP returns pending entries
 * only to their consumer.
 */
export const CONSUMER = 'owner'

export interface PartitionKeys {
  readonly samples: string
  readonly accepted: string
  readonly checkpoint: string
  readonly lease: string
  readonly windows: string
  readonly windowTails: string
  readonly lastAnalysis: string
  readonly verdicts: string
  readonly anomalies: string
  readonly deadLetters: string
  readonly requests: string
  readonly requestTimes: string
  readonly alerts: string
  readonly alertsFiring: string
  readonly alertsResolved: string
  readonly alertFeed: string
  readonly timers: string
  readonly notificationChecks: string
  readonly outbox: string
  readonly outboxPositions: string
  readonly ruleCounts: string
  readonly shadowed: string
  /** Used for one partition only: FLEET_PARTITION. */
  readonly storm: string
}

export interface Keys {
  readonly members: string
  readonly meta: string
  readonly rules: string
  readonly ruleChanges: string
  partition(partition: number): PartitionKeys
}

/** Returns the keys under `prefix`: `tm` in production, another prefix for each test. */
export function keysUnder(prefix: string): Keys {
  const made = new Map<number, PartitionKeys>()
  return {
    members: `${prefix}:members`,
    meta: `${prefix}:meta`,
    rules: `${prefix}:{rules}:document`,
    ruleChanges: `${prefix}:{rules}:changes`,
    partition(partition) {
      let keys = made.get(partition)
      if (keys === undefined) {
        const tag = `${prefix}:{${partition}}`
        keys = {
          samples: `${tag}:samples`,
          accepted: `${tag}:accepted`,
          checkpoint: `${tag}:checkpoint`,
          lease: `${tag}:lease`,
          windows: `${tag}:windows`,
          windowTails: `${tag}:window_tails`,
          lastAnalysis: `${tag}:last_analysis`,
          verdicts: `${tag}:verdicts`,
          anomalies: `${tag}:anomalies`,
          deadLetters: `${tag}:dead`,
          requests: `${tag}:requests`,
          requestTimes: `${tag}:request_times`,
          alerts: `${tag}:alerts`,
          alertsFiring: `${tag}:alerts_firing`,
          alertsResolved: `${tag}:alerts_resolved`,
          alertFeed: `${tag}:alert_feed`,
          timers: `${tag}:due`,
          notificationChecks: `${tag}:notices`,
          outbox: `${tag}:outbox`,
          outboxPositions: `${tag}:outbox_positions`,
          ruleCounts: `${tag}:rule_counts`,
          shadowed: `${tag}:shadowed`,
          storm: `${tag}:storm`,
        }
        made.set(partition, keys)
      }
      return keys
    },
  }
}
