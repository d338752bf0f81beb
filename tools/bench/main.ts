import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { runCommand } from '../lib/options.ts'
import { replaceSection } from '../lib/table.ts'
import { regressions, writeBaseline } from './baseline.ts'
import { measureFootprint } from './footprint.ts'
import { findGenerator } from './generator.ts'
import type { Round } from './interleave.ts'
import { measure } from './measure.ts'
import { COMMAND, type Options, readOptions } from './options.ts'
import { saveProfiles } from './profiles.ts'
import { readSubjects, type Subject } from './subject.ts'
import { changesOf, type Results, type Row, rowsOf, toChangesMarkdown, toMarkdown } from './table.ts'

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
  const subjects = await readSubjects(options)
  const results = new Map<string, Round[]>()
  try {
    await measure(options, subjects, results)
  } finally {
    // Also what was measured before a failure, which may be the work of an hour.
    print(options, subjects, results, await machineSince(begin))
  }
  const rows = rowsOf(results)
  if (options.check) {
    const warnings = regressions(rows)
    for (const warning of warnings) process.stdout.write(`WARNING: regression: ${warning}\n`)
    if (warnings.length === 0) process.stdout.write('no regression against the committed figures\n')
  }
  if (options.write) {
    await writeBaseline(rows)
    await writeResults(rows, await machineSince(begin))
  }
}

async function machineSince(begin: number): Promise<string> {
  const [cpu] = cpus()
  return (
    `${cpus().length} cores, ${cpu?.model ?? ''}, Node ${process.versions.node}, single samples sent by ` +
    `${await findGenerator()}, load ${loadavg()[0]?.toFixed(1)}, ${Math.round((performance.now() - begin) / 1000)} s`
  )
}

function print({ against }: Options, subjects: readonly Subject[], results: Results, machine: string): void {
  const names = subjects.map(({ name }) => name)
  if (names.length > 1) {
    process.stdout.write(`\n${toChangesMarkdown(changesOf(results), names, against !== undefined)}\n`)
    process.stdout.write(`\nThe figures of ${names[0]}:\n`)
  }
  process.stdout.write(`\n${toMarkdown(rowsOf(results))}\n\n${machine}\n`)
}

async function writeResults(rows: readonly Row[], machine: string): Promise<void> {
  const folder = new URL('./results/', import.meta.url)
  const date = new Date().toISOString().slice(0, 10)
  await mkdir(folder, { recursive: true })
  await writeFile(new URL(`${date}.json`, folder), `${JSON.stringify({ date, machine, rows }, null, 2)}\n`)
  const section = `${toMarkdown(rows)}\n\n${date}: ${machine}.`
  await writeFile(PAGE, replaceSection(await readFile(PAGE, 'utf8'), 'bench', section))
}
