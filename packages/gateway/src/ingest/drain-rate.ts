import type { GatewayStore, Progress } from '@tidemark/shared/store/ports/store'

const RETRY_AFTER_MAX_S = 60

/** What a full partition's first refusal says: there is nothing to compare with yet. */
const RETRY_AFTER_UNKNOWN_S = 2

/** When nothing of the partition waits, and yet there is no memory: others hold it, and this is how often to look again. */
const RETRY_AFTER_IDLE_S = 5

/** A rate over less time than this is mostly luck. */
const OBSERVED_MIN_MS = 500

/** ...and over more than this it is history: the partition was not full all the while. */
const OBSERVED_MAX_MS = 60_000

/** Clients that were refused together would come back together. */
const JITTER = 0.5

export interface DrainRateOptions {
  readonly store: Pick<GatewayStore, 'progress'>
  /** Milliseconds that never go back. */
  readonly now: () => number
  /** From 0 to 1, like Math.random. */
  readonly random: () => number
}

interface Observation {
  readonly at: number
  /** Samples that left the backlog, ever. */
  readonly done: number
  readonly backlog: number
  /** Samples a second; undefined until two observations are far enough apart. */
  readonly rate: number | undefined
}

export interface DrainRate {
  /**
   * Whole seconds, from 1 to 75: when the partition is expected to have drained. Who does not know its backlog, because it
   * was refused for want of memory, leaves that out.
   */
  retryAfterS(partition: number, backlog?: number): number
}

/**
 * Tells clients of a full partition, or of a full store, when to come again, from how fast it drained between refusals. The store is asked in
 * the background, at most twice a second for a partition: a refusal must cost less than what it refuses.
 */
export function createDrainRate({ store, now, random }: DrainRateOptions): DrainRate {
  const observations = new Map<number, Observation>()
  const asked = new Map<number, number>()

  async function observe(partition: number): Promise<void> {
    let progress: Progress | undefined
    try {
      ;[progress] = await store.progress([partition])
    } catch {
      // The rate stays as it was; whoever sends samples learns of the store's trouble from append().
      return
    }
    if (progress === undefined) return
    const { accepted, backlog } = progress
    const done = accepted - backlog
    const at = now()
    const before = observations.get(partition)
    const isRecent = before !== undefined && at - before.at <= OBSERVED_MAX_MS
    const rate = isRecent ? ((done - before.done) * 1000) / Math.max(1, at - before.at) : undefined
    observations.set(partition, { at, done, backlog, rate })
  }

  return {
    retryAfterS(partition, backlog) {
      const lastAsked = asked.get(partition)
      if (lastAsked === undefined || now() - lastAsked >= OBSERVED_MIN_MS) {
        asked.set(partition, now())
        void observe(partition)
      }
      const observed = observations.get(partition)
      const expected = expectedS(observed?.rate, backlog ?? observed?.backlog)
      // Jitter comes last: clients that wait for the longest must come back apart too.
      return Math.max(1, Math.ceil(Math.min(expected, RETRY_AFTER_MAX_S) * (1 + JITTER * (random() - 0.5))))
    },
  }
}

function expectedS(rate: number | undefined, backlog: number | undefined): number {
  if (rate === undefined || backlog === undefined) return RETRY_AFTER_UNKNOWN_S
  if (backlog <= 0) return RETRY_AFTER_IDLE_S
  return rate > 0 ? backlog / rate : RETRY_AFTER_MAX_S
}
