import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { AutoscalerSpec } from './autoscaler.ts'
import { type Deployed, readDeployed, type TierSpec } from './manifests.ts'
import { type Capacity, type Scenario, type Second, simulate } from './model.ts'
import { HELP, parseCommand, type ScalingOptions } from './options.ts'
import { replaceSection, table } from './page.ts'
import { type Column, drawComparison, drawScenario } from './plot.ts'
import { SCENARIOS } from './scenarios.ts'
import { summarize } from './summary.ts'

const EXIT_USAGE = 2
const DOCS = new URL('../../docs/', import.meta.url)

/** The scenarios that tell autoscalers apart at a glance. */
const PICTURED = ['ramp', 'pulses']

const command = parseCommand(process.argv.slice(2))
switch (command.kind) {
  case 'help':
    process.stdout.write(HELP)
    break
  case 'wrong':
    process.stderr.write(`tidemark: ${command.reason}.\nThe options are shown by: npm run scaling -- --help\n`)
    process.exitCode = EXIT_USAGE
    break
  case 'run':
    await run(command.options, readDeployed())
}

async function run(options: ScalingOptions, deployed: Deployed): Promise<void> {
  const capacities = capacitiesOf(options)
  const rows: (string | number)[][] = []
  for (const scenario of SCENARIOS) {
    const columns = capacities.map(({ title, capacity }) => {
      const seconds = runOne(scenario, deployed.analyzerByBacklog, capacity, options, deployed)
      const { gatewaysMax, refused, analyzersMax, backlogMax, ageMaxS } = summarize(seconds)
      rows.push([scenario.name, title, gatewaysMax, refused, analyzersMax, backlogMax, `${ageMaxS} s`])
      return { title, seconds }
    })
    write(`images/scaling-${scenario.name}.svg`, await drawScenario(scenario.title, columns))
  }
  const heads = [
    'scenario',
    'analyzers',
    'gateways, most',
    'refused',
    'analyzers, most',
    'backlog, most',
    'oldest, most',
  ]
  update('figures', [describe(options), table(heads, rows)].join('\n\n'))
  await compare(options, deployed)
}

/** Other autoscalers for the analyzers. */
async function compare(options: ScalingOptions, deployed: Deployed): Promise<void> {
  const { capacity } = capacitiesOf(options)[1]
  const rows: (string | number)[][] = []
  for (const scenario of SCENARIOS) {
    const columns = variantsOf(deployed).map(({ title, analyzer }): Column => {
      const seconds = runOne(scenario, analyzer, capacity, options, deployed)
      const { analyzersMax, turns, backlogMax, ageMaxS, behindS, analyzerMinutes } = summarize(seconds)
      rows.push([
        scenario.name,
        title,
        analyzersMax,
        turns,
        backlogMax,
        `${ageMaxS} s`,
        `${behindS} s`,
        analyzerMinutes,
      ])
      return { title, seconds }
    })
    if (!PICTURED.includes(scenario.name)) continue
    const title = `${scenario.title}, with ${options.slower} times slower analyzers`
    write(`images/scaling-${scenario.name}-by.svg`, await drawComparison(title, columns))
  }
  const heads = ['scenario', 'scaled by', 'most', 'turns', 'backlog, most', 'oldest, most', 'behind for', 'pod minutes']
  update('comparison', table(heads, rows))
}

function variantsOf({ analyzer, analyzerByBacklog }: Deployed): { title: string; analyzer: TierSpec }[] {
  const changed = (change: (spec: AutoscalerSpec) => Partial<AutoscalerSpec>): TierSpec => {
    const { autoscaler } = analyzerByBacklog
    return { ...analyzerByBacklog, autoscaler: { ...autoscaler, ...change(autoscaler) } }
  }
  return [
    { title: 'CPU (base)', analyzer },
    { title: 'CPU and backlog (keda)', analyzer: analyzerByBacklog },
    {
      title: 'backlog alone',
      analyzer: changed(({ metrics }) => ({ metrics: metrics.filter(({ kind }) => kind !== 'cpu') })),
    },
    { title: 'keda, growing after 30 s', analyzer: changed(({ up }) => ({ up: { ...up, stabilizationS: 30 } })) },
    { title: 'keda, shrinking at once', analyzer: changed(({ down }) => ({ down: { ...down, stabilizationS: 0 } })) },
  ]
}

function runOne(
  scenario: Scenario,
  analyzer: TierSpec,
  capacity: Capacity,
  { startS }: ScalingOptions,
  { gateway, partitions }: Deployed,
): Second[] {
  return simulate({ scenario, gateway, analyzer, partitions, capacity, startS })
}

/** As given, and as if a verdict cost many times as much: it takes that for the analyzers to have to scale. */
function capacitiesOf({ gatewaySamplesPerCore, analyzerSamplesPerCore, slower }: ScalingOptions) {
  const slow = Math.round(analyzerSamplesPerCore / slower)
  return [
    { title: 'as given', capacity: { gatewaySamplesPerCore, analyzerSamplesPerCore } },
    { title: `${slower} times slower`, capacity: { gatewaySamplesPerCore, analyzerSamplesPerCore: slow } },
  ] as const
}

function describe({ source, gatewaySamplesPerCore, analyzerSamplesPerCore, startS, slower }: ScalingOptions): string {
  const number = (value: number): string => value.toLocaleString('en')
  return [
    `A core of a gateway takes ${number(gatewaySamplesPerCore)} samples/s, sent one by one; a core of an analyzer drains`,
    `${number(analyzerSamplesPerCore)} samples/s, or ${number(analyzerSamplesPerCore / slower)} where it is ${slower} times slower`,
    `(${source}). A pod is ready ${startS} s after it was asked for.`,
  ].join('\n')
}

function update(section: string, text: string): void {
  write('scaling.md', replaceSection(readFileSync(new URL('scaling.md', DOCS), 'utf8'), section, text))
}

function write(name: string, text: string): void {
  const file = new URL(name, DOCS)
  writeFileSync(file, text)
  process.stdout.write(`${fileURLToPath(file)}\n`)
}
