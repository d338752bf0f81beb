import { commonSettings, decimal, integer, port } from '@tidemark/shared/runtime/config'
import { DURABILITY_LEVELS } from '@tidemark/shared/store/ports/store'
import { VERDICT_DEFAULTS, type VerdictSettings } from '@tidemark/shared/verdict/analysis'
import { z } from 'zod'

const HOUR_MS = 3_600_000

/** The gateway's own settings. How it reaches its store is not among them: a test hands it a store in memory. */
export const gatewaySettings = {
  HOST: z.string().min(1).default('0.0.0.0'),
  PORT: port.default(8080),
  /** /metrics and the health routes alone, for a port that no device reaches. */
  METRICS_PORT: port.default(9464),

  BODY_BYTES_MAX: integer({ min: 1024, max: 64 * 1024 * 1024 }).default(1024 * 1024),
  /** Bytes of bodies that are being read at one time, all requests together; and as many of answers that are not read yet. */
  BODIES_BYTES_MAX: integer({ min: 1024 * 1024, max: 16 * 1024 ** 3 }).default(128 * 1024 * 1024),
  /** Samples in one request. */
  SAMPLES_MAX: integer({ min: 1, max: 1_000_000 }).default(10_000),
  KEY_BYTES_MAX: integer({ min: 1, max: 1024 }).default(200),
  /** Squares of values and their sums must stay finite, so not beyond 1e300. */
  VALUE_ABS_MAX: decimal({ min: 1, max: 1e300 }).default(1e100),

  /** Samples that wait for the store's answer, all requests together. Beyond it requests are refused with 503. */
  QUEUE_SAMPLES_MAX: integer({ min: 1, max: 10_000_000 }).default(200_000),
  /** How long the store may take to answer before its requests are answered with 503. */
  STORE_TIMEOUT_MS: integer({ min: 10, max: 60_000 }).default(2000),

  /** How long after its last use an Idempotency-Key is remembered. */
  IDEMPOTENCY_TTL_MS: integer({ min: 1000, max: 24 * HOUR_MS }).default(600_000),

  HEADERS_TIMEOUT_MS: integer({ min: 100, max: HOUR_MS }).default(5000),
  REQUEST_TIMEOUT_MS: integer({ min: 100, max: HOUR_MS }).default(10_000),
  KEEP_ALIVE_TIMEOUT_MS: integer({ min: 0, max: HOUR_MS }).default(65_000),
  CONNECTIONS_MAX: integer({ min: 1, max: 1_000_000 }).default(10_000),
  /** After so many requests a connection is closed, so that clients spread over the pods there are; 0 never does. */
  REQUESTS_PER_CONNECTION_MAX: integer({ min: 0, max: 1_000_000_000 }).default(1000),

  /** The longest that `GET /analyze?after=` may wait for a verdict. */
  ANALYZE_WAIT_MAX_MS: integer({ min: 0, max: 60_000 }).default(10_000),
  /** Requests that may wait so at one time. */
  ANALYZE_WAITERS_MAX: integer({ min: 1, max: 100_000 }).default(1000),

  /** What the analyzers judge by where no rule says otherwise: the gateway explains it. */
  WINDOW: integer({ min: 2, max: 500 }).default(VERDICT_DEFAULTS.window),
  THRESHOLD: decimal({ min: 0.1, max: 1000 }).default(VERDICT_DEFAULTS.threshold),
  WINDOW_MIN: integer({ min: 2, max: 500 }).default(VERDICT_DEFAULTS.windowMin),

  /** How long it still takes requests after it said that it is not ready: load balancers need time to hear that. */
  DRAIN_DELAY_MS: integer({ min: 0, max: 60_000 }).default(0),
} as const

export const gatewaySchema = z.object(gatewaySettings)
export type GatewayConfig = z.output<typeof gatewaySchema>

export function verdictSettings({ WINDOW, THRESHOLD, WINDOW_MIN }: GatewayConfig): VerdictSettings {
  return { window: WINDOW, threshold: THRESHOLD, windowMin: WINDOW_MIN }
}

/** Everything that the gateway's process reads from its environment. */
export const configSchema = z.object({
  ...commonSettings,
  ...gatewaySettings,
  /** Accepted samples that a partition may hold unanalysed. Beyond it its samples are refused with 503. */
  BACKLOG_SAMPLES_MAX: integer({ min: 1, max: 1_000_000_000 }).default(1_000_000),
  /** What Redis must give at least: compared with what it says of itself. */
  DURABILITY: z.enum(DURABILITY_LEVELS).default('local'),
  /** Requests with an Idempotency-Key that each partition remembers, about 250 bytes each. Beyond it they are refused with 503. */
  IDEMPOTENCY_KEYS_MAX: integer({ min: 1, max: 10_000_000 }).default(20_000),
})
