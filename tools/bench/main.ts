import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { Failure, runCommand } from '../lib/options.ts'
import { openProgress } from '../lib/progress.ts'
import { replaceSection } from '../lib/table.ts'
import { regressions, writeBaseline } from './baseline.ts'
import { measureFootprint } from './footprint.ts'
import { COMMAND, type Options, readOptions } from './options.ts'
import { saveProfiles } from './profiles.ts'
import { type Measures, SCENARIOS, type Scenario } from './scenarios.ts'
import { type Results, type Row, rowsOf, toMarkdown } from './table.ts'

const PAGE = new URL('../../docs/performance.md', import.meta.url)

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, async () => {
  const options = readOptions(args)
  if (options.profile) await saveProfiles()
  else if (options.footprint) process.stdout.write(await measureFootprint())
  else await bench(options)
  return 0
})

async function bench(options: Options): Promise<void> {
  const begin = performance.now()
  const rows = rowsOf(await measure(options))
  const [cpu] = cpus()
  const machine =
    `${cpus().length} cores, ${cpu?.model ?? ''}, Node ${process.versions.node}, ` +
    `load ${loadavg()[0]?.toFixed(1)}, ${Math.round((performance.now() - begin) / 1000)} s`
  process.stdout.write(`\n${toMarkdown(rows)}\n\n${machine}\n`)

  if (options.check) {
    const warnings = regressions(rows)
    for (const warning of warnings) process.stdout.write(`WARNING: regression: ${warning}\n`)
    if (warnings.length === 0) process.stdout.write('no regression against the committed figures\n')
  }
  if (options.write) {
    await writeBaseline(rows)
    await writeResults(rows, machine)
  }
}

async function writeResults(rows: readonly Row[], machine: string): Promise<void> {
  const folder = new URL('./results/', import.meta.url)
  const date = new Date().toISOString().slice(0, 10)
  await mkdir(folder, { recursive: true })
  await writeFile(new URL(`${date}.json`, folder), `${JSON.stringify({ date, machine, rows }, null, 2)}\n`)
  const section = `${toMarkdown(rows)}\n\n${date}: ${machine}.`
  await writeFile(PAGE, replaceSection(await readFile(PAGE, 'utf8'), 'bench', section))
}

async function measure({ quick, rounds, only }: Options): Promise<Results> {
  const chosen = SCENARIOS.filter(({ name, inQuick }) => (inQuick || !quick) && name.includes(only))
  if (chosen.length === 0) throw new Failure(`no scenario has "${only}" in its name`)
  const results = new Map<string, Measures[]>(chosen.map(({ name }) => [name, []]))
  const roundsOf = ({ roundsMax }: Scenario): number => Math.min(rounds, roundsMax)
  const total = chosen.reduce((sum, scenario) => sum + roundsOf(scenario), 0)
  using progress = openProgress({ output: process.stderr, total })
  let done = 0
  // Two passes, so that no figure depends on one moment of the machine, one scenario at a time.
  const passes = Math.min(2, rounds)
  for (let pass = 0; pass < passes; pass++) {
    for (const scenario of chosen) {
      const all = roundsOf(scenario)
      let left = pass === 0 ? Math.ceil(all / passes) : Math.floor(all / passes)
      if (left === 0) continue
      progress.update(done, scenario.name)
      for await (const measures of scenario.rounds(quick)) {
        results.get(scenario.name)?.push(measures)
        progress.update(++done, scenario.name)
        if (--left === 0) break
      }
    }
  }
  return results
}
