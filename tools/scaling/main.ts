import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { formatCount, paragraph } from '../lib/format.ts'
import { runCommand } from '../lib/options.ts'
import { type Cell, formatMarkdownTable, replaceSection } from '../lib/table.ts'
import type { AutoscalerSpec } from './autoscaler.ts'
import { type Deployed, readDeployed, type TierSpec } from './manifests.ts'
import { simulate } from './model.ts'
import { COMMAND, readOptions, type ScalingOptions } from './options.ts'
import { drawComparison, drawScenario, type Run } from './plot.ts'
import { SCENARIOS } from './scenarios.ts'
import { summarize } from './summary.ts'

const DOCS = new URL('../../docs/', import.meta.url)

/** The scenarios in which autoscalers differ visibly. */
const PICTURED = ['ramp', 'pulses']

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, async () => {
  const options = readOptions(args)
  const deployed = readDeployed()
  await writeScenarios(options, deployed)
  await writeComparison(options, deployed)
  return 0
})

/** Runs every scenario with the capacity as given, and with slower analyzers. */
async function writeScenarios(options: ScalingOptions, deployed: Deployed): Promise<void> {
  const common = { ...deployed, analyzer: deployed.analyzerByBacklog, startS: options.startS }
  const rows: Cell[][] = []
  for (const scenario of SCENARIOS) {
    const runs = capacitiesOf(options).map(({ title, capacity }): Run => {
      const seconds = simulate({ ...common, scenario, capacity })
      const { gatewaysMax, rejected, analyzersMax, backlogMax, ageMaxS } = summarize(seconds)
      rows.push([scenario.name, title, gatewaysMax, rejected, analyzersMax, backlogMax, `${ageMaxS} s`])
      return { title, seconds }
    })
    write(`images/scaling-${scenario.name}.svg`, await drawScenario(scenario.title, runs))
  }
  const head = ['scenario', 'analyzers', 'max gateways', 'rejected', 'max analyzers', 'max backlog', 'max age']
  update('figures', `${describe(options)}\n\n${formatMarkdownTable(head, rows, { align: 'right' })}`)
}

/** Compares autoscalers for the analyzers, with slower analyzers. */
async function writeComparison(options: ScalingOptions, deployed: Deployed): Promise<void> {
  const { capacity } = capacitiesOf(options)[1]
  const common = { ...deployed, startS: options.startS }
  const rows: Cell[][] = []
  for (const scenario of SCENARIOS) {
    const runs = variantsOf(deployed).map(({ title, analyzer }): Run => {
      const seconds = simulate({ ...common, scenario, analyzer, capacity })
      const { analyzersMax, reversals, backlogMax, ageMaxS, laggingS, analyzerMinutes } = summarize(seconds)
      const times = [`${ageMaxS} s`, `${laggingS} s`]
      rows.push([scenario.name, title, analyzersMax, reversals, backlogMax, ...times, analyzerMinutes])
      return { title, seconds }
    })
    if (!PICTURED.includes(scenario.name)) continue
    const title = `${scenario.title}, with ${options.slower} times slower analyzers`
    write(`images/scaling-${scenario.name}-by.svg`, await drawComparison(title, runs))
  }
  const head = ['scenario', 'scaled by', 'max pods', 'reversals', 'max backlog', 'max age', 'lag > 1 s', 'pod minutes']
  update('comparison', formatMarkdownTable(head, rows, { align: 'right' }))
}

function variantsOf({ analyzer, analyzerByBacklog }: Deployed): { title: string; analyzer: TierSpec }[] {
  const changed = (change: (spec: AutoscalerSpec) => Partial<AutoscalerSpec>): TierSpec => {
    const { autoscaler } = analyzerByBacklog
    return { ...analyzerByBacklog, autoscaler: { ...autoscaler, ...change(autoscaler) } }
  }
  const isBacklog = ({ kind }: AutoscalerSpec['metrics'][number]): boolean => kind !== 'cpu'
  return [
    { title: 'CPU (base)', analyzer },
    { title: 'CPU and backlog (keda)', analyzer: analyzerByBacklog },
    { title: 'backlog only', analyzer: changed(({ metrics }) => ({ metrics: metrics.filter(isBacklog) })) },
    { title: 'keda, scale up after 30 s', analyzer: changed(({ up }) => ({ up: { ...up, stabilizationS: 30 } })) },
    { title: 'keda, scale down at once', analyzer: changed(({ down }) => ({ down: { ...down, stabilizationS: 0 } })) },
  ]
}

/** The capacity as given, and one with slower analyzers: only then do they have to scale. */
function capacitiesOf({ gatewaySamplesPerCore, analyzerSamplesPerCore, slower }: ScalingOptions) {
  const slow = Math.round(analyzerSamplesPerCore / slower)
  return [
    { title: 'as given', capacity: { gatewaySamplesPerCore, analyzerSamplesPerCore } },
    { title: `${slower} times slower`, capacity: { gatewaySamplesPerCore, analyzerSamplesPerCore: slow } },
  ] as const
}

function describe({ source, gatewaySamplesPerCore, analyzerSamplesPerCore, startS, slower }: ScalingOptions): string {
  return paragraph(
    `One gateway core accepts ${formatCount(gatewaySamplesPerCore)} samples/s, sent one by one. One analyzer core`,
    `analyses ${formatCount(analyzerSamplesPerCore)} samples/s, or ${formatCount(analyzerSamplesPerCore / slower)} if it is ${slower} times slower.`,
    `Source: ${source}. A pod is ready ${startS} s after it was requested.`,
  )
}

function update(section: string, text: string): void {
  write('scaling.md', replaceSection(readFileSync(new URL('scaling.md', DOCS), 'utf8'), section, text))
}

function write(name: string, text: string): void {
  const file = new URL(name, DOCS)
  writeFileSync(file, text)
  process.stdout.write(`${fileURLToPath(file)}\n`)
}
