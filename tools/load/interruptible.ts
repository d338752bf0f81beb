import { watchInterrupts } from '../stack/interrupts.ts'

/** Runs `work` until it ends or Ctrl-C aborts `stop`. Returns the exit code. */
export async function interruptible(work: (stop: AbortSignal) => Promise<number>): Promise<number> {
  using interrupts = watchInterrupts()
  try {
    return await work(interrupts.stop)
  } catch (error) {
    if (!interrupts.stop.aborted) throw error
    say('stopped')
    return 1
  }
}

export function say(text: string): void {
  process.stderr.write(`tidemark: ${text}\n`)
}
