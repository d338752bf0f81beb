import { MultiBar } from 'cli-progress'
import { formatCount, formatDuration, formatShare } from '../lib/format.ts'

/** How often a line is printed where no bar can be drawn. */
const LINE_EVERY_MS = 2000

export interface ProgressState {
  /** Bytes of the file whose samples are analysed. */
  readonly bytes: number
  readonly analysed: number
  readonly flagged: number
}

export interface Progress {
  update(state: ProgressState): void
  /** A line that stays. */
  say(text: string): void
  end(): void
}

export interface ProgressOptions {
  readonly output: NodeJS.WriteStream
  /** Bytes of the file; 0 when nobody knows, as of a pipe. */
  readonly size: number
  readonly isQuiet: boolean
  readonly now: () => number
}

/** How far the replay is: a bar on a terminal, a line now and then elsewhere, nothing when quiet. */
export function openProgress(options: ProgressOptions): Progress {
  if (options.isQuiet) return { update() {}, say: text => void options.output.write(`${text}\n`), end() {} }
  return options.output.isTTY && options.size > 0 ? openBar(options) : openLines(options)
}

function openBar({ output, size, now }: ProgressOptions): Progress {
  const begin = now()
  const bars = new MultiBar({
    stream: output,
    format: '{bar} {percent} %  {samples} analysed, {flagged} flagged, {rate}/s, {left} left',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
    linewrap: false,
    // Ctrl-C is the start script's own business.
    gracefulExit: false,
  })
  const bar = bars.create(size, 0, { percent: 0, samples: 0, flagged: 0, rate: 0, left: '?' })
  return {
    update({ bytes, analysed, flagged }) {
      const elapsed = now() - begin
      bar.update(Math.min(bytes, size), {
        percent: Math.floor((bytes / size) * 100),
        samples: formatCount(analysed),
        flagged: formatCount(flagged),
        rate: formatCount(Math.round(analysed / (elapsed / 1000 || 1))),
        left: bytes > 0 ? formatDuration((elapsed / bytes) * (size - bytes)) : '?',
      })
    },
    say: text => void bars.log(`${text}\n`),
    end() {
      bars.stop()
    },
  }
}

function openLines({ output, size, now }: ProgressOptions): Progress {
  let lineAt = now()
  return {
    update({ bytes, analysed, flagged }) {
      if (now() - lineAt < LINE_EVERY_MS) return
      lineAt = now()
      const share = size > 0 ? `${formatShare(bytes, size)} of the file, ` : ''
      output.write(`  ${share}${formatCount(analysed)} samples analysed, ${formatCount(flagged)} flagged\n`)
    },
    say: text => void output.write(`${text}\n`),
    end() {},
  }
}
