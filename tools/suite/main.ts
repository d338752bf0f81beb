import { basename } from 'node:path'
import { runCommand } from '../lib/options.ts'
import { findServer } from '../stack/redis.ts'
import { benchStep } from './bench-step.ts'
import { containersStep } from './containers-step.ts'
import { add, closingLine, NOTHING } from './counts.ts'
import { COMMAND, readGroups } from './options.ts'
import { ensurePrograms } from './programs.ts'
import { showResult, showRunning } from './report.ts'
import type { Group, Step } from './step.ts'
import { boundariesStep, taskStep, unitStep } from './turbo-step.ts'
import { vitestStep } from './vitest-step.ts'

const EXIT_INTERRUPTED = 130

const MINUTE_MS = 60_000
const INTEGRATION_LIMIT_MS = 8 * MINUTE_MS
const E2E_LIMIT_MS = 15 * MINUTE_MS

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => run(readGroups(args)))

/** Runs the steps one after the other: two at once on two cores would disturb each other's timing. */
async function run(groups: ReadonlySet<Group>): Promise<number> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  const { stdout } = process
  const say = (text: string): void => void stdout.write(`tidemark: ${text}\n`)
  if (groups.has('integration') || groups.has('e2e')) await ensurePrograms(say)

  let total = NOTHING
  for (const step of allSteps().filter(({ group }) => groups.has(group))) {
    const begin = performance.now()
    const display = showRunning(step, stdout)
    const result = await step.run({ stop: stop.signal, onProgress: done => display.progress(done) })
    display[Symbol.dispose]()
    if (stop.signal.aborted) {
      say(`stopped during ${step.title}`)
      return EXIT_INTERRUPTED
    }
    showResult(step, result, performance.now() - begin, stdout)
    total = add(total, result.counts)
  }
  stdout.write(`\n${closingLine(total)}\n`)
  return total.failed > 0 ? 1 : 0
}

function allSteps(): Step[] {
  // Only the containers step uses a Docker engine; the others use the server on PATH, so that both are tested.
  const server = findServer()
  const isChosen = process.env.TIDEMARK_TEST_REDIS !== undefined || server === undefined
  const env: Record<string, string> = isChosen ? {} : { TIDEMARK_TEST_REDIS: basename(server) }
  return [
    taskStep('format and lint', 'lint'),
    taskStep('types', 'typecheck'),
    boundariesStep(),
    unitStep('unit tests'),
    vitestStep('integration tests', { project: 'integration', limitMs: INTEGRATION_LIMIT_MS, env }),
    vitestStep('end to end', { project: 'e2e', limitMs: E2E_LIMIT_MS, env }),
    containersStep(),
    benchStep(),
  ]
}
