import { parseArgs } from 'node:util'
import { ANALYZERS_MAX } from '../start/options.ts'

export const SHAPES = ['steady', 'ramp', 'spike', 'soak'] as const
const URL_DEFAULT = 'http://127.0.0.1:8080'
const RPS_DEFAULT = 500
const ANALYZERS_DEFAULT = 2

export interface LoadOptions {
  /** Undefined: start a stack for the occasion. */
  readonly url: string | undefined
  readonly analyzers: number
  readonly shape: string
  readonly rps: number
  readonly seconds: number | undefined
  readonly seed: number
  readonly hostHeader: string | undefined
  /** Where the report goes. Undefined: a new folder under locust/results. */
  readonly out: string | undefined
  readonly moreOptions: readonly string[]
}

export type Command =
  | { readonly kind: 'load'; readonly options: LoadOptions }
  | { readonly kind: 'help' }
  /** A sentence that names the option and what it takes. */
  | { readonly kind: 'wrong'; readonly reason: string }

export const HELP = `Puts Tidemark under load with Locust, and compares its verdicts with the anomalies that the load is known to hold.

Usage: npm run load -- [options] [-- options of Locust]

Nine in ten requests are POST /ingest with a device's report, one is GET /analyze. Without options it is the load of the
replaced service, ${RPS_DEFAULT} requests a second for 5 minutes, on the Tidemark of "npm start". It ends with a report (Markdown, PNG,
CSV), and with exit code 1 when a threshold was missed.

Options:
  --url URL         the gateway (${URL_DEFAULT})
  --stack           start a gateway, analyzers and a Redis for the occasion instead; with prometheus on PATH the report
                    then shows their own metrics too
  --analyzers N     with --stack: how many, 1 to ${ANALYZERS_MAX} (${ANALYZERS_DEFAULT})
  --shape NAME      ${SHAPES.join(', ')} (steady)
  --rps N           requests a second, of ramp and spike at the most (${RPS_DEFAULT})
  --seconds N       how long (300; a soak: 4 hours)
  --seed N          the same seed sends the same values (1)
  --out FOLDER      where the report goes (locust/results/ and the time)
  --help            this text

HOST_HEADER in the environment is sent as the Host of every request: for an ingress that is reached by its address.
Thresholds are options of Locust, shown by: npm run load -- -- --help

Examples:
  npm run load
  npm run load -- --stack --seconds 60
  npm run load -- --shape spike --rps 1500 -- --p95-max-ms 50 --precision-min 0.3
  HOST_HEADER=streaming.local npm run load -- --url http://192.168.49.2
`

/** Reads the command line; what follows a \`--\` is Locust's. */
export function parseCommand(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Command {
  const end = args.indexOf('--')
  const own = end === -1 ? args : args.slice(0, end)
  let values: ReturnType<typeof parse>
  try {
    values = parse(own)
  } catch (error) {
    return wrong(error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error))
  }
  if (values.help === true) return { kind: 'help' }
  if (values.stack === true && values.url !== undefined) return wrong('--stack and --url exclude each other')
  if (values.stack !== true && values.analyzers !== undefined) return wrong('--analyzers needs --stack')
  const url = values.url ?? URL_DEFAULT
  if (!/^https?:\/\/[^/]+\/?$/.test(url)) return wrong(`--url takes an address as ${URL_DEFAULT}, not '${url}'`)
  const shape = values.shape ?? 'steady'
  if (!SHAPES.some(name => name === shape)) return wrong(`--shape takes one of ${SHAPES.join(', ')}, not '${shape}'`)

  const analyzers = number(values.analyzers, { min: 1, max: ANALYZERS_MAX, fallback: ANALYZERS_DEFAULT })
  if (analyzers === undefined)
    return wrong(`--analyzers takes a number from 1 to ${ANALYZERS_MAX}, not '${values.analyzers}'`)
  const rps = number(values.rps, { min: 10, max: 100_000, fallback: RPS_DEFAULT })
  if (rps === undefined) return wrong(`--rps takes a number from 10 to 100000, not '${values.rps}'`)
  const seed = number(values.seed, { min: 0, max: 2 ** 31, fallback: 1 })
  if (seed === undefined) return wrong(`--seed takes a number, not '${values.seed}'`)
  const seconds = number(values.seconds, { min: 5, max: 7 * 86_400, fallback: 0 })
  if (seconds === undefined) return wrong(`--seconds takes a number of 5 or more, not '${values.seconds}'`)
  return {
    kind: 'load',
    options: {
      url: values.stack === true ? undefined : url,
      analyzers,
      shape,
      rps,
      seconds: seconds === 0 ? undefined : seconds,
      seed,
      hostHeader: env.HOST_HEADER === '' ? undefined : env.HOST_HEADER,
      out: values.out,
      moreOptions: end === -1 ? [] : args.slice(end + 1),
    },
  }
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const options = {
    url: text,
    stack: flag,
    analyzers: text,
    shape: text,
    rps: text,
    seconds: text,
    seed: text,
    out: text,
  }
  return parseArgs({ args: [...args], options: { ...options, help: { ...flag, short: 'h' } } }).values
}

function wrong(reason: string): Command {
  return { kind: 'wrong', reason }
}

/** A whole number within its limits; undefined when it is none. */
function number(
  text: string | undefined,
  { min, max, fallback }: { min: number; max: number; fallback: number },
): number | undefined {
  if (text === undefined) return fallback
  const value = Number(text)
  return /^\d+$/.test(text) && value >= min && value <= max ? value : undefined
}
