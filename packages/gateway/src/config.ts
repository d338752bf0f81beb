import type { SharedSettings } from '@tidemark/shared/fleet/settings-report'
import { checkRedisRules, commonSettings, decimal, integer, port } from '@tidemark/shared/runtime/config'
import { STOP_DEADLINE_MS } from '@tidemark/shared/runtime/lifecycle'
import { KeyTemplate, METRIC_NAMES, METRIC_TEMPLATE } from '@tidemark/shared/sample/key-template'
import { DURABILITY_LEVELS, STORE_LIMITS } from '@tidemark/shared/store/ports/store'
import { VERDICT_DEFAULTS, type VerdictSettings } from '@tidemark/shared/verdict/analysis'
import { z } from 'zod'
import { AUTH_MODES } from './access/authentication.ts'
import { hostnameOf, originOf } from './access/origin.ts'
import { parseTrustedProxies, type TrustedProxies } from './limits/client-address.ts'

const HOUR_MS = 3_600_000

/** What decides which series of Prometheus are counters, unless a rule does. */
export const COUNTER_MODES = ['suffix', 'metadata', 'off'] as const
export type CounterMode = (typeof COUNTER_MODES)[number]

function toTrustedProxies(text: string, { addIssue }: z.RefinementCtx): TrustedProxies {
  const proxies = parseTrustedProxies(text)
  if (proxies !== undefined) return proxies
  addIssue({ code: 'custom', message: 'must be a number of proxies, or their networks, as 10.0.0.0/8,fd00::/8' })
  return z.NEVER
}

/** A setting that makes keys out of the names of a protocol and the labels of a series. */
function keyTemplate(byDefault: string, names: readonly string[]) {
  return z
    .string()
    .default(byDefault)
    .transform((text, { addIssue }) => {
      try {
        return new KeyTemplate(text, names)
      } catch (error) {
        addIssue({ code: 'custom', message: (error as Error).message })
        return z.NEVER
      }
    })
}

/** A setting of several values, separated by commas, each in the form that `parse` returns. */
function list(parse: (text: string) => string | undefined, fault: string, byDefault = '') {
  return z
    .string()
    .default(byDefault)
    .transform((text, context) => {
      const words = text.split(',').flatMap(word => word.trim() || [])
      const values = words.flatMap(word => parse(word) ?? [])
      if (values.length < words.length) context.addIssue(fault)
      return values
    })
}

const HOST_NAME = /^[\w.-]+$/

