import { integer, port } from '@tidemark/shared/runtime/config'
import { LOG_LEVELS } from '@tidemark/shared/runtime/logger'
import { z } from 'zod'

const URL_RULE = 'must be http:// or https:// and the host where clients reach the gateway'

export const canarySettings = z.object({
  /** The way in: where clients send their samples. */
  CANARY_URL: z.string().refine(url => /^https?:\/\/[^/]/.test(url) && URL.canParse(url), URL_RULE),
  /** The key of its samples. */
  CANARY_KEY: z.string().min(1).default('tidemark/canary'),
  CANARY_INTERVAL_MS: integer({ min: 100, max: 3_600_000 }).default(30_000),
  /** How long a sample and its verdict may take together. */
  CANARY_TIMEOUT_MS: integer({ min: 100, max: 60_000 }).default(10_000),
  /** A file that holds an API key with the scopes ingest and read; read for each sample. */
  API_KEY_FILE: z.string().min(1).optional(),
  /** Unset: all addresses, of IPv6 and of IPv4. */
  METRICS_HOST: z.string().min(1).optional(),
  METRICS_PORT: port.default(9464),
  LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
})

export type CanaryConfig = z.output<typeof canarySettings>
