/** npm passes Ctrl-C on although the terminal gave it to everybody already: what comes within this time is one Ctrl-C. */
const SAME_INTERRUPT_MS = 700

/** After the second Ctrl-C this script waits so long for its parts before it leaves. */
const HURRY_MS = 2000

const PARENT_CHECK_MS = 1000

export interface Interrupts extends Disposable {
  /** Aborts at the first Ctrl-C, or when whoever started this is gone. */
  readonly stop: AbortSignal
  /** Calls `hurry` at the second. */
  onHurry(hurry: () => void): void
}

/** Turns Ctrl-C, SIGTERM, a closed terminal and the death of the process above into one request to stop. */
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
  const onGone = (): void => stop.abort(new Error('nobody is watching any more'))

  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, onSignal)
  // EPIPE: the terminal, or the program behind the pipe, is gone.
  process.stdout.on('error', onGone)
  process.stderr.on('error', onGone)
  const parent = process.ppid
  // Only where bootstrap.mjs says that it is the parent: started by hand with nohup, this should outlive its shell.
  const isWatched = process.env.TIDEMARK_PARENT === String(parent)
  const timer = setInterval(() => {
    if (isWatched && process.ppid !== parent) onGone()
  }, PARENT_CHECK_MS)
  timer.unref()

  return {
    stop: stop.signal,
    onHurry: hurry => void hurries.push(hurry),
    [Symbol.dispose]() {
      clearInterval(timer)
      for (const signal of signals) process.off(signal, onSignal)
    },
  }
}
