import { z } from 'zod'
import { PARTITIONS_MAX } from '../sample/partition.ts'
import { LOG_LEVELS } from './logger.ts'

/** Thrown for missing or invalid settings. The message names each of them and its rule. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

type Range = { readonly min: number; readonly max: number }

/** Coercion alone would accept '' as 0. */
function written(format: RegExp, fault: string, { min, max }: Range) {
  return z.string().regex(format, fault).transform(Number).pipe(z.number().min(min).max(max))
}

export const integer = (range: Range) => written(/^-?\d+$/, 'must be an integer', range)
export const decimal = (range: Range) => written(/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/, 'must be a number', range)

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** A duration as milliseconds, such as 2592000000, or as a number with its unit, such as 30d. */
export function duration({ maxMs }: { readonly maxMs: number }) {
  const rule = `must be milliseconds, or a number with ms, s, m, h or d, such as 30d; at most ${maxMs / UNIT_MS.d}d`
  return z
    .string()
    .regex(/^\d+(?:\.\d+)?(?:ms|s|m|h|d)?$/, rule)
    .transform(text => {
      const [, number, unit = 'ms'] = /^([\d.]+)([a-z]*)$/.exec(text) ?? []
      return Math.round(Number(number) * UNIT_MS[(unit || 'ms') as keyof typeof UNIT_MS])
    })
    .pipe(z.number().max(maxMs, rule))
}

/** A TCP port; 0 for any free one, which is then logged. */
export const port = integer({ min: 0, max: 65_535 })

/** The nodes of REDIS_URL, each with its scheme. A password may have commas too. */
export function redisNodes(url: string): string[] {
  const nodes = url.split(/,(?=(?:rediss?|unix):\/\/|[^@]*$)/).map(node => node.trim())
  const scheme = /^rediss?:\/\//.exec(url)?.[0] ?? ''
  return nodes.map(node => (node.includes('://') ? node : scheme + node))
}

