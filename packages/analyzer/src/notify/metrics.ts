import { SUPPRESSORS } from '@tidemark/shared/detection/alerts/record'
import { createCounters, createGauges } from '@tidemark/shared/runtime/metric-tables'
import { Histogram, type Registry } from 'prom-client'
import { RECEIVER_KINDS } from './receiver.ts'

const COUNTERS = {
  notifications: [
    'analyzer_notifications_total',
    'Attempts to notify by result: delivered, refused and failed (both retried). Successful reminders are not counted.',
    { receiver: RECEIVER_KINDS, result: ['delivered', 'refused', 'failed'] },
  ],
  suppressed: ['analyzer_alerts_suppressed_total', 'Alerts with a suppressed notification.', { by: SUPPRESSORS }],
  dead: [
    'analyzer_notification_dead_letters_total',
    'Notifications that became dead letters: not taken within NOTIFICATION_RETRY_MAX_MS, or dropped from a full outbox.',
  ],
  dropped: [
    'analyzer_outbox_dropped_total',
    'Notifications dropped from a full outbox (OUTBOX_MAX) before a receiver took them; each is a dead letter.',
  ],
  feedTrimmed: [
    'analyzer_alert_feed_trimmed_total',
    'Openings and ends of alerts dropped from the feeds of the owned partitions to stay within their bound.',
  ],
  storms: ['analyzer_storms_total', 'Alert storms that began.'],
} as const

const GAUGES = {
  outbox: ['analyzer_outbox_entries', 'Notifications not handled by every receiver yet, in the owned partitions.'],
  retries: [
    'analyzer_notification_retries',
    'Alerts whose notification a receiver refused and that are retried, in the owned partitions.',
  ],
  oldestAgeSeconds: [
    'analyzer_oldest_notification_age_seconds',
    'Age of the oldest pending notification in the outboxes of the owned partitions; 0 if there is none.',
  ],
  deadLetters: ['analyzer_notification_dead_letters', 'Dead letters of notifications kept in the owned partitions.'],
  firing: ['analyzer_alerts_firing', 'Firing alerts in the partitions owned by this analyzer.'],
} as const

export function createNotifyMetrics(registry: Registry) {
  return {
    ...createCounters(registry, COUNTERS),
    ...createGauges(registry, GAUGES),
    seconds: new Histogram({
      name: 'analyzer_notification_seconds',
      help: 'Response time of receivers.',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [registry],
    }),
  }
}

export type NotifyMetrics = ReturnType<typeof createNotifyMetrics>
