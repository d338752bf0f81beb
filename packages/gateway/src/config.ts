import { commonSettings, decimal, integer, port } from '@tidemark/shared/runtime/config'
import { DURABILITY_LEVELS } from '@tidemark/shared/store/ports/store'
import { VERDICT_DEFAULTS, type VerdictSettings } from '@tidemark/shared/verdict/analysis'
import { z } from 'zod'

const HOUR_MS = 3_600_000

/** The gateway's own settings, without those of Redis: tests use a store in memory. */
export const gatewaySettings = {
  HOST: z.string().min(1).default('0.0.0.0'),
  PORT: port.default(8080),
  /** Serves only /metrics and the health routes, for a port that devices cannot reach. */
  METRICS_PORT: port.default(9464),

  BODY_BYTES_MAX: integer({ min: 1024, max: 64 * 1024 * 1024 }).default(1024 * 1024),
  /** Bytes of all bodies being read at one time; the same limit applies to unread responses. */
  BODIES_BYTES_MAX: integer({ min: 1024 * 1024, max: 16 * 1024 ** 3 }).default(128 * 1024 * 1024),
  /** Samples of one request. */
  SAMPLES_MAX: integer({ min: 1, max: 1_000_000 }).default(10_000),
  KEY_BYTES_MAX: integer({ min: 1, max: 1024 }).default(200),
  /** At most 1e300: sums of values must stay finite. */
  VALUE_ABS_MAX: decimal({ min: 1, max: 1e300 }).default(1e100),
  /** How far after its arrival a sample's timestamp may be. A later one is rejected. */
  FUTURE_MAX_MS: integer({ min: 0, max: 10_000 * 365 * 24 * HOUR_MS }).default(24 * HOUR_MS),

  /** Samples of all requests that wait for the store. Beyond it requests get 503. */
  QUEUE_SAMPLES_MAX: integer({ min: 1, max: 10_000_000 }).default(200_000),
  /** How long the store may take to respond before the requests that wait for it get 503. */
  STORE_TIMEOUT_MS: integer({ min: 10, max: 60_000 }).default(2000),

  /** How long the store remembers an Idempotency-Key after its last use. */
  IDEMPOTENCY_TTL_MS: integer({ min: 1000, max: 24 * HOUR_MS }).default(600_000),

  HEADERS_TIMEOUT_MS: integer({ min: 100, max: HOUR_MS }).default(5000),
  REQUEST_TIMEOUT_MS: integer({ min: 100, max: HOUR_MS }).default(10_000),
  KEEP_ALIVE_TIMEOUT_MS: integer({ min: 0, max: HOUR_MS }).default(65_000),
  CONNECTIONS_MAX: integer({ min: 1, max: 1_000_000 }).default(10_000),
  /** Requests after which a connection is closed, to spread clients over pods; 0 means never. */
  REQUESTS_PER_CONNECTION_MAX: integer({ min: 0, max: 1_000_000_000 }).default(1000),

  /** The longest wait of `GET /analyze?after=` for a verdict. */
  ANALYZE_WAIT_MAX_MS: integer({ min: 0, max: 60_000 }).default(10_000),
  /** Requests that may wait for a verdict at one time. */
  ANALYZE_WAITERS_MAX: integer({ min: 1, max: 100_000 }).default(1000),

  /** The analyzers' policy for keys without a rule, which the gateway explains. */
  WINDOW: integer({ min: 2, max: 500 }).default(VERDICT_DEFAULTS.window),
  THRESHOLD: decimal({ min: 0.1, max: 1000 }).default(VERDICT_DEFAULTS.threshold),
  WINDOW_MIN: integer({ min: 2, max: 500 }).default(VERDICT_DEFAULTS.windowMin),

  /** How long a gateway accepts requests after it became not ready: load balancers lag behind. */
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
  /** Samples of a partition that are not analysed yet. Beyond it its samples get 503. */
  BACKLOG_SAMPLES_MAX: integer({ min: 1, max: 1_000_000_000 }).default(1_000_000),
  /** The least durability that Redis must provide, compared with what it reports. */
  DURABILITY: z.enum(DURABILITY_LEVELS).default('local'),
  /** Idempotency-Keys that each partition remembers, about 250 bytes each. Beyond it: 503. */
  IDEMPOTENCY_KEYS_MAX: integer({ min: 1, max: 10_000_000 }).default(20_000),
})