/** Returns what is wrong with a node of REDIS_URL, without quoting it; undefined if nothing is. */
function redisUrlFault(node: string): string | undefined {
  const [, scheme, rest = ''] = /^(rediss?|unix):\/\/(.*)$/s.exec(node) ?? []
  if (scheme === undefined) return 'must start with redis://, rediss:// or unix://'
  if (scheme === 'unix') return rest.startsWith('/') ? undefined : 'must be unix:// and an absolute path'
  const credentials = rest.slice(0, Math.max(0, rest.lastIndexOf('@')))
  const special = /[#/?\\\s]/.exec(credentials)?.[0]
  if (special !== undefined || rest.includes('#')) {
    const found = special ?? '#'
    return `has a ${JSON.stringify(found)} in its password or user name: write # as %23, and here ${encodeURIComponent(found)}`
  }
  if (/%(?![0-9A-Fa-f]{2})/.test(credentials)) return 'has a % in its password or user name: write % as %25'
  if (!isDecodable(credentials)) return 'has a password or user name that is not percent-encoded UTF-8'
  if (!URL.canParse(node) || new URL(node).hostname === '')
    return 'must be redis://HOST:PORT or redis://USER:PASSWORD@HOST:PORT'
  return undefined
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

const redisUrl = z.string().superRefine((url, context) => {
  const fault = redisNodes(url)
    .map(redisUrlFault)
    .find(one => one !== undefined)
  if (fault !== undefined) context.addIssue(fault)
})

const PREFIX = /^[A-Za-z0-9_.-]{1,32}$/
const HTTP = /^https?:\/\/[^/]/

export const commonSettings = {
  /** redis://, rediss:// or unix:///path. For a cluster: some of its nodes, separated by commas. */
  REDIS_URL: redisUrl,
  REDIS_CLUSTER: z.stringbool().default(false),
  /** The user in Redis' ACL. Unset: the one in REDIS_URL, or `default`. */
  REDIS_USERNAME: z.string().min(1).optional(),
  /** A file that holds the password, read again at each new connection. */
  REDIS_PASSWORD_FILE: z.string().min(1).optional(),
  /** The authority of Redis' certificate, PEM. Unset: those that Node trusts. */
  REDIS_CA_FILE: z.string().min(1).optional(),
  /** The certificate, with its chain, and the key that a Redis with `tls-auth-clients` asks for. */
  REDIS_CERT_FILE: z.string().min(1).optional(),
  REDIS_KEY_FILE: z.string().min(1).optional(),
  /** The prefix of every Redis key, so that deployments can share a Redis. */
  REDIS_PREFIX: z.string().regex(PREFIX).default('tm'),
  /** Read at the first start on a Redis. Later it must be unset or have the same value. */
  PARTITIONS: integer({ min: 1, max: PARTITIONS_MAX }).optional(),
  LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  /** The OTLP/HTTP receiver of traces, such as http://collector:4318. Unset: tracing is off. */
  OTEL_EXPORTER_OTLP_ENDPOINT: z.string().regex(HTTP, 'must start with http:// or https://').optional(),
  /** The sampled share of the traces that start here; others keep their sampled flag. */
  OTEL_TRACES_SAMPLER_ARG: decimal({ min: 0, max: 1 }).default(1),
} as const

export type CommonConfig = z.output<z.ZodObject<typeof commonSettings>>

/** Whether the URL names as many Redis servers as REDIS_CLUSTER says, in a way that it can use. */
export function isRedisPossible(config: Pick<CommonConfig, 'REDIS_URL' | 'REDIS_CLUSTER'>): boolean {
  const { REDIS_URL, REDIS_CLUSTER } = config
  return REDIS_CLUSTER ? !REDIS_URL.startsWith('unix:') : redisNodes(REDIS_URL).length === 1
}

const TLS_FILES = ['REDIS_CA_FILE', 'REDIS_CERT_FILE', 'REDIS_KEY_FILE'] as const

/** Rules between the settings about Redis. redis-access.ts checks the files that they name. */
export function checkRedisRules(config: CommonConfig, { addIssue }: z.RefinementCtx): void {
  const add = (name: string, message: string): void => addIssue({ code: 'custom', path: [name], message })
  const { REDIS_URL, REDIS_USERNAME, REDIS_CERT_FILE, REDIS_KEY_FILE } = config
  if (!isRedisPossible(config)) {
    add('REDIS_URL', 'must name one Redis, or with REDIS_CLUSTER=true nodes of a cluster (redis:// or rediss://)')
  }
  for (const name of TLS_FILES) {
    if (config[name] !== undefined && !redisNodes(REDIS_URL).every(node => node.startsWith('rediss:'))) {
      add(name, 'is for TLS: write rediss:// in REDIS_URL, or leave it out')
    }
  }
  if ((REDIS_CERT_FILE === undefined) !== (REDIS_KEY_FILE === undefined)) {
    const missing = REDIS_CERT_FILE === undefined ? 'REDIS_CERT_FILE' : 'REDIS_KEY_FILE'
    add(missing, 'must be set too: a client certificate needs REDIS_CERT_FILE and REDIS_KEY_FILE')
  }
  if (REDIS_USERNAME !== undefined && usersIn(REDIS_URL).some(user => user !== REDIS_USERNAME)) {
    add('REDIS_USERNAME', 'is another user than the one in REDIS_URL: take the user out of REDIS_URL')
  }
}

function usersIn(url: string): string[] {
  if (url.startsWith('unix:')) return []
  return redisNodes(url)
    .map(node => decodeURIComponent(new URL(node).username))
    .filter(user => user !== '')
}

/** Reads settings from `env`; empty ones count as unset. Throws a ConfigError with all faults. */
export function readConfig<T extends z.ZodRawShape>(
  schema: z.ZodObject<T>,
  env: Readonly<Record<string, string | undefined>>,
): z.output<z.ZodObject<T>> {
  const given = Object.fromEntries(Object.keys(schema.shape).flatMap(name => (env[name] ? [[name, env[name]]] : [])))
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const faults = result.error.issues.map(({ code, path, message }) => {
    const name = path.join('.')
    // A rule between settings may be about one that has its default.
    return `  ${name}: ${name in given || code === 'custom' ? message : 'must be set'}`
  })
  throw new ConfigError(`settings are missing or wrong:\n${faults.join('\n')}`)
}
