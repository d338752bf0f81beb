import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../lib/options.ts'
import { interruptible, say } from './interruptible.ts'
import { runLoad } from './load.ts'
import { locustHelp } from './locust.ts'
import { COMMAND, type LoadOptions, readOptions } from './options.ts'
import { requirePython } from './python.ts'
import { runReport } from './run-report.ts'

const RESULTS = fileURLToPath(new URL('../../locust/results', import.meta.url))

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => {
  const options = readOptions(args, process.env)
  return interruptible(stop => load(options, stop))
})

async function load(options: LoadOptions, stop: AbortSignal): Promise<number> {
  const python = requirePython()
  if (options.moreOptions.includes('--help')) {
    process.stdout.write(locustHelp(python))
    return 0
  }
  const folder = options.out ?? join(RESULTS, new Date().toISOString().slice(0, 19).replaceAll(':', ''))
  const csvPrefix = join(folder, 'locust')
  const result = await runLoad(options, { python, folder, prefix: '', csvPrefix, output: process.stderr, stop })
  const report = join(folder, 'report.md')
  const markdown = runReport(result, ['npm run load', ...(args.length > 0 ? ['--', ...args] : [])].join(' '))
  await writeFile(report, markdown)
  process.stdout.write(`\n${markdown}\n`)
  say(`the report is ${report}`)
  for (const sentence of result.summary.missed) say(`missed: ${sentence}`)
  return result.summary.missed.length === 0 ? 0 : 1
}
