import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { SingleBar } from 'cli-progress'
import { regressions, watchedRatios, writeBaseline } from './baseline.ts'
import { footprintText, measureFootprint } from './footprint.ts'
import { HELP, type Options, readOptions } from './options.ts'
import { drawProfiles } from './profiles.ts'
import { type Measures, SCENARIOS } from './scenarios.ts'
import { type Results, rowsOf, toMarkdown } from './table.ts'

const PAGE = new URL('../../docs/performance.md', import.meta.url)
const BEGIN = '<!-- bench: begin -->'
const END = '<!-- bench: end -->'

try {
  const options = readOptions(process.argv.slice(2))
  if (options.help) process.stdout.write(HELP)
  else if (options.flame) await drawProfiles()
  else if (options.footprint) process.stdout.write(footprintText(await measureFootprint()))
  else await main(options)
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
}

async function main(options: Options): Promise<void> {
  const begin = performance.now()
  const results = await measure(options)
  const rows = rowsOf(results)
  const machine = `${cpus().length} cores, ${cpus()[0]?.model ?? ''}, Node ${process.versions.node}, load ${loadavg()[0]?.toFixed(1)}`
  const took = `${Math.round((performance.now() - begin) / 1000)} s`
  process.stdout.write(`\n${toMarkdown(rows)}\n\n${machine}, ${took}\n`)

  const ratios = watchedRatios(results)
  if (options.check) {
    const found = regressions(ratios)
    for (const sentence of found) process.stdout.write(`WARNING: dearer than it was: ${sentence}\n`)
    if (found.length === 0) process.stdout.write('nothing became dearer than the committed table says\n')
  }
  if (options.write) {
    await mkdir(new URL('./results/', import.meta.url), { recursive: true })
    const date = new Date().toISOString().slice(0, 10)
    const file = new URL(`./results/${date}.json`, import.meta.url)
    await writeFile(file, `${JSON.stringify({ date, machine, rows }, null, 2)}\n`)
    await writeBaseline(ratios)
    const page = await readFile(PAGE, 'utf8')
    const [before, after] = [page.indexOf(BEGIN), page.indexOf(END)]
    if (before < 0 || after < before) throw new Error(`docs/performance.md lacks the marks ${BEGIN} and ${END}`)
    const table = `${BEGIN}\n${toMarkdown(rows)}\n\n${date}: ${machine}, ${took}.\n${END}`
    await writeFile(PAGE, page.slice(0, before) + table + page.slice(after + END.length))
  }
}

/** Scenarios that are open at the same time would disturb each other, so rounds are interleaved by opening them in turn. */
async function measure({ quick, rounds, only }: Options): Promise<Results> {
  const chosen = SCENARIOS.filter(({ name, inQuick }) => (inQuick || !quick) && name.includes(only))
  if (chosen.length === 0) throw new Error(`no scenario has "${only}" in its name`)
  const results = new Map<string, Measures[]>(chosen.map(({ name }) => [name, []]))
  // Two passes over the scenarios, so that no figure rests on one moment of the machine.
  const passes = Math.min(2, rounds)
  const steps = chosen.reduce((sum, { roundsMax }) => sum + Math.min(rounds, roundsMax), 0)
  const bar = process.stderr.isTTY
    ? new SingleBar({ stream: process.stderr, format: '{bar} {value} of {total} rounds, {what}', barsize: 24 })
    : undefined
  bar?.start(steps, 0, { what: '' })
  for (let pass = 0; pass < passes; pass++) {
    for (const scenario of chosen) {
      const all = Math.min(rounds, scenario.roundsMax)
      const now = pass === 0 ? Math.ceil(all / passes) : Math.floor(all / passes)
      if (now === 0) continue
      bar?.update({ what: scenario.name })
      if (bar === undefined) process.stderr.write(`${scenario.name} ...\n`)
      await using bench = await scenario.open(quick)
      for (let n = 0; n < now; n++) {
        results.get(scenario.name)?.push(await bench.measure())
        bar?.increment()
      }
    }
  }
  bar?.stop()
  return results
}
