import { basename } from 'node:path'
import { ensureKubectl } from '../lib/kubectl.ts'
import type { Step } from '../lib/step.ts'
import { findServer } from '../stack/redis.ts'
import { benchStep } from './bench-step.ts'
import { checkSteps } from './check-step.ts'
import { containersStep } from './containers-step.ts'
import { add, closingLine, NOTHING } from './counts.ts'
import { type Group, HELP, parseCommand } from './options.ts'
import { ensurePrograms, type ProgramSetup } from './program-setup.ts'
import { showResult, showRunning } from './report.ts'
import { vitestStep } from './vitest-step.ts'

const EXIT_USAGE = 2
const EXIT_INTERRUPTED = 130

const MINUTE_MS = 60_000
const UNIT_LIMIT_MS = 6 * MINUTE_MS
const INTEGRATION_LIMIT_MS = 8 * MINUTE_MS
const E2E_LIMIT_MS = 15 * MINUTE_MS

const command = parseCommand(process.argv.slice(2))
switch (command.kind) {
  case 'help':
    process.stdout.write(HELP)
    break
  case 'wrong':
    process.stderr.write(`tidemark: ${command.reason}.\nThe options are shown by: npm test -- --help\n`)
    process.exitCode = EXIT_USAGE
    break
  case 'run':
    process.exitCode = await run(command.groups)
}

/** Runs the steps one after the other: on two cores side by side they would only disturb each other's timing. */
async function run(groups: ReadonlySet<Group>): Promise<number> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  const { stdout } = process
  if (groups.has('integration') || groups.has('e2e')) sayPrograms(ensurePrograms(say))
  if (groups.has('e2e')) sayPrograms(ensureKubectl(say))

  let total = NOTHING
  for (const step of allSteps().filter(({ group }) => groups.has(group))) {
    const begin = performance.now()
    const display = showRunning(step, { output: stdout, now: () => performance.now() })
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
  // The container step uses a Docker engine; this one is to use the server on PATH, so that both are tried.
  const redis = process.env.TIDEMARK_TEST_REDIS === undefined ? onPath() : {}
  return [
    ...checkSteps(),
    vitestStep('unit', 'unit tests', { project: 'unit', limitMs: UNIT_LIMIT_MS }),
    vitestStep('integration', 'integration tests', {
      project: 'integration',
      limitMs: INTEGRATION_LIMIT_MS,
      env: redis,
    }),
    vitestStep('e2e', 'end to end', { project: 'e2e', limitMs: E2E_LIMIT_MS, env: redis }),
    containersStep(),
    benchStep(),
  ]
}

function onPath(): Record<string, string> {
  const program = findServer()
  return program === undefined ? {} : { TIDEMARK_TEST_REDIS: basename(program) }
}

function sayPrograms({ installed, missing, remedy, output }: ProgramSetup): void {
  if (installed.length > 0) say(`installed ${installed.join(', ')}`)
  if (missing.length === 0) return
  if (output !== '') say(output)
  say(
    `THERE IS NO ${missing.join(', NO ')}: the tests that need them ` +
      `${process.env.CI === 'true' ? 'will fail' : 'are SKIPPED'}. To run them: ${remedy}`,
  )
}

function say(text: string): void {
  process.stdout.write(`tidemark: ${text}\n`)
}
