import { MultiBar } from 'cli-progress'
import { formatDuration } from './format.ts'

const LINE_EVERY_MS = 10_000

interface ProgressOptions {
  readonly output: NodeJS.WriteStream
  /** Stands before the progress, such as the name of a step. */
  readonly title?: string
  /** What `done` counts to. Without it, only the text and the elapsed time are shown. */
  readonly total?: number
  /** How often a line is printed where no bar can be drawn. */
  readonly lineEveryMs?: number
  readonly isQuiet?: boolean
}

export interface Progress extends Disposable {
  update(done: number, text: string): void
  /** Prints a line that stays. */
  say(text: string): void
}

/** Shows progress: a bar on a terminal, lines elsewhere, nothing when quiet. */
export function openProgress(options: ProgressOptions): Progress {
  if (options.isQuiet === true) {
    return { update() {}, say: text => void options.output.write(`${text}\n`), [Symbol.dispose]() {} }
  }
  return options.output.isTTY ? openBar(options) : openLines(options)
}

function openBar({ output, title = '', total }: ProgressOptions): Progress {
  const withTotal = '{title}{bar} {percentage} %, {eta_formatted} left, {text}'
  const bars = new MultiBar({
    stream: output,
    format: total === undefined ? '{title}{text}, {duration_formatted}' : withTotal,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
    linewrap: false,
    clearOnComplete: true,
    // The programs handle Ctrl-C themselves.
    gracefulExit: false,
  })
  const payload = { title: title === '' ? '' : `${title} `, text: 'starting' }
  const bar = bars.create(total ?? 1, 0, payload)
  return {
    update: (done, text) => bar.update(Math.min(done, total ?? 0), { text }),
    say: text => void bars.log(`${text}\n`),
    [Symbol.dispose]: () => bars.stop(),
  }
}

function openLines({ output, title = '', total, lineEveryMs = LINE_EVERY_MS }: ProgressOptions): Progress {
  const begin = performance.now()
  let lineAt = begin
  let line = 'starting'
  const print = (): void => {
    lineAt = performance.now()
    output.write(`${title === '' ? '' : `${title}: `}${line}\n`)
  }
  // A timer of its own: the program may have nothing to report for a long time.
  const timer = setInterval(() => {
    if (performance.now() - lineAt >= lineEveryMs) print()
  }, lineEveryMs)
  return {
    update(done, text) {
      const leftMs = total === undefined ? 0 : ((performance.now() - begin) / done) * (total - done)
      const left = done > 0 ? `${formatDuration(leftMs)} left, ` : ''
      line = total === undefined ? text : `${Math.floor((done / total) * 100)} %, ${left}${text}`
      if (performance.now() - lineAt >= lineEveryMs) print()
    },
    say: text => void output.write(`${text}\n`),
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
