import { SUPPRESSORS } from '@tidemark/shared/detection/alerts/record'
import { createCounters, createGauges } from '@tidemark/shared/runtime/metric-tables'
import { Histogram, type Registry } from 'prom-client'
import { RECEIVER_KINDS } from './receiver.ts'

const COUNTERS = {
  notifications: [
    'analyzer_notifications_total',
    'Notifications by result: delivered, refused (not retried), failed (retried). Successful reminders are not counted.',
    { receiver: RECEIVER_KINDS, result: ['delivered', 'refused', 'failed'] },
  ],
  suppressed: ['analyzer_alerts_suppressed_total', 'Alerts with a suppressed notification.', { by: SUPPRESSORS }],
  storms: ['analyzer_storms_total', 'Alert storms that began.'],
} as const

const GAUGES = {
  outbox: ['analyzer_outbox_entries', 'Notifications not delivered to every receiver yet, in the owned partitions.'],
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
