import { SingleBar } from 'cli-progress'
import type { RunProgress } from './run.ts'

/** How often a line is printed where no bar can be drawn. */
const LINE_EVERY_MS = 10_000

export interface Progress {
  update(state: RunProgress): void
  end(): void
}

/** How far a run is: a bar on a terminal, a line now and then elsewhere. */
export function openProgress(output: NodeJS.WriteStream, samples: number): Progress {
  if (!output.isTTY) {
    let lineAt = Number.NEGATIVE_INFINITY
    return {
      update(state) {
        const now = performance.now()
        if (now - lineAt < LINE_EVERY_MS) return
        lineAt = now
        output.write(
          `${state.accepted} of ${samples} samples, ${state.faults} of ${state.faultsPlanned} faults, ` +
            `${state.breaches} breaches, ${state.what}\n`,
        )
      },
      end() {},
    }
  }
  const bar = new SingleBar({
    stream: output,
    format: '{bar} {accepted} samples, {faults} of {faultsPlanned} faults, {breaches} breaches, {what}',
    barsize: 24,
    hideCursor: true,
    linewrap: false,
  })
  bar.start(samples, 0, { accepted: 0, faults: 0, faultsPlanned: 0, breaches: 0, what: 'starting' })
  return {
    update: state => bar.update(Math.min(state.accepted, samples), state),
    end: () => bar.stop(),
  }
}
