import { type Command, choice, custom, flag, integer, parseCommandLine, text, UsageError } from '../lib/options.ts'
import { ANALYZERS_MAX } from '../start/options.ts'

export const SHAPES = ['steady', 'ramp', 'spike', 'soak'] as const
const URL_DEFAULT = 'http://127.0.0.1:8080'
const ANALYZERS_DEFAULT = 2

export const COMMAND = {
  call: 'npm run load --',
  summary: 'Puts Tidemark under load with Locust, and compares its verdicts with the known anomalies of the load.',
  operands: '[-- LOCUST OPTIONS]',
  details:
    'Nine in ten requests are POST /ingest with the report of a device, one is GET /analyze. The default is a load of ' +
    '500 requests/s for 5 minutes on the Tidemark of "npm start". The result is a report (Markdown, PNG, CSV); the ' +
    'exit code is 1 if a threshold was missed.',
  options: {
    url: custom({
      placeholder: 'URL',
      help: `the gateway (default ${URL_DEFAULT})`,
      form: `an address like ${URL_DEFAULT}`,
      parse: (given: string) => (/^https?:\/\/[^/]+\/?$/.test(given) ? given : undefined),
    }),
    stack: flag(
      'start a temporary gateway, analyzers and a Redis instead. If prometheus is on PATH, the report shows their metrics too',
    ),
    analyzers: integer({
      min: 1,
      max: ANALYZERS_MAX,
      help: `with --stack: the number of analyzers (default ${ANALYZERS_DEFAULT})`,
    }),
    shape: choice(SHAPES, {
      placeholder: 'NAME',
      default: 'steady',
      help: `the shape of the load: ${SHAPES.join(', ')}`,
    }),
    rps: integer({ min: 10, max: 100_000, default: 500, help: 'requests/s; for ramp and spike the maximum' }),
    seconds: integer({ min: 5, max: 7 * 86_400, help: 'the duration (default 300; soak: 4 hours)' }),
    seed: integer({ min: 0, max: 2 ** 31, default: 1, help: 'equal seeds send equal values' }),
    out: text({ placeholder: 'FOLDER', help: 'where the report goes (default locust/results/<time>)' }),
  },
  notes:
    'HOST_HEADER in the environment is sent as the Host of every request, for an ingress that is reached by its ' +
    'address. TIDEMARK_API_KEY is the API key of every request (scopes ingest and read), TIDEMARK_API_KEY_FILE a file ' +
    'that has it.\n\nThresholds are options of Locust: npm run load -- -- --help lists them.',
  examples: [
    '',
    '--stack --seconds 60',
    '--shape spike --rps 1500 -- --p95-max-ms 50 --precision-min 0.3',
    '--url http://192.0.2.10',
  ],
} satisfies Command

export type LoadOptions = ReturnType<typeof readOptions>

/** Parses the command line. The arguments after `--` are for Locust. */
export function readOptions(args: readonly string[], env: Readonly<Record<string, string | undefined>>) {
  const { values, operands, rest } = parseCommandLine(COMMAND, args)
  const { stack, url, analyzers, ...others } = values
  const [extra] = operands
  if (extra !== undefined) throw new UsageError(`Unexpected argument '${extra}'`)
  if (stack && url !== undefined) throw new UsageError('--stack and --url exclude each other')
  if (!stack && analyzers !== undefined) throw new UsageError('--analyzers requires --stack')
  return {
    ...others,
    /** Undefined: start a temporary stack. */
    url: stack ? undefined : (url ?? URL_DEFAULT),
    analyzers: analyzers ?? ANALYZERS_DEFAULT,
    hostHeader: env.HOST_HEADER === '' ? undefined : env.HOST_HEADER,
    moreOptions: rest,
  }
}
