import { SUPPRESSORS } from '@tidemark/shared/detection/alerts/record'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { RECEIVER_KINDS } from './receiver.ts'

export const NOTIFICATION_RESULTS = ['delivered', 'refused', 'failed'] as const

/** Metrics of what receivers are told. */
export function createNotifyMetrics(registry: Registry) {
  const registers = [registry]
  const notifications = new Counter({
    name: 'analyzer_notifications_total',
    help: 'Notifications by result: delivered, refused (not tried again), failed (tried again). Reminders of what still fires count only when they are not taken.',
    labelNames: ['receiver', 'result'],
    registers,
  })
  for (const receiver of RECEIVER_KINDS) {
    for (const result of NOTIFICATION_RESULTS) notifications.inc({ receiver, result }, 0)
  }
  const suppressed = new Counter({
    name: 'analyzer_alerts_suppressed_total',
    help: 'Alerts of which receivers were not told, by what held them back.',
    labelNames: ['by'],
    registers,
  })
  for (const by of SUPPRESSORS) suppressed.inc({ by }, 0)
  return {
    notifications,
    suppressed,
    seconds: new Histogram({
      name: 'analyzer_notification_seconds',
      help: 'Time that a receiver takes to answer.',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    outbox: new Gauge({
      name: 'analyzer_outbox_entries',
      help: 'Notifications that some receiver was not told yet, in the partitions that this analyzer owns.',
      registers,
    }),
    firing: new Gauge({
      name: 'analyzer_alerts_firing',
      help: 'Alerts that fire, in the partitions that this analyzer owns.',
      registers,
    }),
    storms: new Counter({ name: 'analyzer_storms_total', help: 'Storms that began.', registers }),
  }
}

export type NotifyMetrics = ReturnType<typeof createNotifyMetrics>
