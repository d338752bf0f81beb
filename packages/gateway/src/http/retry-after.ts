import type { GatewayStore } from '@tidemark/shared/store/ports/gateway'

// Every Retry-After is computed here, with jitter wherever many clients are rejected at once: they
// must not return together.

/** For a limit that is reached only for a moment. */
export const SOON_S = 1

/** The longest wait, before jitter: clients give up rather than wait for longer. */
const WAIT_MAX_S = 60

/** For the first sample that a full partition rejects: its drain rate is not known yet. */
const RATE_UNKNOWN_S = 2

/** For a partition without backlog while memory is full: other partitions hold the memory. */
const NO_BACKLOG_S = 5

/** A rate over less time than this is mostly luck. */
const OBSERVED_MIN_MS = 500

/** A rate over more time than this is outdated: the partition was not full all the time. */
const OBSERVED_MAX_MS = 60_000

/** Width of the jitter of a wait for a backlog: from 25 % less to 25 % more. */
const JITTER = 0.5

/** Returns the header of a wait: whole seconds, at least 1. */
export function retryAfterHeader(seconds: number): { readonly 'Retry-After': string } {
  return { 'Retry-After': String(Math.max(1, Math.ceil(seconds))) }
}

/** Returns the seconds to wait while the store is unavailable: 1 or 2. */
export function outageRetryAfterS(): number {
  return Math.random() < 0.5 ? 1 : 2
}

/** Returns the wait at the limit of Idempotency-Keys; the next one expires in `expiresInMs`. */
export function keysRetryAfterS(expiresInMs: number): number {
  return Math.min(WAIT_MAX_S, 1 + Math.ceil((expiresInMs / 1000) * (1 + Math.random() / 2)))
}

interface DrainRateOptions {
  readonly store: Pick<GatewayStore, 'progress'>
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number
  /** From 0 to 1, like Math.random. */
  readonly random: () => number
}

export type DrainRate = ReturnType<typeof createDrainRate>

interface Observation {
  readonly at: number
  /** Samples that ever left the backlog. */
  readonly drained: number
  readonly backlog: number
  /** Samples a second; undefined until two observations are far enough apart. */
  readonly rate: number | undefined
}

/**
 * Estimates when a full partition has room again from how fast it drained between rejections. It
 * reads the progress in the background, at most twice a second per partition: a rejection must cost
 * less than the request that it rejects.
 */
export function createDrainRate({ store, now, random }: DrainRateOptions) {
  const observations = new Map<number, Observation>()
  const lastReadAt = new Map<number, number>()

  async function observe(partition: number): Promise<void> {
    // On an error the rate stays as it was. The outcome of append() shows clients the outage.
    const [progress] = await store.progress([partition]).catch(() => [])
    if (progress === undefined) return
    const { accepted, backlog } = progress
    const drained = accepted - backlog
    const at = now()
    const before = observations.get(partition)
    const isRecent = before !== undefined && at - before.at <= OBSERVED_MAX_MS
    const rate = isRecent ? ((drained - before.drained) * 1000) / Math.max(1, at - before.at) : undefined
    observations.set(partition, { at, drained, backlog, rate })
  }

  return {
    /**
     * Returns the seconds until the partition is expected to have drained, from 1 to 75. A store at
     * its memory limit does not report the backlog, so callers may leave it out.
     */
    retryAfterS(partition: number, backlog?: number): number {
      const readAt = lastReadAt.get(partition)
      if (readAt === undefined || now() - readAt >= OBSERVED_MIN_MS) {
        lastReadAt.set(partition, now())
        void observe(partition)
      }
      const observed = observations.get(partition)
      const expected = expectedS(observed?.rate, backlog ?? observed?.backlog)
      // Jitter comes after the limit: clients that wait for the longest time must be spread too.
      return Math.max(1, Math.ceil(Math.min(expected, WAIT_MAX_S) * (1 + JITTER * (random() - 0.5))))
    },
  }
}

function expectedS(rate: number | undefined, backlog: number | undefined): number {
  if (rate === undefined || backlog === undefined) return RATE_UNKNOWN_S
  if (backlog <= 0) return NO_BACKLOG_S
  return rate > 0 ? backlog / rate : WAIT_MAX_S
}