/** The gateway's own settings, without those of Redis: tests use a store in memory. */
export const gatewaySettings = {
  /** Unset: all addresses, of IPv6 and of IPv4. */
  HOST: z.string().min(1).optional(),
  PORT: port.default(8080),
  /** Serves only /metrics and the health routes, for a port that devices cannot reach. */
  METRICS_PORT: port.default(9464),

  /** A JSON file of API keys, read again when it changes: a mounted Secret. */
  API_KEYS_FILE: z.string().min(1).optional(),
  /**
   * `auto`: requests need an API key, except on a loopback HOST while there is none. `on`: always.
   * `off`: everyone who can reach the gateway may do everything.
   */
  AUTH: z.enum(AUTH_MODES).default('auto'),
  /** Certificate with its chain, and its key, in PEM. Both or neither. */
  TLS_CERT_FILE: z.string().min(1).optional(),
  TLS_KEY_FILE: z.string().min(1).optional(),
  /** Where browsers reach the gateway, if a proxy changes the scheme, host or port. */
  PUBLIC_URL: z
    .string()
    .refine(url => /^https?:\/\/[^/]/.test(url) && URL.canParse(url), 'must begin with http:// or https://')
    .optional(),
  /** Host names that the gateway accepts without authentication, beside localhost. */
  ALLOWED_HOSTS: list(
    host => (HOST_NAME.test(host) ? hostnameOf(host) : undefined),
    'must be host names without a scheme or port, such as tidemark.lan',
  ),
  /** Origins whose pages may send requests with an API key. */
  CORS_ORIGINS: list(originOf, 'must be origins, such as https://grafana.example.com; * is not allowed'),
  /** How long a browser stays signed in. */
  SESSION_TTL_MS: integer({ min: 60_000, max: 30 * 24 * HOUR_MS }).default(12 * HOUR_MS),

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

  /** How measurement, tags and field make a key, of InfluxDB's protocol and agents' JSON. */
  INFLUX_KEY: keyTemplate(METRIC_TEMPLATE, METRIC_NAMES),
  /** How the name and the labels of a series make a key, of Prometheus remote write. */
  PROMETHEUS_KEY: keyTemplate('{__name__}{tags}', ['__name__']),
  /**
   * Which series of Prometheus are counters: by the types that a request has, and by the suffixes
   * _total, _count, _sum and _bucket of names without a type (`suffix`); by types alone
   * (`metadata`); none (`off`). Rules of PROMETHEUS_RULES_FILE decide first.
   */
  PROMETHEUS_COUNTERS: z.enum(COUNTER_MODES).default('suffix'),
  /** A JSON file of rules that drop series and labels; read again when it changes. */
  PROMETHEUS_RULES_FILE: z.string().min(1).optional(),
  /** How the name of a metric and the attributes of a point make a key, of OTLP. */
  OTLP_KEY: keyTemplate('{metric}{tags}', ['metric']),
  /** Attributes of resources that are part of {tags}; others need a place in OTLP_KEY. */
  OTLP_RESOURCE_ATTRIBUTES: list(
    name => name,
    'must be names of attributes',
    'service.namespace,service.name,service.instance.id,host.name',
  ),

  /** Keys of the deployment. Beyond it samples of new keys are rejected; known keys go on. */
  KEYS_MAX: integer({ min: 1, max: 1_000_000_000 }).default(1_000_000),
  /** The same for each API key that has no limit of its own. */
  KEYS_PER_API_KEY_MAX: integer({ min: 1, max: 1_000_000_000 }).optional(),

  /** Samples of all requests that wait for the store. Beyond it requests get 503. */
  QUEUE_SAMPLES_MAX: integer({ min: 1, max: 10_000_000 }).default(200_000),
  /** How long the store may take to respond before the requests that wait for it get 503. */
  STORE_TIMEOUT_MS: integer({ min: 10, max: 60_000 }).default(2000),

  /** How long the store remembers an Idempotency-Key after its last use. */
  IDEMPOTENCY_TTL_MS: integer({ min: 1000, max: 24 * HOUR_MS }).default(600_000),

  /**
   * What one API key, or one address without a key, may send; decimals too, 0 for no limit. The
   * limits hold over all gateways. An API key may have its own.
   */
  REQUESTS_PER_S_MAX: decimal({ min: 0, max: 1e9 }).default(0),
  SAMPLES_PER_S_MAX: decimal({ min: 0, max: 1e9 }).default(0),
  /** Seconds of these rates that may be used at once; at least one request or sample. */
  RATE_BURST_S: decimal({ min: 0, max: 3600 }).default(1),
  /** Failed authentications of one address; 0 for no limit. */
  AUTH_FAILURES_PER_MIN_MAX: integer({ min: 0, max: 1_000_000 }).default(60),
  /** Proxies that append to X-Forwarded-For: how many, or their networks. Unset: it is ignored. */
  TRUSTED_PROXIES: z.string().transform(toTrustedProxies).optional(),

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

  /** Live feeds that are open at one time. Beyond it requests get 503. */
  FEEDS_MAX: integer({ min: 0, max: 1_000_000 }).default(5000),
  /** The same for one API key, or one address without a key. Beyond it requests get 429. */
  FEEDS_PER_CLIENT_MAX: integer({ min: 1, max: 1_000_000 }).default(2500),
  /** Bytes that clients of live feeds have not read, all together. */
  FEEDS_BYTES_MAX: integer({ min: 1024 * 1024, max: 16 * 1024 ** 3 }).default(64 * 1024 * 1024),
  /** How often a live feed without events sends a comment, so that proxies keep it open. */
  FEED_HEARTBEAT_MS: integer({ min: 100, max: 10 * 60_000 }).default(15_000),

  /** The analyzers' policy for keys without a rule, which the gateway explains. */
  WINDOW: integer({ min: 2, max: 500 }).default(VERDICT_DEFAULTS.window),
  THRESHOLD: decimal({ min: 0.1, max: 1000 }).default(VERDICT_DEFAULTS.threshold),
  WINDOW_MIN: integer({ min: 2, max: 500 }).default(VERDICT_DEFAULTS.windowMin),

  /** How long a gateway accepts requests after it became not ready: load balancers lag behind. */
  DRAIN_DELAY_MS: integer({ min: 0, max: 60_000 }).default(0),
} as const

/** How long a gateway that stops may take after DRAIN_DELAY_MS, at the least. */
export const CLOSE_MIN_MS = 5000

const DRAIN_DELAY_LIMIT_MS = STOP_DEADLINE_MS - CLOSE_MIN_MS

