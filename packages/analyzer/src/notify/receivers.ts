import type { Clock } from '@tidemark/shared/runtime/clock'
import type { AnalyzerConfig } from '../config.ts'
import { createAlertmanager } from './alertmanager.ts'
import { createPost } from './post.ts'
import type { Receiver } from './receiver.ts'
import { createWebhook } from './webhook.ts'

/** Returns the configured receivers. Every Alertmanager of a cluster must get every alert. */
export function createReceivers(config: AnalyzerConfig, clock: Clock): Receiver[] {
  const post = createPost({ clock })
  const { ALERT_LABELS: labels = {}, ALERT_RESEND_MS: resendMs, PUBLIC_URL: publicUrl } = config
  return [
    ...config.ALERTMANAGER_URLS.map(url => createAlertmanager({ url, post, clock, labels, publicUrl, resendMs })),
    ...config.WEBHOOK_URLS.map(url => createWebhook({ url, post, clock, secrets: config.WEBHOOK_SECRET ?? [] })),
  ]
}
