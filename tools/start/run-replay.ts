import { StartFailure } from '../stack/stack.ts'
import { readCsv } from './csv.ts'
import type { CsvFile } from './csv-file.ts'
import { createGatewayClient } from './gateway-client.ts'
import { openProgress } from './progress.ts'
import { replay } from './replay.ts'
import type { RunContext } from './run-feed.ts'
import { Summary } from './summary.ts'

/** Replays a file and prints what was flagged; returns the exit code: 1 when there was nothing to analyse in it. */
export async function runReplay({ stack, options, stop, setOnWarning }: RunContext, file: CsvFile): Promise<number> {
  const summary = new Summary()
  const begin = performance.now()
  const progress = openProgress({
    output: process.stdout,
    size: file.size,
    isQuiet: options.isQuiet,
    now: () => performance.now(),
  })
  setOnWarning(text => progress.say(`tidemark: ${text}`))
  const rows = readCsv(file.handle.createReadStream({ autoClose: false }), file.key)
  try {
    const client = createGatewayClient(stack.url)
    await replay({ rows, speed: options.speed, client, summary, progress }, stop)
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('CSV_')) {
      throw new StartFailure(`${file.name} is no CSV file: ${error.message}`, { cause: error })
    }
    throw error
  } finally {
    progress.end()
  }
  const title = stop.aborted ? `Stopped within ${file.name}; so far:` : `Replayed ${file.name}:`
  process.stdout.write(`\n${summary.render({ title, durationMs: performance.now() - begin })}\n`)
  if (stop.aborted) return 0
  return summary.analysed === 0 || summary.unknown > 0 ? 1 : 0
}
