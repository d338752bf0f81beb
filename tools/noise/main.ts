import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { relative, resolve } from 'node:path'
import { type Command, flag, integer, parseCommandLine, runCommand, text } from '../lib/options.ts'
import { openProgress } from '../lib/progress.ts'
import { replaceSection } from '../lib/table.ts'
import { writePictures } from './pictures.ts'
import { writeRecordings } from './recordings.ts'
import { FULL, makeTables, QUICK, SEED, type Tables } from './tables.ts'

const SUMMARY_PAGE = new URL('../../docs/detection.md', import.meta.url)
const DETAILS_PAGE = new URL('../../docs/decisions/0024-choosing-detectors.md', import.meta.url)
const IMAGES = new URL('../../docs/images/', import.meta.url)

const COMMAND = {
  call: 'npm run noise --',
  summary:
    'Measures how noisy, how sensitive and how expensive each detector is, and writes the tables of docs/detection.md ' +
    'and of docs/decisions/0024-choosing-detectors.md.',
  options: {
    quick: flag('use a hundredth of the samples (seconds instead of minutes) and print the tables'),
    print: flag('print the tables instead of writing them'),
    seed: integer({ min: 0, max: 2 ** 31 - 1, default: SEED, help: 'of the random numbers of noise signals' }),
    pictures: flag('draw docs/images/detector-*.png instead'),
    recordings: text({
      placeholder: 'FOLDER',
      help: 'write the labelled recordings as CSV files with windows.json, for npm run backtest, instead',
    }),
  },
  examples: ['', '--quick', '--seed 1 --print', '--pictures', '--recordings recordings'],
} satisfies Command

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)

async function main(): Promise<number> {
  const { quick, print, seed, pictures, recordings } = parseCommandLine(COMMAND, process.argv.slice(2)).values
  if (pictures) {
    await mkdir(IMAGES, { recursive: true })
    for (const path of await writePictures(IMAGES)) process.stdout.write(`${relative('.', path)}\n`)
    return 0
  }
  if (recordings !== undefined) {
    const folder = resolve(process.env.INIT_CWD ?? '.', recordings)
    const files = await writeRecordings(folder, (quick ? QUICK : FULL).recordings)
    process.stdout.write(`${files} recordings, and their labels in windows.json, are in ${recordings}\n`)
    return 0
  }
  const { summary, details } = await measure(quick, seed)
  if (quick || print) process.stdout.write(`${summary}\n\n${details}\n`)
  else {
    await replaceIn(SUMMARY_PAGE, summary)
    await replaceIn(DETAILS_PAGE, details)
  }
  return 0
}

async function replaceIn(page: URL, tables: string): Promise<void> {
  await writeFile(page, replaceSection(await readFile(page, 'utf8'), 'npm run noise', tables))
}

async function measure(isQuick: boolean, seed: number): Promise<Tables> {
  const steps = makeTables(isQuick ? QUICK : FULL, seed)
  let step = steps.next()
  using progress = openProgress({ output: process.stderr, total: step.done === true ? 1 : step.value.total })
  for (; step.done !== true; step = steps.next()) {
    progress.update(step.value.done, step.value.row)
    // Between two rows the event loop draws the bar and handles Ctrl-C.
    await new Promise(resolve => setImmediate(resolve))
  }
  return step.value
}
