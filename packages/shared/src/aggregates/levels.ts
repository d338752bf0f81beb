/** Buckets of one length, of which the newest are kept. */
export interface Level {
  readonly stepMs: number
  /** How many are kept, the open one included. */
  readonly kept: number
  /** How many records are written to the ring together. Those of the newest wait until then. */
  readonly together: number
  /** The ring that holds them, and the records before theirs in it. */
  readonly ring: RingName
  readonly at: number
}

/**
 * The rings of a key in the store. Two levels share one: the store's allocator rounds its size up,
 * and three rings of their own would exceed 16 KiB.
 */
export const RING_NAMES = ['hours', 'days'] as const
export type RingName = (typeof RING_NAMES)[number]

const MINUTE_MS = 60_000

/** From fine to coarse. The length of each divides that of the next. */
export const LEVELS = [
  { stepMs: 10_000, kept: 180, together: 12, ring: 'hours', at: 0 },
  { stepMs: MINUTE_MS, kept: 360, together: 2, ring: 'hours', at: 180 },
  { stepMs: 15 * MINUTE_MS, kept: 672, together: 1, ring: 'days', at: 0 },
] as const satisfies readonly Level[]

/** Returns how far back a level reaches. */
export function spanMs({ stepMs, kept }: Level): number {
  return stepMs * kept
}

/** Returns the first of the buckets of which the records are written together with those of one. */
export function firstTogether(number: number, { together }: Pick<Level, 'together'>): number {
  return together * Math.floor(number / together)
}

/** Returns the place of a bucket's record among those of its level. */
export function placeOf(number: number, { kept }: Pick<Level, 'kept'>): number {
  return ((number % kept) + kept) % kept
}
