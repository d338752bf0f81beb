/**
 * A sample without a timestamp of its own has the time of its arrival, marked by half a
 * millisecond: 1700000000000.5. Timestamps of clients are whole milliseconds. Without the mark,
 * samples of equal value in one request would look like repetitions of one sample.
 */
const MARK = 0.5

/** Returns the timestamp, as it is stored, of a sample that has none. */
export function arrivalTimestamp(now: number): number {
  return Math.floor(now) + MARK
}

/** Whether a stored timestamp was given by the client. */
export function isOwnTimestamp(stored: number): boolean {
  return Math.floor(stored) === stored
}

/** Returns a stored timestamp as Unix time in whole milliseconds. */
export function toUnixMs(stored: number): number {
  return Math.floor(stored)
}
