import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { watchInterrupts } from '../stack/interrupts.ts'
import { StartFailure } from '../stack/stack.ts'
import { type LoadResult, runLoad } from './load.ts'
import { draw } from './pictures.ts'
import { requirePython } from './python.ts'
import { reportPage } from './report-page.ts'
import { startStack } from './stack.ts'
import { runStream, streamPanels } from './stream.ts'

const EXIT_FAILED = 1
const EXIT_USAGE = 2
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Rows of the load table; the one that is shown in full is the replaced service's load. It is made first, so that what the
 * machine did before is nothing of ours.
 */
const ROWS = [
  { shape: 'steady', rps: 500, seconds: 300, analyzers: 2, isMain: true },
  { shape: 'steady', rps: 250, seconds: 60, analyzers: 2 },
  { shape: 'steady', rps: 500, seconds: 60, analyzers: 1 },
  { shape: 'steady', rps: 1000, seconds: 60, analyzers: 2 },
  { shape: 'ramp', rps: 1000, seconds: 100, analyzers: 2 },
  { shape: 'spike', rps: 1000, seconds: 100, analyzers: 2 },
] as const
const QUICK_SECONDS = 10
const SEED = 1

const HELP = `Puts Tidemark under several loads, sends it a stable stream with a burst, and writes docs/report.md and its pictures.
It takes about a quarter of an hour; nothing else should run meanwhile.

Usage: npm run report [-- options]

Options:
  --quick           each load takes ${QUICK_SECONDS} s, and the report goes to locust/results/: a look whether it works
  --help            this text
`

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  let isQuick: boolean
  try {
    const options = { quick: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const
    const { values } = parseArgs({ args: [...args], options })
    if (values.help === true) {
      process.stdout.write(HELP)
      return 0
    }
    isQuick = values.quick === true
  } catch (error) {
    say(error instanceof Error ? error.message : String(error))
    return EXIT_USAGE
  }
  using interrupts = watchInterrupts()
  try {
    await makeReport(isQuick, interrupts.stop)
    return 0
  } catch (error) {
    if (interrupts.stop.aborted) say('stopped')
    else if (error instanceof StartFailure) say(error.message)
    else say(error instanceof Error ? (error.stack ?? error.message) : String(error))
    return EXIT_FAILED
  }
}

async function makeReport(isQuick: boolean, stop: AbortSignal): Promise<void> {
  const python = requirePython()
  const time = new Date().toISOString()
  const results = join(ROOT, 'locust', 'results', `report-${time.slice(0, 19).replaceAll(':', '')}`)
  const docs = isQuick ? results : join(ROOT, 'docs')
  const images = join(docs, 'images')
  await mkdir(images, { recursive: true })
  await mkdir(results, { recursive: true })

  const loads: LoadResult[] = []
  let main: LoadResult | undefined
  for (const [i, row] of ROWS.entries()) {
    say(
      `${i + 1} of ${ROWS.length + 1}: ${row.shape} load, ${row.rps} requests/s, ${row.analyzers === 1 ? '1 analyzer' : `${row.analyzers} analyzers`}`,
    )
    const isMain = 'isMain' in row
    const seconds = isQuick ? QUICK_SECONDS : row.seconds
    const load = { ...row, seconds, url: undefined, seed: SEED, hostHeader: undefined, moreOptions: [] }
    // Pictures of the rows that are not shown in full stay with their CSV.
    const place = isMain ? { folder: images, prefix: 'report-' } : { folder: results, prefix: `${i + 1}-` }
    const csvPrefix = join(results, `${i + 1}-locust`)
    const result = await runLoad(load, { ...place, csvPrefix, python, output: process.stderr, stop })
    loads.push(result)
    if (isMain) main = result
  }
  if (main === undefined) throw new Error('no row is the main one')

  say(`${ROWS.length + 1} of ${ROWS.length + 1}: the stable stream and the burst`)
  await using stack = await startStack(2)
  const stream = await runStream(stack.url, SEED)
  const streamPicture = python.canDraw ? 'report-stream.png' : undefined
  if (streamPicture !== undefined) {
    const panels = streamPanels(stream)
    await draw(
      [{ file: join(images, streamPicture), title: 'A stable stream and a burst', xlabel: 'samples', panels }],
      python,
    )
  }
  const page = join(docs, 'report.md')
  const parts = {
    date: time.slice(0, 10),
    command: 'npm run report',
    loads,
    main,
    stream,
    streamPicture,
    imagesFolder: 'images',
  }
  await writeFile(page, reportPage(parts))
  say(`the report is ${page}`)
}

function say(text: string): void {
  process.stderr.write(`tidemark: ${text}\n`)
}
