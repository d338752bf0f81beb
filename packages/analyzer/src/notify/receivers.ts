import type { Clock } from '@tidemark/shared/runtime/clock'
import type { AnalyzerConfig } from '../config.ts'
import { createAlertmanager } from './alertmanager.ts'
import { createPost } from './post.ts'
import type { Receiver } from './receiver.ts'
import { createWebhook } from './webhook.ts'

/** Returns the configured receivers. Every Alertmanager of a cluster must get every alert. */
export function createReceivers(config: AnalyzerConfig, clock: Clock): Receiver[] {
  const { ALERT_LABELS: labels = {}, LEASE_TTL_MS: leaseTtlMs, PUBLIC_URL: publicUrl } = config
  const { WEBHOOK_SECRET: secrets = [] } = config
  const post = createPost({ clock, secrets })
  return [
    ...config.ALERTMANAGER_URLS.map(url => createAlertmanager({ url, post, labels, publicUrl, leaseTtlMs })),
    ...config.WEBHOOK_URLS.map(url => createWebhook({ url, post, secrets })),
  ]
}
