import { explainAlert } from '@tidemark/shared/detection/alerts/explain'
import { deviceOf } from '@tidemark/shared/detection/alerts/place'
import type { AlertCause, AlertRecord } from '@tidemark/shared/detection/alerts/record'
import type { Post } from './post.ts'
import { identifyReceiver, type Notification, type Receiver, type SendTime } from './receiver.ts'

/** Alerts per request: a few hundred KiB at most, storms included. */
const BATCH_MAX = 100

/** Two reminders in a row may fail before Alertmanager regards the alert as resolved. */
const REMINDERS = 3

/** An alert is valid for at least this long, and for twice the time of taking over a partition. */
const VALID_MIN_MS = 60_000
const TAKEOVERS = 2

export const ALERT_NAMES = {
  anomaly: 'TidemarkAnomaly',
  silent: 'TidemarkSilent',
  level_shift: 'TidemarkLevelShift',
  storm: 'TidemarkStorm',
} as const satisfies Record<AlertCause['kind'], string>

export interface AlertmanagerOptions {
  /** Of Alertmanager's web interface, including its path prefix. */
  readonly url: string
  readonly post: Post
  readonly labels: Readonly<Record<string, string>>
  readonly publicUrl: string | undefined
  readonly leaseTtlMs: number
}

/**
 * Returns the receiver for an Alertmanager (API v2). Its labels identify an alert, so the id is not
 * among them. It resolves alerts after `endsAt` and when it restarts: firing ones need reminders.
 */
export function createAlertmanager(options: AlertmanagerOptions): Receiver {
  const { url, post } = options
  const address = `${url.replace(/\/+$/, '')}/api/v2/alerts`
  return {
    ...identifyReceiver('alertmanager', url),
    batchMax: BATCH_MAX,
    takesGroups: false,
    needsReminders: true,
    send: (notifications, time) =>
      post(address, {}, JSON.stringify(notifications.map(one => toAlert(one, time, options)))),
  }
}

function toAlert({ status, record }: Notification, { now, reminderMs }: SendTime, options: AlertmanagerOptions) {
  const { labels, publicUrl, leaseTtlMs } = options
  // Alertmanager rejects an alert that starts after its end, and one that ends in the future fires
  // until then. The times of a record can be ahead when a clock was.
  const startsAt = Math.min(record.opened_at, now)
  const endsAt =
    status === 'resolved'
      ? Math.max(startsAt, Math.min(record.resolved_at ?? now, now))
      : now + Math.max(REMINDERS * reminderMs, VALID_MIN_MS + TAKEOVERS * leaseTtlMs)
  const entry = ALERT_NAMES[record.cause.kind].toLowerCase()
  return {
    labels: { ...configured(labels, record.key), ...labelsOf(record) },
    annotations: {
      summary: explainAlert(record),
      // The console of every gateway has the runbook.
      ...(publicUrl !== undefined && { runbook_url: `${publicUrl}/#/runbook?entry=${entry}` }),
    },
    startsAt: new Date(startsAt).toISOString(),
    endsAt: new Date(endsAt).toISOString(),
    ...(publicUrl === undefined ? {} : { generatorURL: `${publicUrl}/alerts/${record.id}` }),
  }
}

/** Those of a key never change: Alertmanager identifies its alerts by them until their end. */
function configured(labels: AlertmanagerOptions['labels'], key: string | null): Record<string, string> {
  // Alertmanager drops a label that is empty.
  const device = key === null ? '' : deviceOf(key)
  const pairs = Object.entries(labels).map(([name, value]) => [name, value.replaceAll('{device}', () => device)])
  return Object.fromEntries(pairs)
}

function labelsOf({ cause, key, rule, severity }: AlertRecord): Record<string, string> {
  return {
    alertname: ALERT_NAMES[cause.kind],
    severity,
    ...(key === null ? {} : { key }),
    ...(rule === null ? {} : { rule }),
    ...(cause.kind === 'anomaly' ? { detector: cause.evidence.detector } : {}),
  }
}
