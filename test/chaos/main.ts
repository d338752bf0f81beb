import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { openProgress } from './progress.ts'
import { formatReport } from './report.ts'
import { type RunResult, run } from './run.ts'
import type { FaultKind } from './schedule.ts'
import { CLUSTER, LONG_DEFAULTS, longRuns, SHORT, type Size, shortLevel } from './sizes.ts'

const LEVELS = ['local', 'disk', 'replicated'] as const

const HELP = `Breaks a deployment of Tidemark on this computer in every way there is, and checks that no sample is lost, doubled or out of order.

Usage: npm run chaos -- [options]

  --seed N        repeats the schedule of another run; otherwise a new one, which is printed
  --minutes N     how long faults strike (${LONG_DEFAULTS.minutes}); their number goes with it
  --samples N     samples to be accepted, at least (${LONG_DEFAULTS.samples})
  --only KINDS    only faults of these kinds, separated by commas, such as late-commit,fail-over
  --short         the size that npm test runs
  --durability L  only the run with this level: local, disk or replicated
  --cluster       on a cluster of three masters and three replicas
  --report FILE   writes a report in Markdown
  --breaches FILE writes what was breached, a JSON array of sentences, and ends at the first
  --help          this text
`

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    minutes: { type: 'string', default: String(LONG_DEFAULTS.minutes) },
    samples: { type: 'string', default: String(LONG_DEFAULTS.samples) },
    only: { type: 'string', default: '' },
    short: { type: 'boolean', default: false },
    durability: { type: 'string' },
    cluster: { type: 'boolean', default: false },
    report: { type: 'string' },
    breaches: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

/** The work is done; whatever still holds the process, a socket that was torn for one, gets this long. */
const LINGER_MS = 5000

if (values.help) process.stdout.write(HELP)
else {
  process.exitCode = await main()
  const timer = setTimeout(() => {
    const held = [...new Set(process.getActiveResourcesInfo())].join(', ')
    process.stderr.write(`the run is over and the process was still held by: ${held}\n`)
    process.exit()
  }, LINGER_MS)
  timer.unref()
}

async function main(): Promise<number> {
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
  const minutes = Number(values.minutes)
  const samples = Number(values.samples)
  if (![seed, minutes, samples].every(Number.isFinite) || minutes <= 0) {
    process.stderr.write('--seed, --minutes and --samples take numbers\n')
    return 2
  }
  const { durability } = values
  const level = LEVELS.find(one => one === durability)
  if (durability !== undefined && level === undefined) {
    process.stderr.write(`--durability is one of ${LEVELS.join(', ')}\n`)
    return 2
  }
  const sizes = sizesOf({ minutes, samples, level })
  process.stderr.write(`seed ${seed}\n`)
  const runs: { result: RunResult; size: Size }[] = []
  for (const size of sizes) {
    if (sizes.length > 1) process.stderr.write(`durability ${size.durability}\n`)
    const progress = openProgress(process.stderr, size.samples)
    const result = await run({
      ...size,
      seed,
      isFailFast: values.breaches !== undefined,
      onProgress: state => progress.update(state),
    })
    progress.end()
    runs.push({ result, size })
  }
  const breaches = runs.flatMap(({ result }) => result.breaches)
  if (values.breaches !== undefined) await writeFile(values.breaches, JSON.stringify(breaches))
  const report = formatReport(runs)
  if (values.report === undefined) process.stdout.write(report)
  else await writeFile(values.report, report)
  if (breaches.length === 0) return 0
  const list = breaches.map(breach => `  ${breach}\n`).join('')
  const histories = runs.map(({ result }) => result).filter(result => result.breaches.length > 0)
  const where = histories.map(({ historyPath }) => historyPath).join(', ')
  process.stderr.write(`\nbreached:\n${list}seed ${seed}; the history is in ${where}\n`)
  return 1
}

interface Wanted {
  readonly minutes: number
  readonly samples: number
  readonly level: (typeof LEVELS)[number] | undefined
}

function sizesOf({ minutes, samples, level }: Wanted): Size[] {
  if (values.cluster) return [CLUSTER]
  if (values.short) return [level === undefined || level === 'local' ? SHORT : shortLevel(level)]
  const only = values.only.split(',').filter(kind => kind !== '') as FaultKind[]
  return longRuns({ minutes, samples, only }).filter(({ durability }) => level === undefined || durability === level)
}
