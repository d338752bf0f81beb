import { commonSettings, decimal, integer, port } from '@tidemark/shared/runtime/config'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { z } from 'zod'

/** Values separated by commas, and what each of them must be. */
function list(isOne: (text: string) => boolean, message: string) {
  return z
    .string()
    .transform(text => text.split(',').map(part => part.trim()))
    .refine(parts => parts.every(isOne), { error: message })
}

const isAddress = (text: string): boolean => /^https?:\/\//.test(text) && URL.canParse(text)

const addresses = list(isAddress, 'must be addresses that begin with http:// or https://, separated by commas')

/** As the Standard Webhooks specification writes a key. */
function isWebhookSecret(text: string): boolean {
  const { length } = Buffer.from(text.slice('whsec_'.length), 'base64')
  return /^whsec_[A-Za-z0-9+/]+={0,2}$/.test(text) && length >= 24 && length <= 64
}

/** Labels that say what an alert is about; those of a deployment are others. */
const OWN_LABELS = ['alertname', 'key', 'rule', 'severity', 'detector']

const labels = list(text => /^[A-Za-z_]\w*=[^=]+$/.test(text), 'must be labels as name=value, separated by commas')
  .transform(pairs => Object.fromEntries(pairs.map(pair => pair.split('=') as [string, string])))
  .refine(given => !OWN_LABELS.some(name => name in given), { error: `must not be ${OWN_LABELS.join(', ')}` })

/** Settings of an analyzer, as environment variables. */
export const analyzerSettings = z
  .object({
    ...commonSettings,
    /** What others see; must be unique. Empty makes one of host name and chance. */
    ANALYZER_ID: z
      .string()
      .regex(/^[A-Za-z0-9_.-]{1,100}$/, 'must be 1 to 100 letters, digits, dots, dashes and underscores')
      .optional(),
    METRICS_HOST: z.string().default('0.0.0.0'),
    METRICS_PORT: port.default(9464),
    /** Samples in a full window. The same for all analyzers of a deployment, like the two below. */
    WINDOW: integer({ min: 2, max: 500 }).default(VERDICT_DEFAULTS.window),
    THRESHOLD: decimal({ min: 0.1, max: 1000 }).default(VERDICT_DEFAULTS.threshold),
    WINDOW_MIN: integer({ min: 2, max: 500 }).default(VERDICT_DEFAULTS.windowMin),
    /** A partition is taken over this long after its owner vanished. */
    LEASE_TTL_MS: integer({ min: 500, max: 300_000 }).default(10_000),
    HEARTBEAT_MS: integer({ min: 50, max: 10_000 }).default(250),
    /** Samples that one commit covers, unless a single entry has more. */
    BATCH_SAMPLES_MAX: integer({ min: 1, max: 20_000 }).default(8000),
    /** Windows kept in memory, over all partitions: about 1 KiB each. */
    WINDOWS_MAX: integer({ min: 1, max: 100_000_000 }).default(250_000),
    /** Samples of each partition whose verdicts are kept for their receipts. */
    VERDICTS_KEPT: integer({ min: 0, max: 10_000_000 }).default(20_000),
    /** How often it is asked whether the rules have changed. */
    RULES_POLL_MS: integer({ min: 10, max: 2000 }).default(500),
    /** How long receivers are not told of a new alert yet, so that a storm is found before its keys are told of one by one. */
    ALERT_WAIT_MS: integer({ min: 0, max: 60_000 }).default(2000),
    ANOMALIES_KEPT: integer({ min: 1, max: 10_000_000 }).default(10_000),
    DEAD_KEPT: integer({ min: 1, max: 10_000_000 }).default(10_000),
    /** Alerts of each partition that are kept once they are resolved. */
    ALERTS_KEPT: integer({ min: 1, max: 10_000_000 }).default(10_000),
    /** What each partition keeps for receivers that are behind. */
    OUTBOX_MAX: integer({ min: 1, max: 10_000_000 }).default(10_000),
    /** Analyses of each partition that rules which are tried out would have flagged. */
    SHADOWED_KEPT: integer({ min: 1, max: 1_000_000 }).default(1000),
    STORE_TIMEOUT_MS: integer({ min: 10, max: 60_000 }).default(2000),
    /** Alertmanagers that are told of alerts, each of a cluster. */
    ALERTMANAGER_URLS: addresses.default([]),
    /** Put on every alert that Alertmanager is told of. */
    ALERT_LABELS: labels.optional(),
    /** How often Alertmanager is told again of what still fires. */
    ALERT_RESEND_MS: integer({ min: 1000, max: 600_000 }).default(60_000),
    WEBHOOK_URLS: addresses.default([]),
    /** Signs what webhooks are told. */
    WEBHOOK_SECRET: list(
      isWebhookSecret,
      'must be whsec_ and 24 to 64 bytes in base64; several are separated by commas',
    ).optional(),
    /** Where operators reach the gateway. */
    PUBLIC_URL: z
      .string()
      .refine(isAddress, { error: 'must begin with http:// or https://' })
      .transform(url => url.replace(/\/+$/, ''))
      .optional(),
  })
  .refine(({ WINDOW, WINDOW_MIN }) => WINDOW_MIN <= WINDOW, { path: ['WINDOW_MIN'], message: 'must be at most WINDOW' })
  .refine(({ WEBHOOK_URLS, WEBHOOK_SECRET }) => WEBHOOK_URLS.length === 0 || WEBHOOK_SECRET !== undefined, {
    path: ['WEBHOOK_SECRET'],
    message: 'must be set with WEBHOOK_URLS',
  })

export type AnalyzerConfig = z.output<typeof analyzerSettings>
