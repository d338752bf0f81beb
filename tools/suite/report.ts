import { formatDuration } from '../lib/format.ts'
import { type Counts, closingLine, NOTHING } from './counts.ts'
import type { Step, StepResult } from './step.ts'

/** How often a running step is printed if the output is not a terminal. */
const LINE_EVERY_MS = 15_000
const REDRAW_MS = 250

export interface StepDisplay extends Disposable {
  progress(done: Counts): void
}

/** Shows that a step runs: on a terminal as a line that is redrawn, elsewhere as a line every few seconds. */
export function showRunning({ title }: Step, output: NodeJS.WriteStream): StepDisplay {
  const begin = performance.now()
  let done = NOTHING
  const describe = (): string => {
    const tests = done.passed + done.failed + done.skipped
    const failed = done.failed > 0 ? `, ${done.failed} FAILED` : ''
    return `  ${title} ... ${tests > 0 ? `${tests} tests${failed}, ` : ''}${formatDuration(performance.now() - begin)}`
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

/** Prints the line of a finished step, and its output if something failed. */
export function showResult(step: Step, result: StepResult, durationMs: number, output: NodeJS.WriteStream): void {
  const mark = result.counts.failed > 0 ? 'FAILED' : result.counts.passed > 0 ? 'ok' : 'SKIPPED'
  const note = result.note === undefined ? '' : `  (${result.note})`
  output.write(
    `${mark.padEnd(8)}${step.title.padEnd(22)}${closingLine(result.counts).padEnd(36)}${formatDuration(durationMs)}${note}\n`,
  )
  if (result.counts.failed > 0 && result.output !== '') output.write(`\n${result.output}\n\n`)
}
