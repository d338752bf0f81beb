import { parseArgs } from 'node:util'

export const ANALYZERS_MAX = 64
const PORT_DEFAULT = 8080
const ANALYZERS_DEFAULT = 2

/** Factor of real time at which a file is replayed; Infinity is as fast as the pipeline takes it. */
export type Speed = number

export interface StartOptions {
  /** A CSV file to replay instead of feeding this computer's metrics. */
  readonly csv: string | undefined
  readonly speed: Speed
  /** 0 takes any free port. */
  readonly port: number
  /** Undefined: look for a Redis to run. */
  readonly redisUrl: string | undefined
  readonly analyzers: number
  readonly isQuiet: boolean
}

export type Command =
  | { readonly kind: 'start'; readonly options: StartOptions }
  | { readonly kind: 'help' }
  /** A sentence that names the option and what it takes. */
  | { readonly kind: 'wrong'; readonly reason: string }

export const HELP = `Runs Tidemark on this computer: one gateway, some analyzers and a Redis. Ctrl-C stops all of it.

Usage: npm start -- [options]

Without --csv, this computer's own metrics (CPU, memory, network, disk, event loop) are sent through POST /ingest
every 250 ms, and a live table shows the verdicts.

Options:
  --csv FILE        replay a CSV file of timestamp,value[,key] instead, and end with a summary of what was flagged.
                    Timestamps are Unix seconds, Unix milliseconds or ISO 8601; a header row names the columns in any
                    order; without a key column the key is the file's name
  --speed N|max     with --csv: N times real time by the file's timestamps, or as fast as possible (max)
  --port N          the gateway's port on 127.0.0.1 (${PORT_DEFAULT}); 0 takes any free one
  --redis-url URL   use this Redis (redis://, rediss:// or unix://); so does REDIS_URL. Otherwise redis-server or
                    valkey-server is run for the occasion, and without one everything is kept in memory
  --analyzers N     how many analyzers, 1 to ${ANALYZERS_MAX} (${ANALYZERS_DEFAULT})
  --quiet           no table: only start, stop and anomalies
  --help            this text

Examples:
  npm start
  npm start -- --port 9000 --quiet
  npm start -- --csv rps.csv
  npm start -- --csv rps.csv --speed 60            a minute of the file in a second
  npm start -- --redis-url redis://localhost:6379
`

/** Reads the command line; `env` gives REDIS_URL when no option does. */
export function parseCommand(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Command {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args)
  } catch (error) {
    return wrong(error instanceof Error ? firstSentence(error.message) : String(error))
  }
  const { values, positionals } = parsed
  if (values.help === true) return { kind: 'help' }
  const [extra] = positionals
  if (extra !== undefined) return wrong(`Unexpected argument '${extra}'; a file to replay is given as --csv ${extra}`)

  const port = wholeNumber(values.port, { min: 0, max: 65_535, fallback: PORT_DEFAULT })
  if (port === undefined) return wrong(`--port takes a number from 0 to 65535, not '${values.port}'`)
  const analyzers = wholeNumber(values.analyzers, { min: 1, max: ANALYZERS_MAX, fallback: ANALYZERS_DEFAULT })
  if (analyzers === undefined) {
    return wrong(`--analyzers takes a number from 1 to ${ANALYZERS_MAX}, not '${values.analyzers}'`)
  }
  const speed = parseSpeed(values.speed)
  if (speed === undefined) {
    return wrong(
      `--speed takes a number above 0 (1 is real time, 60 a minute in a second) or max, not '${values.speed}'`,
    )
  }
  if (values.speed !== undefined && values.csv === undefined) return wrong('--speed needs --csv FILE')
  if (values.csv === '') return wrong('--csv takes the name of a file')
  const redisUrl = values['redis-url'] ?? (env.REDIS_URL === '' ? undefined : env.REDIS_URL)
  if (redisUrl !== undefined && !/^(rediss?|unix):\/\//.test(redisUrl)) {
    const source = values['redis-url'] === undefined ? 'REDIS_URL' : '--redis-url'
    return wrong(`${source} must begin with redis://, rediss:// or unix://`)
  }
  return {
    kind: 'start',
    options: { csv: values.csv, speed, port, redisUrl, analyzers, isQuiet: values.quiet === true },
  }
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      csv: { type: 'string' },
      speed: { type: 'string' },
      port: { type: 'string', short: 'p' },
      'redis-url': { type: 'string' },
      analyzers: { type: 'string' },
      quiet: { type: 'boolean', short: 'q' },
      help: { type: 'boolean', short: 'h' },
    },
  })
}

function parseSpeed(text: string | undefined): Speed | undefined {
  if (text === undefined || text === 'max') return Number.POSITIVE_INFINITY
  const speed = /^\d+(\.\d+)?x?$/.test(text) ? Number.parseFloat(text) : 0
  return speed > 0 ? speed : undefined
}

function wholeNumber(
  text: string | undefined,
  { min, max, fallback }: { min: number; max: number; fallback: number },
): number | undefined {
  if (text === undefined) return fallback
  const number = /^\d{1,9}$/.test(text) ? Number(text) : -1
  return number >= min && number <= max ? number : undefined
}

/** node:util explains at length how to pass arguments that begin with a dash; the first sentence names the option. */
function firstSentence(text: string): string {
  return text.split('. ')[0] ?? text
}

function wrong(reason: string): Command {
  return { kind: 'wrong', reason }
}
