import { SingleBar } from 'cli-progress'
import { formatCount } from '../lib/format.ts'
import type { LoadProgress } from './locust.ts'

/** Where no bar can be drawn, a line is printed so often. */
const LINE_EVERY_S = 15

export interface LoadDisplay extends Disposable {
  update(progress: LoadProgress): void
}

/** How far a load is: a bar on a terminal, a line now and then elsewhere. */
export function openDisplay(title: string, output: NodeJS.WriteStream): LoadDisplay {
  return output.isTTY ? openBar(title, output) : openLines(title, output)
}

function openBar(title: string, output: NodeJS.WriteStream): LoadDisplay {
  const bar = new SingleBar({
    stream: output,
    format: `${title} {bar} {value}/{total} s  {state}`,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
    linewrap: false,
    gracefulExit: false,
  })
  bar.start(1, 0, { state: 'starting' })
  return {
    update(progress) {
      bar.setTotal(progress.seconds)
      bar.update(progress.at, { state: describe(progress) })
    },
    [Symbol.dispose]: () => bar.stop(),
  }
}

function openLines(title: string, output: NodeJS.WriteStream): LoadDisplay {
  return {
    update(progress) {
      const { at, seconds } = progress
      if (at % LINE_EVERY_S === 0 || at >= seconds)
        output.write(`${title}: ${at} of ${seconds} s, ${describe(progress)}\n`)
    },
    [Symbol.dispose]() {},
  }
}

function describe({ requests, p95, failures }: LoadProgress): string {
  const failed = failures > 0 ? `, ${formatCount(failures)} FAILED` : ''
  return `${formatCount(requests)} requests/s, p95 ${p95 === null ? '-' : p95.toFixed(1)} ms${failed}`
}
