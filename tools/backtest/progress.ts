import { SingleBar } from 'cli-progress'

/** Below this a bar would flash by. */
const BYTES_MIN = 1_000_000
/** How often a line is printed where no bar can be drawn. */
const LINE_EVERY_MS = 5000

export interface Progress {
  /** Bytes read, of all files together. */
  update(bytes: number, what: string): void
  end(): void
}

/** How far a run is: a bar on a terminal, a line now and then elsewhere. */
export function openProgress(output: NodeJS.WriteStream, bytes: number): Progress {
  if (bytes < BYTES_MIN) return { update() {}, end() {} }
  if (!output.isTTY) {
    let lineAt = performance.now()
    return {
      update(done, what) {
        if (performance.now() - lineAt < LINE_EVERY_MS) return
        lineAt = performance.now()
        output.write(`${Math.floor((done / bytes) * 100)} %, ${what}\n`)
      },
      end() {},
    }
  }
  const bar = new SingleBar({
    stream: output,
    format: '{bar} {percentage} %, {eta_formatted} left, {what}',
    barsize: 24,
    hideCursor: true,
    linewrap: false,
    clearOnComplete: true,
  })
  bar.start(bytes, 0, { what: '' })
  return { update: (done, what) => bar.update(Math.min(done, bytes), { what }), end: () => bar.stop() }
}
