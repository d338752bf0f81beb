import { digestSetting, type SharedSettings } from '@tidemark/shared/fleet/settings-report'
import { checkRedisRules, commonSettings, decimal, duration, integer, port } from '@tidemark/shared/runtime/config'
import { KeyTemplate } from '@tidemark/shared/sample/key-template'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { z } from 'zod'

/** A list of values separated by commas, each of which must pass `isOne`. */
function list(isOne: (text: string) => boolean, message: string) {
  return z
    .string()
    .transform(text => text.split(',').map(part => part.trim()))
    .refine(parts => parts.every(isOne), { error: message })
}

const isAddress = (text: string): boolean => /^https?:\/\//.test(text) && URL.canParse(text)

const addresses = list(isAddress, 'must be http:// or https:// addresses, separated by commas')

/** Whether a text is a key in the format of the Standard Webhooks specification. */
function isWebhookSecret(text: string): boolean {
  const { length } = Buffer.from(text.slice('whsec_'.length), 'base64')
  return /^whsec_[A-Za-z0-9+/]+={0,2}$/.test(text) && length >= 24 && length <= 64
}

const DAY_MS = 86_400_000

/** Below this, sending the alerts of one round takes longer than the pause to the next. */
const RESEND_MIN_MS = 1000

/** Labels that Tidemark sets itself. */
const OWN_LABELS = ['alertname', 'key', 'rule', 'severity', 'detector']

const labelPairs = list(
  text => /^[A-Za-z_]\w*=[^=]+$/.test(text),
  'must be labels as name=value, separated by commas',
).transform(pairs => Object.fromEntries(pairs.map(pair => pair.split('=') as [string, string])))

const labels = labelPairs.refine(given => !OWN_LABELS.some(name => name in given), {
  error: `must not be ${OWN_LABELS.join(', ')}`,
})

/** The label that has the whole key: it keeps series apart whatever a template makes of a key. */
export const KEY_LABEL = 'key'

/** A template without names of its own: each placeholder is a label. */
const keyTemplate = z.string().transform((text, { addIssue }) => {
  try {
    return new KeyTemplate(text, [])
  } catch (error) {
    addIssue((error as Error).message)
    return z.NEVER
  }
})

