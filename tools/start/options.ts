import { CSV_OPTIONS, csvOptionsOf } from '../lib/csv/options.ts'
import type { CsvOptions } from '../lib/csv/parser.ts'
import { type Command, custom, flag, integer, parseCommandLine, text, UsageError } from '../lib/options.ts'
import type { StackOptions } from '../stack/stack.ts'

export const ANALYZERS_MAX = 64

export const COMMAND = {
  call: 'npm start --',
  summary: 'Runs Tidemark on this computer: one gateway, analyzers and a Redis. Ctrl-C stops all of it.',
  details: `Without --csv, this computer's own metrics (CPU, memory, event loop; on Linux also network and disk) are sent to
POST /ingest every 250 ms, and a live table shows the verdicts.`,
  options: {
    csv: text({
      placeholder: 'FILE',
      help: `replay a CSV file and end with a summary of its anomalies. Encoding, delimiter, header, columns and formats
are detected and shown; the options below replace each of these decisions. Without a key column, the key is the name of
the file`.replaceAll('\n', ' '),
    }),
    speed: custom({
      placeholder: 'N|max',
      form: 'a number above 0 (1 is real time, 60 is a minute in a second) or max',
      help: 'with --csv: N times real time by the timestamps of the file, or max, as fast as possible (default max)',
      parse: parseSpeed,
    }),
    ...CSV_OPTIONS,
    port: integer({
      min: 0,
      max: 65_535,
      default: 8080,
      short: 'p',
      help: 'port of the gateway on 127.0.0.1; 0 takes any free port',
    }),
    'redis-url': text({
      placeholder: 'URL',
      help: `use this Redis (redis://, rediss:// or unix://) instead of a temporary one. REDIS_URL does the same. Without
redis-server or valkey-server on PATH, an in-memory store is used`.replaceAll('\n', ' '),
    }),
    analyzers: integer({ min: 1, max: ANALYZERS_MAX, default: 2, help: 'number of analyzers' }),
    open: flag('open the console in the browser'),
    quiet: flag('no table: only start, stop and anomalies', 'q'),
  },
  notes: `With --csv, the exit code is 0 if samples were analysed, 1 if none was, if verdicts are missing or the file cannot be
read, and 2 for an invalid command line. Refused lines are counted and described, and do not change it.`,
  examples: [
    '',
    '-p 9000 --quiet',
    '--csv rps.csv',
    '--csv rps.csv --speed 60',
    '--csv export.csv --dry-run',
    '--csv export.csv --time Date,Time --value cpu,mem --key host',
    '--redis-url redis://localhost:6379',
  ],
} satisfies Command

export interface StartOptions extends Pick<StackOptions, 'port' | 'redisUrl' | 'analyzers'> {
  readonly csv: string | undefined
  /** What is known of the file; the rest is detected. */
  readonly csvOptions: CsvOptions
  readonly isDryRun: boolean
  /** Factor of real time at which a file is replayed; Infinity is as fast as possible. */
  readonly speed: number
  readonly isQuiet: boolean
  /** Whether the browser is opened. */
  readonly isOpened: boolean
}

/** Parses the command line; `env` supplies REDIS_URL if no option does. Throws a UsageError. */
export function readOptions(args: readonly string[], env: Readonly<Record<string, string | undefined>>): StartOptions {
  const { values } = parseCommandLine(COMMAND, args)
  const { csv, speed, port, analyzers, quiet, open, 'redis-url': given } = values
  const csvOptions = csvOptionsOf(values)
  const isDryRun = values['dry-run']
  if (csv === undefined) {
    const names = ['speed', ...Object.keys(CSV_OPTIONS)] as (keyof typeof values)[]
    const given = names.find(
      name => ![undefined, false].includes(values[name] as undefined) && String(values[name]) !== '',
    )
    if (given !== undefined) throw new UsageError(`--${given} needs --csv FILE`)
  }
  const redisUrl = given ?? (env.REDIS_URL === '' ? undefined : env.REDIS_URL)
  if (redisUrl !== undefined && !/^(rediss?|unix):\/\//.test(redisUrl)) {
    const source = given === undefined ? 'REDIS_URL' : '--redis-url'
    throw new UsageError(`${source} must begin with redis://, rediss:// or unix://`)
  }
  return {
    csv,
    csvOptions,
    isDryRun,
    speed: speed ?? Number.POSITIVE_INFINITY,
    port,
    redisUrl,
    analyzers,
    isQuiet: quiet,
    isOpened: open,
  }
}

function parseSpeed(given: string): number | undefined {
  if (given === 'max') return Number.POSITIVE_INFINITY
  const speed = /^\d+(\.\d+)?x?$/.test(given) ? Number.parseFloat(given) : 0
  return speed > 0 ? speed : undefined
}
