import { pause } from './lifecycle.ts'

/** Time and random numbers, for code that depends on them: tests pass their own. */
export interface Clock {
  /** Unix milliseconds. */
  wallMs(): number
  /** Milliseconds since an arbitrary time; never decreases. */
  monotonicMs(): number
  pause(ms: number, signal?: AbortSignal): Promise<void>
  /** Returns x with 0 <= x < 1. */
  random(): number
}

export const systemClock: Clock = {
  wallMs: Date.now,
  monotonicMs: () => performance.now(),
  pause,
  random: Math.random,
}

/** Returns a backoff with jitter: half to all of min(minMs * 2^(attempt - 1), maxMs). */
export function backoffMs(
  attempt: number,
  { minMs, maxMs }: { minMs: number; maxMs: number },
  random: () => number,
): number {
  const delay = Math.min(minMs * 2 ** (attempt - 1), maxMs)
  return delay / 2 + (random() * delay) / 2
}
