import { alertPhase } from '../detection/alerts/alert.ts'
import { MARKS } from '../detection/alerts/state.ts'
import { ALERT, COUNT as ANALYSED, type KeyRow, PUSHED, type RowShape } from '../detection/key-row.ts'
import { addSample, COUNT, START } from './bucket.ts'
import { LEVELS } from './levels.ts'
import { addToBuckets, type ClosedBuckets, COUNT_THEN, type OpenBuckets, PUSHED_THEN } from './open-buckets.ts'

/**
 * Buckets follow the window of their key: a sample that joined it in the order of timestamps need
 * not be added at once, because the row has all that is needed for it. Added many at a time, it
 * costs a fraction; and as the row is stored anyway, the buckets need not be stored before. Readers
 * of stored buckets add what the row has since.
 *
 * Which of those samples were flagged are marks in the row: the bits of an integer, by the number
 * of the value in the window. They have no place while an alert fires.
 */
const PENDING_MAX = 48

const STEP_MS = LEVELS[0].stepMs

/** Returns how many samples of a window may wait. */
export function pendingMax({ capacity }: RowShape): number {
  return Math.min(capacity, PENDING_MAX)
}

/** Notes that the buckets have all samples of a row. */
export function markFollowed({ numbers, at }: OpenBuckets, { rows, start }: KeyRow): void {
  numbers[at + COUNT_THEN] = rows[start + ANALYSED] as number
  numbers[at + PUSHED_THEN] = rows[start + PUSHED] as number
}

/**
 * Returns how many of a row's samples are not in the buckets yet; undefined if the window is not
 * the one that they followed: they were off, or a version without them went on with the key.
 */
export function pendingIn({ numbers, at }: OpenBuckets, { rows, start, shape }: KeyRow): number | undefined {
  const pushed = (rows[start + PUSHED] as number) - (numbers[at + PUSHED_THEN] as number)
  const analysed = (rows[start + ANALYSED] as number) - (numbers[at + COUNT_THEN] as number)
  return pushed === analysed && pushed >= 0 && pushed <= pendingMax(shape) ? pushed : undefined
}

/** Returns marks with one more flagged sample, value number `n` of those ever in the window. */
export function addMark(marks: number, n: number): number {
  return marks + 2 ** (n % PENDING_MAX)
}

function isMarked(marks: number, n: number): boolean {
  return marks !== 0 && Math.floor(marks / 2 ** (n % PENDING_MAX)) % 2 === 1
}

/** Returns the marks in a row. */
export function marksIn({ rows, start }: KeyRow): number {
  return alertPhase(rows, start + ALERT) === 'firing' ? 0 : (rows[start + ALERT + MARKS] as number)
}

/** Writes marks to a row; false if it has no place for them. */
export function writeMarks({ rows, start }: KeyRow, marks: number): boolean {
  if (alertPhase(rows, start + ALERT) === 'firing') return marks === 0
  rows[start + ALERT + MARKS] = marks
  return true
}

const sample = { value: 0, timestamp: 0, time: 0, isFlagged: false }

/** Adds the values number `from` to `to` of those ever added to a row's window. */
export function addPending(
  place: OpenBuckets,
  { rows, start, shape }: KeyRow,
  { from, to, marks }: { readonly from: number; readonly to: number; readonly marks: number },
  closed: ClosedBuckets,
): void {
  const { numbers, at } = place
  const { capacity, valuesAt, timesAt } = shape
  for (let n = from, index = start + (from % capacity); n < to; n++, index++) {
    if (index === start + capacity) index = start
    const value = rows[index + valuesAt] as number
    const timestamp = rows[index + timesAt] as number
    const since = timestamp - (numbers[at + START] as number)
    if (since >= 0 && since < STEP_MS && numbers[at + COUNT] !== 0) {
      addSample(numbers, at, value, isMarked(marks, n))
      continue
    }
    sample.value = value
    // Its arrival would matter only if it were late.
    sample.timestamp = sample.time = timestamp
    sample.isFlagged = isMarked(marks, n)
    addToBuckets(place, sample, closed)
  }
}
