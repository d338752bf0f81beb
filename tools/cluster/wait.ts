import { pause } from '@tidemark/shared/runtime/lifecycle'
import { Failure } from '../lib/options.ts'

const POLL_MS = 1000

/** Polls until `check` returns something; fails with what was awaited after the limit. */
export async function until<T>(
  what: string,
  limitS: number,
  stop: AbortSignal,
  check: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + limitS * 1000
  for (;;) {
    const found = await check()
    if (found !== undefined) return found
    stop.throwIfAborted()
    if (performance.now() > deadline) throw new Failure(`${what}: not within ${limitS} s`)
    await pause(POLL_MS, stop)
  }
}