export const analyzerSettings = z
  .object({
    ...commonSettings,
    /** Unique in the deployment; by default the host name and random characters. */
    ANALYZER_ID: z
      .string()
      .regex(/^[A-Za-z0-9_.-]{1,100}$/, 'must be 1 to 100 letters, digits, dots, dashes and underscores')
      .optional(),
    /** Unset: all addresses, of IPv6 and of IPv4. */
    METRICS_HOST: z.string().min(1).optional(),
    METRICS_PORT: port.default(9464),
    /** Samples in a full window. Equal in all services of a deployment, like the next two. */
    WINDOW: integer({ min: 2, max: 500 }).default(VERDICT_DEFAULTS.window),
    THRESHOLD: decimal({ min: 0.1, max: 1000 }).default(VERDICT_DEFAULTS.threshold),
    WINDOW_MIN: integer({ min: 2, max: 500 }).default(VERDICT_DEFAULTS.windowMin),
    /** Time after which the partitions of an analyzer that crashed are taken over. */
    LEASE_TTL_MS: integer({ min: 500, max: 300_000 }).default(10_000),
    HEARTBEAT_MS: integer({ min: 50, max: 10_000 }).default(250),
    /** Samples per commit, unless a single entry has more. */
    BATCH_SAMPLES_MAX: integer({ min: 1, max: 20_000 }).default(8000),
    /**
     * Keys from which a commit is a Redis transaction (WATCH, MULTI), which costs Redis less than a
     * script; 0: never.
     */
    TRANSACTION_KEYS: integer({ min: 0, max: 100_000 }).default(200),
    /** Bytes of the windows of all partitions together; one of 50 samples takes about 1.8 KiB. */
    WINDOWS_BYTES_MAX: integer({ min: 1024 * 1024, max: 1024 ** 4 }).default(256 * 1024 * 1024),
    /** Deprecated: limits the number of windows besides their memory. */
    WINDOWS_MAX: integer({ min: 1, max: 100_000_000 }).optional(),
    /** Samples per partition whose verdicts are kept for their receipts. */
    VERDICTS_KEPT: integer({ min: 0, max: 10_000_000 }).default(20_000),
    /** Keys that sent nothing for so long are removed with all that is known of them; 0: never. */
    KEY_IDLE_TTL: duration({ maxMs: 3650 * DAY_MS }).default(30 * DAY_MS),
    /** Counts, means and limits of each key in buckets of 10 s, 1 min and 15 min. */
    AGGREGATES: z.enum(['on', 'off'], "must be 'on' or 'off'").default('on'),
    RULES_POLL_MS: integer({ min: 10, max: 2000 }).default(1000),
    /** Delay of a new alert's notification, so that an alert storm can be sent as one. */
    ALERT_WAIT_MS: integer({ min: 0, max: 60_000 }).default(2000),
    /** How long a webhook message waits for other alerts of its group; 0: one per alert. */
    ALERT_GROUP_WAIT_MS: integer({ min: 0, max: 60_000 }).default(3000),
    ANOMALIES_KEPT: integer({ min: 1, max: 10_000_000 }).default(10_000),
    DEAD_KEPT: integer({ min: 1, max: 10_000_000 }).default(10_000),
    /** Resolved alerts kept per partition. */
    ALERTS_KEPT: integer({ min: 1, max: 10_000_000 }).default(10_000),
    /** Pending notifications kept per partition for receivers that are behind. */
    OUTBOX_MAX: integer({ min: 1, max: 10_000_000 }).default(10_000),
    /** Analyses kept per partition that a shadow rule flagged. */
    SHADOWED_KEPT: integer({ min: 1, max: 1_000_000 }).default(1000),
    STORE_TIMEOUT_MS: integer({ min: 10, max: 60_000 }).default(2000),
    /** Alertmanagers to notify: every instance of a cluster. */
    ALERTMANAGER_URLS: addresses.default([]),
    /** Labels added to every alert sent to Alertmanager; `{device}` is the device of its key. */
    ALERT_LABELS: labels.optional(),
    /** Interval of repeating firing alerts to Alertmanager. */
    ALERT_RESEND_MS: integer({ min: 1, max: 600_000 })
      .refine(ms => ms >= RESEND_MIN_MS, {
        error: `must be at least ${RESEND_MIN_MS}: it sends every firing alert again this often (default 60000)`,
      })
      .default(60_000),
    /** How long a notification is retried before it becomes a dead letter. */
    NOTIFICATION_RETRY_MAX_MS: integer({ min: 60_000, max: 30 * DAY_MS }).default(DAY_MS),
    /** Where verdicts are written by Prometheus remote write 1.0. Unset: nowhere. */
    SINK_URL: z.string().refine(isAddress, { error: 'must begin with http:// or https://' }).optional(),
    /** Headers of each request as `Name: value`, one a line; read again when the file changes. */
    SINK_HEADERS_FILE: z.string().min(1).optional(),
    /** A key has at most one point in each of these intervals. */
    SINK_INTERVAL_MS: integer({ min: 1000, max: 3_600_000 }).default(15_000),
    /** The template that splits keys into labels. Unset: the labels device and metric. */
    SINK_KEY: keyTemplate.optional(),
    /** Labels of all series that are written. */
    SINK_LABELS: labelPairs
      .refine(given => !(KEY_LABEL in given) && !Object.keys(given).some(name => name.startsWith('__')), {
        error: `must not be ${KEY_LABEL}, nor begin with two underscores`,
      })
      .optional(),
    /** How long points are kept for a sink that does not take them. */
    SINK_RETRY_MAX_MS: integer({ min: 60_000, max: DAY_MS / 2 }).default(600_000),
    WEBHOOK_URLS: addresses.default([]),
    WEBHOOK_SECRET: list(
      isWebhookSecret,
      'must be whsec_ and 24 to 64 bytes in base64, separated by commas',
    ).optional(),
    /** Address at which operators reach the gateway. */
    PUBLIC_URL: z
      .string()
      .refine(isAddress, { error: 'must begin with http:// or https://' })
      .transform(url => url.replace(/\/+$/, ''))
      .optional(),
  })
  .superRefine(checkRedisRules)
  .refine(({ HEARTBEAT_MS, LEASE_TTL_MS }) => 2 * HEARTBEAT_MS <= LEASE_TTL_MS, {
    path: ['HEARTBEAT_MS'],
    message: 'must be at most half of LEASE_TTL_MS: leases would expire between heartbeats',
  })
  .refine(({ WINDOW, WINDOW_MIN }) => WINDOW_MIN <= WINDOW, { path: ['WINDOW_MIN'], message: 'must be at most WINDOW' })
  .refine(({ WEBHOOK_URLS, WEBHOOK_SECRET }) => WEBHOOK_URLS.length === 0 || WEBHOOK_SECRET !== undefined, {
    path: ['WEBHOOK_SECRET'],
    message: 'must be set with WEBHOOK_URLS',
  })

/** Settings that should be equal in all analyzers, and if gateways have them, in those too. */
const SHARED_SETTINGS = [
  ...(['WINDOW', 'THRESHOLD', 'WINDOW_MIN', 'LEASE_TTL_MS', 'VERDICTS_KEPT', 'ANOMALIES_KEPT', 'DEAD_KEPT'] as const),
  ...(['ALERTS_KEPT', 'OUTBOX_MAX', 'SHADOWED_KEPT', 'ALERT_WAIT_MS'] as const),
  ...(['ALERT_GROUP_WAIT_MS', 'ALERT_RESEND_MS', 'AGGREGATES', 'SINK_INTERVAL_MS', 'SINK_KEY'] as const),
] satisfies (keyof AnalyzerConfig)[]

/** The same, with secrets or personal addresses in them. */
const SECRET_SETTINGS = [
  ...(['ALERTMANAGER_URLS', 'WEBHOOK_URLS', 'WEBHOOK_SECRET', 'ALERT_LABELS', 'PUBLIC_URL'] as const),
  ...(['SINK_URL', 'SINK_LABELS'] as const),
] satisfies (keyof AnalyzerConfig)[]

export function sharedSettings(config: AnalyzerConfig): SharedSettings {
  return Object.fromEntries([
    ...SHARED_SETTINGS.map(name => [name, String(config[name])]),
    ...SECRET_SETTINGS.map(name => [name, digestSetting(config[name])]),
  ])
}

export type AnalyzerConfig = z.output<typeof analyzerSettings>
