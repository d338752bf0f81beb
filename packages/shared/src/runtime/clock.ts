import { pause } from './lifecycle.ts'

/** Time and chance, for code whose behaviour depends on them: a simulation hands in its own. */
export interface Clock {
  /** Unix milliseconds. */
  wallMs(): number
  /** Milliseconds from some point on, never going back. */
  monotonicMs(): number
  /** Waits, but no longer than until `signal` aborts. */
  pause(ms: number, signal?: AbortSignal): Promise<void>
  /** 0 <= x < 1 */
  random(): number
}

export const systemClock: Clock = {
  wallMs: Date.now,
  monotonicMs: () => performance.now(),
  pause,
  random: Math.random,
}

/** Exponential backoff with full jitter in its upper half: between half and all of min * 2^(attempt - 1), at most max. */
export function backoffMs(
  attempt: number,
  { minMs, maxMs }: { minMs: number; maxMs: number },
  random: () => number,
): number {
  const delay = Math.min(minMs * 2 ** (attempt - 1), maxMs)
  return delay / 2 + (random() * delay) / 2
}
