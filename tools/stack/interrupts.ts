/** npm repeats the Ctrl-C that the terminal sends to all: signals within this time are one. */
const SAME_INTERRUPT_MS = 700

/** How long the program waits for its parts after the second Ctrl-C before it exits. */
const HURRY_MS = 2000

const PARENT_CHECK_MS = 1000

export interface Interrupts extends Disposable {
  /** Aborts at the first Ctrl-C, or when the parent process has ended. */
  readonly stop: AbortSignal
  /** Calls `hurry` at the second Ctrl-C. */
  onHurry(hurry: () => void): void
}

/** Makes Ctrl-C, SIGTERM, a closed terminal and the end of the parent one signal to stop. */
export function watchInterrupts(): Interrupts {
  const stop = new AbortController()
  const hurries: (() => void)[] = []
  let firstAt = 0

  const onSignal = (): void => {
    if (!stop.signal.aborted) {
      firstAt = performance.now()
      stop.abort(new Error('interrupted'))
      return
    }
    if (performance.now() - firstAt < SAME_INTERRUPT_MS) return
    for (const hurry of hurries) hurry()
    setTimeout(() => process.exit(1), HURRY_MS).unref()
  }
  const onGone = (): void => stop.abort(new Error('the terminal or the parent process has gone'))

  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, onSignal)
  // EPIPE: the terminal, or the program that reads the output, has gone.
  process.stdout.on('error', onGone)
  process.stderr.on('error', onGone)
  const parent = process.ppid
  // Only if bootstrap.mjs is the parent: a program started with nohup should outlive its shell.
  const isWatched = process.env.TIDEMARK_PARENT === String(parent)
  const timer = setInterval(() => isWatched && process.ppid !== parent && onGone(), PARENT_CHECK_MS).unref()

  return {
    stop: stop.signal,
    onHurry: hurry => void hurries.push(hurry),
    [Symbol.dispose]() {
      clearInterval(timer)
      for (const signal of signals) process.off(signal, onSignal)
    },
  }
}
