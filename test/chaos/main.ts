import { writeFile } from 'node:fs/promises'
import {
  type Command,
  choice,
  commaSeparated,
  flag,
  integer,
  number,
  parseCommandLine,
  runCommand,
  text,
  type Values,
} from '@tidemark/tools/lib/options'
import { openProgress } from '@tidemark/tools/lib/progress'
import { formatReport } from './report.ts'
import { type RunProgress, type RunResult, run } from './run.ts'
import type { FaultKind } from './schedule.ts'
import { CLUSTER, LONG_DEFAULTS, longRuns, SHORT, type Size, shortLevel } from './sizes.ts'

const COMMAND = {
  call: 'npm run chaos --',
  summary:
    'Breaks a Tidemark deployment on this machine in every way that the harness knows, and checks that no sample is ' +
    'lost, duplicated or analysed out of order.',
  options: {
    seed: integer({ min: 0, max: 2 ** 31, help: 'repeat the schedule of an earlier run (default: random, printed)' }),
    minutes: number({ min: 0.1, max: 1440, default: LONG_DEFAULTS.minutes, help: 'how long faults are injected' }),
    samples: integer({ min: 1, max: 1e9, default: LONG_DEFAULTS.samples, help: 'accepted samples, at least' }),
    only: commaSeparated(
      text({ placeholder: 'KINDS', help: 'only faults of these kinds: late-commit,redis-kill,...' }),
    ),
    short: flag('the size that npm test runs'),
    durability: choice(['local', 'disk', 'replicated'], {
      placeholder: 'LEVEL',
      help: 'only the run with this durability: local, disk or replicated',
    }),
    cluster: flag('run on a Redis cluster of three masters and three replicas'),
    report: text({ placeholder: 'FILE', help: 'write the report, in Markdown, to FILE' }),
    violations: text({
      placeholder: 'FILE',
      help: 'write the violations, a JSON array of sentences, to FILE, and stop at the first',
    }),
  },
  examples: ['', '--short --seed 1', '--minutes 2 --only late-commit,redis-kill'],
} satisfies Command

/** How long the process may take to exit after the run, such as for sockets that were cut. */
const LINGER_MS = 5000

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)
const timer = setTimeout(() => {
  const held = [...new Set(process.getActiveResourcesInfo())].join(', ')
  process.stderr.write(`the run is over, but these resources kept the process alive: ${held}\n`)
  process.exit()
}, LINGER_MS)
timer.unref()

async function main(): Promise<number> {
  const { values } = parseCommandLine(COMMAND, process.argv.slice(2))
  const seed = values.seed ?? Math.floor(Math.random() * 2 ** 31)
  const sizes = sizesOf(values)
  process.stderr.write(`seed ${seed}\n`)
  const runs: { result: RunResult; size: Size }[] = []
  for (const size of sizes) {
    if (sizes.length > 1) process.stderr.write(`durability ${size.durability}\n`)
    using progress = openProgress({ output: process.stderr, total: size.samples })
    const result = await run({
      ...size,
      seed,
      isFailFast: values.violations !== undefined,
      onProgress: state => progress.update(state.accepted, describe(state)),
    })
    runs.push({ result, size })
  }
  const violations = runs.flatMap(({ result }) => result.violations)
  if (values.violations !== undefined) await writeFile(values.violations, JSON.stringify(violations))
  const report = formatReport(runs)
  if (values.report === undefined) process.stdout.write(report)
  else await writeFile(values.report, report)
  if (violations.length === 0) return 0
  const list = violations.map(violation => `  ${violation}\n`).join('')
  const histories = runs.map(({ result }) => result).filter(result => result.violations.length > 0)
  const where = histories.map(({ historyPath }) => historyPath).join(', ')
  process.stderr.write(`\nviolations:\n${list}seed ${seed}; history: ${where}\n`)
  return 1
}

function describe({ accepted, faults, faultsPlanned, violations, what }: RunProgress): string {
  return `${accepted} samples, ${faults} of ${faultsPlanned} faults, ${violations} violations, ${what}`
}

function sizesOf({ cluster, short, minutes, samples, durability, only }: Values<typeof COMMAND.options>): Size[] {
  if (cluster) return [CLUSTER]
  if (short) return [durability === undefined || durability === 'local' ? SHORT : shortLevel(durability)]
  const runs = longRuns({ minutes, samples, only: only as FaultKind[] })
  return runs.filter(size => durability === undefined || size.durability === durability)
}
