import { explainAlert } from '@tidemark/shared/detection/alerts/explain'
import type { AlertCause, AlertRecord } from '@tidemark/shared/detection/alerts/record'
import type { Clock } from '@tidemark/shared/runtime/clock'
import type { Post } from './post.ts'
import type { Notification, Receiver } from './receiver.ts'
import { nameReceiver } from './receiver-name.ts'

/** Alerts in one request: some hundred KiB at most, storms included. */
const BATCH_MAX = 100

/** A reminder may fail twice before Alertmanager takes an alert for resolved. */
const REMINDERS = 3

/** What alerts are called in Alertmanager. */
export const ALERT_NAMES = {
  anomaly: 'TidemarkAnomaly',
  silent: 'TidemarkSilent',
  level_shift: 'TidemarkLevelShift',
  storm: 'TidemarkStorm',
} as const satisfies Record<AlertCause['kind'], string>

export interface AlertmanagerOptions {
  /** Of Alertmanager's web interface, with the prefix of its path if it has one. */
  readonly url: string
  readonly post: Post
  readonly clock: Pick<Clock, 'wallMs'>
  /** Of the deployment, on every alert. */
  readonly labels: Readonly<Record<string, string>>
  /** Where operators find an alert; undefined when nobody has said. */
  readonly publicUrl: string | undefined
  readonly resendMs: number
}

/**
 * Alertmanager, by its API v2. Two alerts are one to it when their labels are equal, so an alert's id is none of them. It takes an
 * alert for resolved when `endsAt` has passed, and forgets all when it starts, so what fires is sent again and again.
 */
export function createAlertmanager(options: AlertmanagerOptions): Receiver {
  const { url, post } = options
  const address = `${url.replace(/\/+$/, '')}/api/v2/alerts`
  return {
    ...nameReceiver('alertmanager', url),
    batchMax: BATCH_MAX,
    isForgetful: true,
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