/** Rules between settings: a setting, the predicate that it must meet, and what it must be. */
const RULES: readonly [keyof GatewayConfig, (config: GatewayConfig) => boolean, string][] = [
  ['WINDOW_MIN', one => one.WINDOW_MIN <= one.WINDOW, 'must be at most WINDOW'],
  [
    'DRAIN_DELAY_MS',
    one => one.DRAIN_DELAY_MS <= DRAIN_DELAY_LIMIT_MS,
    `must be at most ${DRAIN_DELAY_LIMIT_MS}: the process exits ${STOP_DEADLINE_MS / 1000} s after SIGTERM`,
  ],
  [
    'BODY_BYTES_MAX',
    one => one.BODY_BYTES_MAX <= one.BODIES_BYTES_MAX,
    'must be at most BODIES_BYTES_MAX: a larger body could never be read',
  ],
  [
    'METRICS_PORT',
    one => one.METRICS_PORT === 0 || one.METRICS_PORT !== one.PORT,
    'must not be PORT: each needs a port of its own',
  ],
  [
    'TLS_CERT_FILE',
    one => (one.TLS_CERT_FILE === undefined) === (one.TLS_KEY_FILE === undefined),
    'must be set together with TLS_KEY_FILE: TLS needs a certificate and its key',
  ],
]

function checkRules(config: GatewayConfig, { addIssue }: z.RefinementCtx): void {
  for (const [path, isMet, message] of RULES) if (!isMet(config)) addIssue({ code: 'custom', path: [path], message })
}

export const gatewaySchema = z.object(gatewaySettings).superRefine(checkRules)
export type GatewayConfig = z.output<z.ZodObject<typeof gatewaySettings>>

/** Whether browsers reach the gateway by https. */
export function isHttps({ TLS_CERT_FILE, PUBLIC_URL }: GatewayConfig): boolean {
  return TLS_CERT_FILE !== undefined || PUBLIC_URL?.startsWith('https:') === true
}

/** Where the certificate of the gateway's port is; undefined without TLS. */
export function certificateFiles({ TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }: GatewayConfig) {
  return certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile }
}

/** What `createOriginRules` needs of the settings. */
export function originOptions({ HOST, TLS_CERT_FILE, PUBLIC_URL, CORS_ORIGINS, ALLOWED_HOSTS }: GatewayConfig) {
  return {
    scheme: TLS_CERT_FILE === undefined ? 'http' : 'https',
    publicOrigin: PUBLIC_URL === undefined ? undefined : new URL(PUBLIC_URL).origin,
    corsOrigins: CORS_ORIGINS,
    allowedHosts: HOST === undefined ? ALLOWED_HOSTS : [...ALLOWED_HOSTS, HOST],
  } as const
}

export function verdictSettings({ WINDOW, THRESHOLD, WINDOW_MIN }: GatewayConfig): VerdictSettings {
  return { window: WINDOW, threshold: THRESHOLD, windowMin: WINDOW_MIN }
}

/** Settings that should be equal in all gateways, and if analyzers have them, in those too. */
const SHARED_SETTINGS = [
  ...['WINDOW', 'THRESHOLD', 'WINDOW_MIN'],
  ...['BODY_BYTES_MAX', 'SAMPLES_MAX', 'KEY_BYTES_MAX', 'VALUE_ABS_MAX'],
  ...['INFLUX_KEY', 'PROMETHEUS_KEY', 'PROMETHEUS_COUNTERS', 'OTLP_KEY', 'OTLP_RESOURCE_ATTRIBUTES'],
  ...['KEYS_MAX', 'KEYS_PER_API_KEY_MAX'],
  ...['IDEMPOTENCY_TTL_MS', 'IDEMPOTENCY_KEYS_MAX', 'BACKLOG_SAMPLES_MAX', 'AUDIT_KEPT_MAX', 'DURABILITY'],
  ...['REQUESTS_PER_S_MAX', 'SAMPLES_PER_S_MAX', 'RATE_BURST_S'],
]

export function sharedSettings(config: Readonly<Record<string, unknown>>): SharedSettings {
  return Object.fromEntries(
    SHARED_SETTINGS.flatMap(name => (config[name] === undefined ? [] : [[name, String(config[name])]])),
  )
}

/** Everything that the gateway's process reads from its environment. */
export const configSchema = z
  .object({
    ...commonSettings,
    ...gatewaySettings,
    /** Samples of a partition that are not analysed yet. Beyond it its samples get 503. */
    BACKLOG_SAMPLES_MAX: integer({ min: 1, max: 1_000_000_000 }).default(STORE_LIMITS.backlogMax),
    /**
     * The least durability that Redis must provide, compared with what it reports. Unset: local
     * with an append-only file, else memory.
     */
    DURABILITY: z.enum(DURABILITY_LEVELS).optional(),
    /** Idempotency-Keys and batches that each partition remembers. Beyond it: 503. */
    IDEMPOTENCY_KEYS_MAX: integer({ min: 1, max: 10_000_000 }).default(STORE_LIMITS.requestsMax),
    /** Records of the audit log, of the whole deployment. The oldest are removed. */
    AUDIT_KEPT_MAX: integer({ min: 100, max: 1_000_000 }).default(STORE_LIMITS.auditMax),
  })
  .superRefine(checkRedisRules)
  .superRefine(checkRules)
