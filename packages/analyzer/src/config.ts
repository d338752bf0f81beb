import { VERDICT_DEFAULTS } from '@tidemark/shared/analysis'
import { commonSettings, decimal, integer, port } from '@tidemark/shared/config'
import { z } from 'zod'

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
  })
  .refine(({ WINDOW, WINDOW_MIN }) => WINDOW_MIN <= WINDOW, { path: ['WINDOW_MIN'], message: 'must be at most WINDOW' })

export type AnalyzerConfig = z.output<typeof analyzerSettings>
