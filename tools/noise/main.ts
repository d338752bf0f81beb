import { readFile, writeFile } from 'node:fs/promises'
import { SingleBar } from 'cli-progress'
import { withTables } from './document.ts'
import { HELP, parseNoise } from './options.ts'
import { FULL, makeTables, QUICK } from './tables.ts'

const document = new URL('../../docs/detection.md', import.meta.url)

process.exitCode = await main()

async function main(): Promise<number> {
  const command = parseNoise(process.argv.slice(2))
  if (command.kind === 'help') {
    process.stdout.write(HELP)
    return 0
  }
  if (command.kind === 'wrong') {
    process.stderr.write(`${command.reason}. --help shows what there is.\n`)
    return 2
  }
  const tables = await measure(command.isQuick)
  if (command.isPrinted) process.stdout.write(`${tables}\n`)
  else await writeFile(document, withTables(await readFile(document, 'utf8'), tables))
  return 0
}

async function measure(isQuick: boolean): Promise<string> {
  const format = '{bar} {percentage} %, {eta_formatted} left, {what}'
  const bar = new SingleBar({ stream: process.stderr, format, barsize: 24, clearOnComplete: true, hideCursor: true })
  const steps = makeTables(isQuick ? QUICK : FULL)
  try {
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true) return step.value
      const { done, of, what } = step.value
      if (!process.stderr.isTTY) process.stderr.write(`${done + 1} of ${of}: ${what}\n`)
      else if (done === 0) bar.start(of, 0, { what })
      else bar.update(done, { what })
      // The bar is drawn, and Ctrl-C heard, between two parts.
      await new Promise(resolve => setImmediate(resolve))
    }
  } finally {
    bar.stop()
  }
}
