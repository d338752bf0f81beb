import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Command, flag, parseCommandLine, runCommand } from '../lib/options.ts'
import { readClusterFigures } from './cluster-section.ts'
import { interruptible, say } from './interruptible.ts'
import { type LoadResult, runLoad } from './load.ts'
import { draw } from './pictures.ts'
import { requirePython } from './python.ts'
import { REPORT_SOURCE, type ReportParts, reportPage } from './report-page.ts'
import { startStack } from './stack.ts'
import { runStream, streamPanels } from './stream.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** The rows of the load table. The first is shown in full: it runs on an idle machine. */
const ROWS = [
  { shape: 'steady', rps: 500, seconds: 300, analyzers: 2 },
  { shape: 'steady', rps: 250, seconds: 60, analyzers: 2 },
  { shape: 'steady', rps: 500, seconds: 60, analyzers: 1 },
  { shape: 'steady', rps: 1000, seconds: 60, analyzers: 2 },
  { shape: 'ramp', rps: 1000, seconds: 100, analyzers: 2 },
  { shape: 'spike', rps: 1000, seconds: 100, analyzers: 2 },
] as const
const QUICK_SECONDS = 10
const SEED = 1
const STREAM_PICTURE = 'report-stream.png'

const COMMAND = {
  call: 'npm run report --',
  summary:
    'Puts Tidemark under several loads, sends it a stable stream with a burst, and writes docs/report.md and its ' +
    'pictures. Takes about a quarter of an hour, in which nothing else should run on the machine.',
  options: { quick: flag(`try it out: ${QUICK_SECONDS} s per load, and the report goes to locust/results/`) },
  examples: ['', '--quick'],
} satisfies Command

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => {
  const { quick } = parseCommandLine(COMMAND, args).values
  return interruptible(stop => makeReport(quick, stop))
})

async function makeReport(isQuick: boolean, stop: AbortSignal): Promise<number> {
  const python = requirePython()
  const time = new Date().toISOString()
  const results = join(ROOT, 'locust', 'results', `report-${time.slice(0, 19).replaceAll(':', '')}`)
  const docs = isQuick ? results : join(ROOT, 'docs')
  const images = join(docs, 'images')
  await mkdir(images, { recursive: true })
  await mkdir(results, { recursive: true })

  const loads: LoadResult[] = []
  for (const [i, row] of ROWS.entries()) {
    const analyzers = row.analyzers === 1 ? '1 analyzer' : `${row.analyzers} analyzers`
    say(`${i + 1} of ${ROWS.length + 1}: ${row.shape} load, ${row.rps} requests/s, ${analyzers}`)
    const seconds = isQuick ? QUICK_SECONDS : row.seconds
    const load = { ...row, seconds, url: undefined, seed: SEED, hostHeader: undefined, moreOptions: [] }
    // Only the pictures of the main row are shown; the others stay with their CSV files.
    const place = i === 0 ? { folder: images, prefix: 'report-' } : { folder: results, prefix: `${i + 1}-` }
    const csvPrefix = join(results, `${i + 1}-locust`)
    loads.push(await runLoad(load, { ...place, csvPrefix, python, output: process.stderr, stop }))
  }
  say(`${ROWS.length + 1} of ${ROWS.length + 1}: the stable stream and the burst`)
  await using stack = await startStack(2)
  const stream = await runStream(stack.url, SEED)
  const rows = streamPanels(stream).map(panel => [panel])
  await draw(join(images, STREAM_PICTURE), { title: 'A stable stream and a burst', xTitle: 'samples', rows })
  const page = join(docs, 'report.md')
  const cluster = readClusterFigures()
  const parts = {
    date: time.slice(0, 10),
    command: 'npm run report',
    loads,
    cluster,
    stream,
    streamPicture: STREAM_PICTURE,
  }
  // The source of the page's figures: a test compares both. The cluster's have their own.
  if (!isQuick) await writeFile(REPORT_SOURCE, `${JSON.stringify(withoutTimelines(parts))}\n`)
  await writeFile(page, reportPage({ ...parts, imagesFolder: 'images' }))
  say(`the report is ${page}`)
  return 0
}

/** What the page shows as pictures only is not kept. */
function withoutTimelines({ cluster: _, loads, ...parts }: Omit<ReportParts, 'imagesFolder'>) {
  const shown = loads.map(load => ({ ...load, summary: { ...load.summary, timeline: [], tracks: [] } }))
  return { ...parts, loads: shown }
}
