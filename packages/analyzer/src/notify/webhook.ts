import { createHmac, hash } from 'node:crypto'
import { explainAlert } from '@tidemark/shared/detection/alerts/explain'
import { describeGroup, nameGroup } from '@tidemark/shared/detection/alerts/group-name'
import type { Post } from './post.ts'
import { identifyReceiver, type Notification, type Receiver, type SendTime } from './receiver.ts'

export interface WebhookOptions {
  readonly url: string
  readonly post: Post
  /** Each is `whsec_` and a key in base64. All sign, so that keys can be rotated. */
  readonly secrets: readonly string[]
}

/** Returns a receiver by the Standard Webhooks specification: a group of alerts per request. */
export function createWebhook({ url, post, secrets }: WebhookOptions): Receiver {
  const keys = secrets.map(secret => Buffer.from(secret.replace(/^whsec_/, ''), 'base64'))
  async function send(notification: Notification, { now }: SendTime) {
    const id = idOf(notification)
    const body = bodyOf(notification, now)
    const timestamp = String(Math.floor(now / 1000))
    const signed = `${id}.${timestamp}.${body}`
    const signature = keys.map(key => `v1,${createHmac('sha256', key).update(signed).digest('base64')}`).join(' ')
    const headers = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature }
    return post(url, headers, body)
  }
  return {
    ...identifyReceiver('webhook', url),
    batchMax: 1,
    takesGroups: true,
    needsReminders: false,
    send: async ([notification], time) =>
      notification === undefined ? { kind: 'delivered' } : send(notification, time),
  }
}

/** Of a group, it depends on all members: a later attempt may have more, and is another message. */
function idOf({ id, group }: Notification): string {
  if (group === undefined) return id
  const members = group.members.map(member => member.id).sort()
  return `${id}:group-${hash('sha256', members.join(' ')).slice(0, 12)}`
}

function bodyOf(notification: Notification, now: number): string {
  const { status, record } = notification
  const { receivers, ...shown } = record
  const at = status === 'firing' ? record.told_at : (record.resolved_at ?? record.told_at)
  const explanation = explainAlert(record)
  const group = groupOf(notification, now)
  const data =
    group === undefined
      ? { ...shown, explanation }
      : { ...shown, explanation: `${group.explanation} ${explanation}`, group }
  return JSON.stringify({ type: `alert.${status}`, timestamp: new Date(at).toISOString(), data })
}

/** Describes the alerts of a message; undefined if it is about one alert. */
function groupOf({ status, group }: Notification, now: number) {
  if (group === undefined) return undefined
  const { id, by, device, prefix, severity, since, lastOpenedAt, members } = group
  return {
    id,
    name: nameGroup(group, now),
    by,
    device,
    prefix,
    severity,
    since,
    last_opened_at: lastOpenedAt,
    count: members.length,
    explanation: `${status === 'firing' ? '' : 'Resolved: '}${describeGroup(group, now)}`,
    alerts: members.map(({ id: notification, record }) => ({
      notification,
      id: record.id,
      key: record.key,
      rule: record.rule,
      severity: record.severity,
      state: record.state,
      opened_at: record.opened_at,
      resolved_at: record.resolved_at,
      explanation: explainAlert(record),
    })),
  }
}
