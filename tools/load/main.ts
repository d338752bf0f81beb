import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { watchInterrupts } from '../stack/interrupts.ts'
import { StartFailure } from '../stack/stack.ts'
import { runLoad } from './load.ts'
import { locustHelp } from './locust.ts'
import { HELP, type LoadOptions, parseCommand } from './options.ts'
import { requirePython } from './python.ts'
import { runReport } from './run-report.ts'

const EXIT_MISSED = 1
const EXIT_USAGE = 2

const RESULTS = fileURLToPath(new URL('../../locust/results', import.meta.url))

const args = process.argv.slice(2)
const command = parseCommand(args, process.env)
switch (command.kind) {
  case 'help':
    process.stdout.write(HELP)
    break
  case 'wrong':
    process.stderr.write(`tidemark: ${command.reason}.\nThe options are shown by: npm run load -- --help\n`)
    process.exitCode = EXIT_USAGE
    break
  case 'load':
    process.exitCode = await load(command.options)
}

async function load(options: LoadOptions): Promise<number> {
  using interrupts = watchInterrupts()
  try {
    const python = requirePython()
    if (options.moreOptions.includes('--help')) {
      process.stdout.write(locustHelp(python))
      return 0
    }
    if (!python.canDraw) say('there is no matplotlib, so no pictures: apt-get install python3-matplotlib')
    const now = new Date().toISOString().slice(0, 19).replaceAll(':', '')
    const folder = options.out ?? join(RESULTS, now)
    const context = {
      python,
      folder,
      prefix: '',
      csvPrefix: join(folder, 'locust'),
      output: process.stderr,
      stop: interrupts.stop,
    }
    const result = await runLoad(options, context)
    const report = join(folder, 'report.md')
    const markdown = runReport(result, ['npm run load', ...(args.length > 0 ? ['--', ...args] : [])].join(' '))
    await writeFile(report, markdown)
    process.stdout.write(`\n${markdown}\n`)
    say(`the report is ${report}`)
    for (const sentence of result.summary.missed) say(`missed: ${sentence}`)
    return result.summary.missed.length === 0 ? 0 : EXIT_MISSED
  } catch (error) {
    if (interrupts.stop.aborted) say('stopped')
    else if (error instanceof StartFailure) say(error.message)
    else say(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return EXIT_MISSED
  }
}

function say(text: string): void {
  process.stderr.write(`tidemark: ${text}\n`)
}
