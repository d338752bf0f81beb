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

/** A TCP port; 0 for any free one, which is then logged. */
export const port = integer({ min: 0, max: 65_535 })

const PREFIX = /^[A-Za-z0-9_.-]{1,32}$/
const HTTP = /^https?:\/\/[^/]/

export const commonSettings = {
  /** redis://, rediss:// or unix:///path. For a cluster: some of its nodes, separated by commas. */
  REDIS_URL: z.string().regex(/^(rediss?|unix):\/\//, 'must start with redis://, rediss:// or unix://'),
  REDIS_CLUSTER: z.stringbool().default(false),
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

/** Reads settings from `env`; empty ones count as unset. Throws a ConfigError with all faults. */
export function readConfig<T extends z.ZodRawShape>(
  schema: z.ZodObject<T>,
  env: Readonly<Record<string, string | undefined>>,
): z.output<z.ZodObject<T>> {
  const given = Object.fromEntries(Object.keys(schema.shape).flatMap(name => (env[name] ? [[name, env[name]]] : [])))
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const faults = result.error.issues.map(({ path, message }) => {
    const name = path.join('.')
    return `  ${name}: ${name in given ? message : 'must be set'}`
  })
  throw new ConfigError(`settings are missing or wrong:\n${faults.join('\n')}`)
}
