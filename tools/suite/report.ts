import { formatDuration } from '../lib/format.ts'
import type { Step, StepResult } from '../lib/step.ts'
import { type Counts, closingLine, NOTHING } from './counts.ts'

/** How often a step that still runs is mentioned where its line cannot be redrawn. */
const LINE_EVERY_MS = 15_000
const REDRAW_MS = 250

/** What is shown while a step runs, and what stays of it. */
export interface StepDisplay extends Disposable {
  progress(done: Counts): void
}

export interface ReportOptions {
  readonly output: NodeJS.WriteStream
  readonly now: () => number
}

/** Shows that a step runs: a line that is redrawn on a terminal, one now and then elsewhere. */
export function showRunning(step: Step, { output, now }: ReportOptions): StepDisplay {
  const begin = now()
  let done = NOTHING
  const describe = (): string => {
    const tests = done.passed + done.failed + done.skipped
    const failed = done.failed > 0 ? `, ${done.failed} FAILED` : ''
    return `  ${step.title} ... ${tests > 0 ? `${tests} tests${failed}, ` : ''}${formatDuration(now() - begin)}`
  }
  const draw = (): void => void output.write(output.isTTY ? `\r\x1b[K${describe()}` : `${describe()}\n`)
  if (output.isTTY) draw()
  const timer = setInterval(draw, output.isTTY ? REDRAW_MS : LINE_EVERY_MS)
  return {
    progress(counts) {
      done = counts
    },
    [Symbol.dispose]() {
      clearInterval(timer)
      if (output.isTTY) output.write('\r\x1b[K')
    },
  }
}

/** The line that stays of a step, and its output when something failed. */
export function showResult(step: Step, result: StepResult, durationMs: number, output: NodeJS.WriteStream): void {
  const mark = result.counts.failed > 0 ? 'FAILED' : result.counts.passed > 0 ? 'ok' : 'SKIPPED'
  const note = result.note === undefined ? '' : `  (${result.note})`
  output.write(
    `${mark.padEnd(8)}${step.title.padEnd(22)}${closingLine(result.counts).padEnd(36)}${formatDuration(durationMs)}${note}\n`,
  )
  if (result.counts.failed > 0 && result.output !== '') output.write(`\n${result.output}\n\n`)
}
