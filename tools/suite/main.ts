import { basename } from 'node:path'
import { formatDuration } from '../lib/format.ts'
import { runCommand } from '../lib/options.ts'
import { openProgress } from '../lib/progress.ts'
import { findServer } from '../stack/redis.ts'
import { add, closingLine, NOTHING } from './counts.ts'
import { BENCH_STEP, CONTAINERS_STEP } from './optional-steps.ts'
import { COMMAND, readGroups } from './options.ts'
import { ensurePrograms } from './programs.ts'
import type { Group, Step, StepContext, StepResult } from './step.ts'
import { BOUNDARIES_STEP, taskStep, UNIT_STEP } from './turbo-step.ts'
import { vitestStep } from './vitest-step.ts'

const EXIT_INTERRUPTED = 130

/** How often a running step is printed if the output is not a terminal. */
const LINE_EVERY_MS = 15_000
const NAME_LENGTH_MAX = 80

/** Only ends a hang: a machine a fifth as fast as one that needs a quarter of an hour must pass. */
const SUITE_LIMIT_MS = 80 * 60_000

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, () => run(readGroups(args)))

/** Runs the steps one by one: two at once on two cores would disturb each other's timing. */
async function run(groups: ReadonlySet<Group>): Promise<number> {
  const stop = new AbortController()
  const limit = AbortSignal.timeout(SUITE_LIMIT_MS)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  const { stdout } = process
  const say = (text: string): void => void stdout.write(`tidemark: ${text}\n`)
  if (groups.has('integration') || groups.has('e2e')) await ensurePrograms(say)

  let total = NOTHING
  for (const step of allSteps().filter(({ group }) => groups.has(group))) {
    const begin = performance.now()
    const result = await runStep(step, { stop: stop.signal, limit })
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

async function runStep(step: Step, signals: Pick<StepContext, 'stop' | 'limit'>): Promise<StepResult> {
  if (signals.limit.aborted) {
    return { counts: { ...NOTHING, failed: 1 }, output: `it did not run: ${SUITE_LIMIT_MS / 60_000} minutes are over` }
  }
  using progress = openProgress({ output: process.stdout, title: `  ${step.title}`, lineEveryMs: LINE_EVERY_MS })
  progress.update(0, 'running')
  return await step.run({
    ...signals,
    onProgress({ passed, failed, skipped }, running) {
      const tests = `${passed + failed + skipped} tests${failed > 0 ? `, ${failed} FAILED` : ''}`
      const name = running?.replace(/^\S*\//, '').slice(0, NAME_LENGTH_MAX)
      progress.update(0, name === undefined ? tests : `${tests}, running: ${name}`)
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
    vitestStep('integration tests', { project: 'integration', env }),
    vitestStep('end to end', { project: 'e2e', env }),
    CONTAINERS_STEP,
    BENCH_STEP,
  ]
}
