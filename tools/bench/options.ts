import { type Command, custom, flag, integer, parseCommandLine, repeated, text, UsageError } from '../lib/options.ts'
import { parseVariation, type Variation } from './variation.ts'

export const COMMAND = {
  call: 'npm run bench --',
  summary:
    'Measures Tidemark against the floors of its parts, or against another version of itself, on this machine and in ' +
    'the same run.',
  details:
    'With --against or --vary, the rounds of both alternate, and the ratio of each figure is the median of the ratios ' +
    'of all rounds. Only the gateways and analyzers are those of the other version: what sends and measures is of ' +
    'this one.',
  options: {
    quick: flag('one round of the most important figures, in less than a minute'),
    rounds: integer({ min: 1, max: 50, help: 'interleaved rounds of each figure (default 5; with --quick 1)' }),
    only: repeated(
      text({
        placeholder: 'TEXT',
        help:
          'only the scenarios whose names contain TEXT: single, guarded, batches, drain 10,000, scaling, cluster, ' +
          'redis, end to end, fleet, takeover, idle, latency',
      }),
    ),
    against: text({
      placeholder: 'COMMIT',
      help: 'compare with the code of COMMIT; without --only, in the scenarios that have a goal for it',
    }),
    vary: custom<Variation>({
      placeholder: 'NAME=A,B',
      help: 'compare a setting of the services with another value of it; an empty value leaves it out',
      form: 'a setting and two different values such as AGGREGATES=on,off',
      parse: parseVariation,
    }),
    check: flag('compare with the committed figures, tools/bench/baseline.json, and warn about regressions'),
    write: flag('write tools/bench/results/<date>.json, the baseline and the table of docs/performance.md'),
    profile: flag('only save CPU profiles of the services, tools/bench/profiles/*.cpuprofile'),
    footprint: flag('only print the bytes per key in Redis and per sample on the network'),
  },
  examples: [
    '',
    '--quick --check',
    '--only drain --rounds 3',
    '--against HEAD~1 --only "drain 100,000" --only "end to end"',
    '--vary AGGREGATES=on,off --only drain',
  ],
} satisfies Command

export type Options = ReturnType<typeof readOptions>

/** What says which figures are measured and kept: none of them makes sense in a comparison. */
const NOT_COMPARED = ['check', 'write', 'profile', 'footprint'] as const

export function readOptions(args: readonly string[]) {
  const { values } = parseCommandLine(COMMAND, args)
  const { against, vary } = values
  if (against !== undefined && vary !== undefined) throw new UsageError('--against and --vary exclude each other')
  const compared = against === undefined ? '--vary' : '--against'
  const other = against === undefined && vary === undefined ? undefined : NOT_COMPARED.find(name => values[name])
  if (other !== undefined) throw new UsageError(`--${other} measures this code alone: leave out ${compared}`)
  return { ...values, rounds: values.rounds ?? (values.quick ? 1 : 5) }
}
