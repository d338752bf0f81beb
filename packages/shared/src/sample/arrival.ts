/**
 * A sample without a timestamp of its own has the time of its arrival, marked by half a
 * millisecond: 1700000000000.5. Timestamps of clients are whole milliseconds. Without the mark,
 * samples of equal value in one request would look like repetitions of one sample.
 */
const ARRIVAL = 0.5

/**
 * Added to the timestamp of a sample whose protocol says that it is of a counter, so that its rate
 * is scored. Versions that do not know the mark take no notice of it.
 */
const COUNTER = 0.25

/** Returns the timestamp, as it is stored, of a sample that has none. */
export function arrivalTimestamp(now: number): number {
  return Math.floor(now) + ARRIVAL
}

/** Returns the timestamp, as it is stored, of a counter's sample: `stored` is that of any other. */
export function counterTimestamp(stored: number): number {
  return stored + COUNTER
}

/** Whether a stored timestamp is of a counter's sample. */
export function isOfCounter(stored: number): boolean {
  return ((4 * stored) & 1) === 1
}

/** Whether a stored timestamp was given by the client. */
export function isOwnTimestamp(stored: number): boolean {
  return stored - Math.floor(stored) < ARRIVAL
}

/** Returns a stored timestamp as Unix time in whole milliseconds. */
export function toUnixMs(stored: number): number {
  return Math.floor(stored)
}
