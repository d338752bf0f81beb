import { readFile, writeFile } from 'node:fs/promises'
import { type Command, flag, parseCommandLine, runCommand } from '../lib/options.ts'
import { openProgress } from '../lib/progress.ts'
import { replaceSection } from '../lib/table.ts'
import { FULL, makeTables, QUICK } from './tables.ts'

const PAGE = new URL('../../docs/detection.md', import.meta.url)

const COMMAND = {
  call: 'npm run noise --',
  summary:
    'Measures how noisy, how sensitive and how expensive each detector is, and writes the tables of docs/detection.md.',
  options: {
    quick: flag('use a hundredth of the samples (seconds instead of minutes) and print the tables'),
    print: flag('print the tables instead of writing them'),
  },
  examples: ['', '--quick'],
} satisfies Command

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)

async function main(): Promise<number> {
  const { quick, print } = parseCommandLine(COMMAND, process.argv.slice(2)).values
  const tables = await measure(quick)
  if (quick || print) process.stdout.write(`${tables}\n`)
  else await writeFile(PAGE, replaceSection(await readFile(PAGE, 'utf8'), 'npm run noise', tables))
  return 0
}

async function measure(isQuick: boolean): Promise<string> {
  const steps = makeTables(isQuick ? QUICK : FULL)
  let step = steps.next()
  using progress = openProgress({ output: process.stderr, total: step.done === true ? 1 : step.value.total })
  for (; step.done !== true; step = steps.next()) {
    progress.update(step.value.done, step.value.row)
    // Between two rows the event loop draws the bar and handles Ctrl-C.
    await new Promise(resolve => setImmediate(resolve))
  }
  return step.value
}
