import { explainAlert } from '@tidemark/shared/detection/alerts/explain'
import type { AlertCause, AlertRecord } from '@tidemark/shared/detection/alerts/record'
import type { Clock } from '@tidemark/shared/runtime/clock'
import type { Post } from './post.ts'
import { identifyReceiver, type Notification, type Receiver } from './receiver.ts'

/** Alerts per request: a few hundred KiB at most, storms included. */
const BATCH_MAX = 100

/** Two reminders in a row may fail before Alertmanager regards the alert as resolved. */
const REMINDERS = 3

/** The names of alerts in Alertmanager. */
export const ALERT_NAMES = {
  anomaly: 'TidemarkAnomaly',
  silent: 'TidemarkSilent',
  level_shift: 'TidemarkLevelShift',
  storm: 'TidemarkStorm',
} as const satisfies Record<AlertCause['kind'], string>

export interface AlertmanagerOptions {
  /** The address of Alertmanager's web interface, including its path prefix. */
  readonly url: string
  readonly post: Post
  readonly clock: Pick<Clock, 'wallMs'>
  /** Labels of the deployment, for every alert. */
  readonly labels: Readonly<Record<string, string>>
  /** The address at which operators reach the gateway; undefined when it is not configured. */
  readonly publicUrl: string | undefined
  readonly resendMs: number
}

/**
 * Returns the receiver for an Alertmanager, by its API v2. Alertmanager identifies an alert by its
 * labels, so the id is none of them. It regards an alert as resolved after `endsAt`, and a restart
 * empties it, so firing alerts are sent repeatedly.
 */
export function createAlertmanager(options: AlertmanagerOptions): Receiver {
  const { url, post } = options
  const address = `${url.replace(/\/+$/, '')}/api/v2/alerts`
  return {
    ...identifyReceiver('alertmanager', url),
    batchMax: BATCH_MAX,
    needsReminders: true,
    send: notifications => post(address, {}, JSON.stringify(notifications.map(one => toAlert(one, options)))),
  }
}

function toAlert({ status, record }: Notification, { clock, labels, publicUrl, resendMs }: AlertmanagerOptions) {
  const endsAt = status === 'resolved' ? record.resolved_at : null
  return {
    labels: { ...labels, ...labelsOf(record) },
    annotations: {
      summary: explainAlert(record),
      runbook_url: `docs/runbook.md#${ALERT_NAMES[record.cause.kind].toLowerCase()}`,
    },
    startsAt: new Date(record.opened_at).toISOString(),
    endsAt: new Date(endsAt ?? clock.wallMs() + REMINDERS * resendMs).toISOString(),
    ...(publicUrl === undefined ? {} : { generatorURL: `${publicUrl}/alerts/${record.id}` }),
  }
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
