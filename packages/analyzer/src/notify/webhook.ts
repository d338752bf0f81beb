import { createHmac } from 'node:crypto'
import { explainAlert } from '@tidemark/shared/detection/alerts/explain'
import type { Post } from './post.ts'
import { identifyReceiver, type Notification, type Receiver, type SendTime } from './receiver.ts'

export interface WebhookOptions {
  readonly url: string
  readonly post: Post
  /** Each is `whsec_` and a key in base64. All sign, so that keys can be rotated. */
  readonly secrets: readonly string[]
}

/** Returns a receiver by the Standard Webhooks specification: one notification per request. */
export function createWebhook({ url, post, secrets }: WebhookOptions): Receiver {
  const keys = secrets.map(secret => Buffer.from(secret.replace(/^whsec_/, ''), 'base64'))
  async function send(notification: Notification, { now }: SendTime) {
    const { id } = notification
    const body = bodyOf(notification)
    const timestamp = String(Math.floor(now / 1000))
    const signed = `${id}.${timestamp}.${body}`
    const signature = keys.map(key => `v1,${createHmac('sha256', key).update(signed).digest('base64')}`).join(' ')
    const headers = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature }
    return post(url, headers, body)
  }
  return {
    ...identifyReceiver('webhook', url),
    batchMax: 1,
    needsReminders: false,
    send: async ([notification], time) =>
      notification === undefined ? { kind: 'delivered' } : send(notification, time),
  }
}

function bodyOf({ status, record: { receivers, ...record } }: Notification): string {
  const at = status === 'firing' ? record.told_at : (record.resolved_at ?? record.told_at)
  const data = { ...record, explanation: explainAlert(record) }
  return JSON.stringify({ type: `alert.${status}`, timestamp: new Date(at).toISOString(), data })
}
