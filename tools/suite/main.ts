import { basename } from 'node:path'
import { formatDuration } from '../lib/format.ts'
import { runCommand } from '../lib/options.ts'
import { openProgress } from '../lib/progress.ts'
import { findServer } from '../stack/redis.ts'
import { add, closingLine, NOTHING } from './counts.ts'
import { BENCH_STEP, CONTAINERS_STEP } from './optional-steps.ts'
import { COMMAND, readGroups } from './options.ts'
import { ensurePrograms } from './programs.ts'
import type { Group, Step, StepResult } from './step.ts'
import { BOUNDARIES_STEP, taskStep, UNIT_STEP } from './turbo-step.ts'
import { vitestStep } from './vitest-step.ts'

const EXIT_INTERRUPTED = 130

/** How often a running step is printed if the output is not a terminal. */
const LINE_EVERY_MS = 15_000
const INTEGRATION_LIMIT_MS = 8 * 60_000
const E2E_LIMIT_MS = 15 * 60_000

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => run(readGroups(args)))

/** Runs the steps one by one: two at once on two cores would disturb each other's timing. */
async function run(groups: ReadonlySet<Group>): Promise<number> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  const { stdout } = process
  const say = (text: string): void => void stdout.write(`tidemark: ${text}\n`)
  if (groups.has('integration') || groups.has('e2e')) await ensurePrograms(say)

  let total = NOTHING
  for (const step of allSteps().filter(({ group }) => groups.has(group))) {
    const begin = performance.now()
    const result = await runStep(step, stop.signal)
    if (stop.signal.aborted) {
      say(`stopped during ${step.title}`)
      return EXIT_INTERRUPTED
    }
    showResult(step, result, performance.now() - begin)
    total = add(total, result.counts)
  }
  stdout.write(`\n${closingLine(total)}\n`)
  return total.failed > 0 ? 1 : 0
}

async function runStep(step: Step, stop: AbortSignal): Promise<StepResult> {
  using progress = openProgress({ output: process.stdout, title: `  ${step.title}`, lineEveryMs: LINE_EVERY_MS })
  progress.update(0, 'running')
  return await step.run({
    stop,
    onProgress({ passed, failed, skipped }) {
      const tests = `${passed + failed + skipped} tests`
      progress.update(0, failed > 0 ? `${tests}, ${failed} FAILED` : tests)
    },
  })
}

function showResult({ title }: Step, { counts, note, output }: StepResult, durationMs: number): void {
  const mark = counts.failed > 0 ? 'FAILED' : counts.passed > 0 ? 'ok' : 'SKIPPED'
  const line = `${mark.padEnd(8)}${title.padEnd(22)}${closingLine(counts).padEnd(36)}${formatDuration(durationMs)}`
  process.stdout.write(`${line}${note === undefined ? '' : `  (${note})`}\n`)
  if (counts.failed > 0 && output !== '') process.stdout.write(`\n${output}\n\n`)
}

function allSteps(): Step[] {
  // Only the containers step uses Docker; the others use the server on PATH, to test both.
  const server = findServer()
  const isChosen = process.env.TIDEMARK_TEST_REDIS !== undefined || server === undefined
  const env: Record<string, string> = isChosen ? {} : { TIDEMARK_TEST_REDIS: basename(server) }
  return [
    taskStep('format and lint', 'lint'),
    taskStep('types', 'typecheck'),
    BOUNDARIES_STEP,
    UNIT_STEP,
    vitestStep('integration tests', { project: 'integration', limitMs: INTEGRATION_LIMIT_MS, env }),
    vitestStep('end to end', { project: 'e2e', limitMs: E2E_LIMIT_MS, env }),
    CONTAINERS_STEP,
    BENCH_STEP,
  ]
}
