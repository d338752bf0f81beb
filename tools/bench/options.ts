import { type Command, flag, integer, parseCommandLine, text } from '../lib/options.ts'

export const COMMAND = {
  call: 'npm run bench --',
  summary: 'Measures Tidemark against the floors of its parts, on this machine and in the same run.',
  options: {
    quick: flag('one round of the most important figures, in less than a minute'),
    rounds: integer({ min: 1, max: 50, help: 'interleaved rounds of each figure (default 5; with --quick 1)' }),
    only: text({
      placeholder: 'TEXT',
      help:
        'only the scenarios whose names contain TEXT: single, guarded, batches, drain 10,000, scaling, cluster, redis, ' +
        'end to end, latency',
    }),
    check: flag('compare with the committed figures, tools/bench/baseline.json, and warn about regressions'),
    write: flag('write tools/bench/results/<date>.json, the baseline and the table of docs/performance.md'),
    profile: flag('only save CPU profiles of the services, tools/bench/profiles/*.cpuprofile'),
    footprint: flag('only print the bytes per key in Redis and per sample on the network'),
  },
  examples: ['', '--quick --check', '--only drain --rounds 3'],
} satisfies Command

export type Options = ReturnType<typeof readOptions>

export function readOptions(args: readonly string[]) {
  const { values } = parseCommandLine(COMMAND, args)
  return { ...values, rounds: values.rounds ?? (values.quick ? 1 : 5), only: values.only ?? '' }
}
