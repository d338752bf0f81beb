import { z } from 'zod'
import { PARTITIONS_MAX } from '../sample/partition.ts'
import { LOG_LEVELS } from './logger.ts'

/** A setting is missing or wrong. Its message names every such setting and the rule. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ConfigError'
  }
}

/** An integer written in digits. `Number('')` is 0, so coercion alone would take an empty setting. */
export function integer({ min, max }: { min: number; max: number }) {
  return z
    .string()
    .regex(/^-?\d+$/, 'must be an integer')
    .transform(Number)
    .pipe(z.number().min(min).max(max))
}

/** A finite decimal number. */
export function decimal({ min, max }: { min: number; max: number }) {
  return z
    .string()
    .regex(/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/, 'must be a number')
    .transform(Number)
    .pipe(z.number().min(min).max(max))
}

/** A TCP port; 0 takes any free one, and the log says which. */
export const port = integer({ min: 0, max: 65_535 })

/** Settings that every service has. */
export const commonSettings = {
  /** redis://, rediss:// or unix:///path; of a cluster some nodes, separated by commas. */
  REDIS_URL: z.string().regex(/^(rediss?|unix):\/\//, 'must begin with redis://, rediss:// or unix://'),
  REDIS_CLUSTER: z.stringbool().default(false),
  /** First part of every Redis key: two deployments can share a Redis. */
  REDIS_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,32}$/)
    .default('tm'),
  /** Only read at the first start on a Redis; later it must be the same or absent. */
  PARTITIONS: integer({ min: 1, max: PARTITIONS_MAX }).optional(),
  LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  /** Where an OTLP receiver takes traces over HTTP, as http://collector:4318. Absent: none are made. */
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .string()
    .regex(/^https?:\/\/[^/]/, 'must begin with http:// or https://')
    .optional(),
  /** The part of the traces that begin with us of which spans are sent; whoever sends a traceparent has decided on its own. */
  OTEL_TRACES_SAMPLER_ARG: decimal({ min: 0, max: 1 }).default(1),
} as const

/** Reads the settings of `schema` from `env`; empty ones count as absent. Throws a ConfigError that names all that is wrong. */
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
