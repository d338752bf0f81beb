import { roundingAt } from '../../verdict/score.ts'
import { type Detector, type DetectorSettings, type History, judgeWarming } from './detector.ts'
import { discountFor } from './discount.ts'
import { createFound, inWidths, Places } from './places.ts'
import { notePassed, THINNING_LENGTH, thinned } from './thinning.ts'

/** The variation is that of so many samples, including the present one, */
const VARIATION_SAMPLES = 20
/** and the trend is the mean of so many less the mean of so many more. */
const SHORT_SAMPLES = 10
const LONG_SAMPLES = 50

const SAMPLES_MIN = 50
/** Variation and trend count so many samples after the value: at first all of them are new. */
const PARTS_MIN = 100

/** The share of the gap between the two nearest places that is not new. */
const DISCOUNT = 0.2
/** News beyond this says nothing more, and counts for less after it: it has widened its range. */
const NEWS_MAX = 2
const COUNTED_MAX = 1
/** What makes the score 1: of each part by itself. */
const VALUE_UNIT = 0.023
const VARIATION_UNIT = 0.09
const TREND_FACTOR = 13.04
const STEP_UNIT = 0.2
/** The share by which the record step shrinks per sample. */
const SHRINKING = 1e-4

const valuePlaces = new Places({ capacity: 64, newAbove: 0.02 })
const otherPlaces = new Places({ capacity: 40, newAbove: 0.03 })

/** Offsets in float64s. */
const COUNT = 0
const RECORD = 1
const PASSED = 2
const VALUES = PASSED + THINNING_LENGTH
const VARIATIONS = VALUES + valuePlaces.length
const TRENDS = VARIATIONS + otherPlaces.length
const LENGTH = TRENDS + otherPlaces.length

/** Indexes of the notes from `judge` to `learn`; NaN: unknown. */
const COUNTED = 0
const STEP = 1
const VARIATION = 2
const TREND = 3

/**
 * Has this key been near this value, varied this much or little, moved this way, and made such a
 * step, in its last 4,000 samples? The score is the greatest of the four, each in units of its own.
 * The variation is the square root of a deviation: the root spreads small ones, so that a key that
 * stops varying is detected too; it is defined at 0, and the same on every machine.
 */
export function createHabit({ samplesMin = SAMPLES_MIN }: DetectorSettings = {}): Detector {
  const found = createFound()
  const other = createFound()
  /** Of value, step, variation and trend: the news, and what makes a score of it. */
  const parts = new Float64Array(4)
  const units = Float64Array.of(0, 1 / STEP_UNIT, 1 / VARIATION_UNIT, TREND_FACTOR)

  return {
    name: 'habit',
    stateLength: LENGTH,
    threshold: 1,
    start(slab, at) {
      slab.rows.fill(0, at, at + LENGTH)
    },
    judge(history, slab, at, value, judgement) {
      const { rows } = slab
      const { notes } = judgement
      const size = Math.abs(value)
      const count = rows[at + COUNT] as number
      valuePlaces.look(slab, at + VALUES, value, found)
      const news = inWidths(found.distance - DISCOUNT * found.gap, found.width, size)
      const variation = variationOf(history, value)
      const trend = trendOf(history, value)
      const step = stepTo(history, value)
      notes[VARIATION] = variation
      notes[TREND] = trend
      notes[STEP] = step

      const discount = count === 0 || news === 0 ? 0 : discountFor(history, value)
      parts[0] = news
      units[0] = discount / VALUE_UNIT
      parts[1] = stepNews(step, rows[at + RECORD] as number)
      parts[2] = parts[3] = 0
      if (count >= samplesMin + PARTS_MIN) {
        if (!Number.isNaN(variation)) {
          otherPlaces.look(slab, at + VARIATIONS, variation, other)
          parts[2] = inWidths(other.distance, other.width, variation)
        }
        if (!Number.isNaN(trend)) {
          otherPlaces.look(slab, at + TRENDS, trend, other)
          parts[3] = inWidths(other.distance, other.width, size)
        }
      }
      const score = greatest(parts, units, NEWS_MAX)
      notes[COUNTED] = 0
      judgement.raw = score
      judgement.learned = count
      if (count < samplesMin || count === 0) return judgeWarming(judgement)
      const known = DISCOUNT * found.gap
      judgement.low = found.nearest - known
      judgement.high = found.nearest + known
      judgement.spread = found.width * VALUE_UNIT
      judgement.score = thinned(rows, at + PASSED, score, count + 1)
      if (judgement.score > 0) notes[COUNTED] = greatest(parts, units, COUNTED_MAX)
    },
    learn(slab, at, value, { notes }) {
      const { rows } = slab
      const count = rows[at + COUNT] as number
      rows[at + COUNT] = count + 1
      notePassed(rows, at + PASSED, notes[COUNTED] as number, count + 1)
      rows[at + RECORD] = Math.max(rows[at + RECORD] as number, notes[STEP] as number) * (1 - SHRINKING)
      valuePlaces.visit(slab, at + VALUES, value, count)
      const variation = notes[VARIATION] as number
      const trend = notes[TREND] as number
      if (!Number.isNaN(variation)) otherPlaces.visit(slab, at + VARIATIONS, variation, count)
      if (!Number.isNaN(trend)) otherPlaces.visit(slab, at + TRENDS, trend, count)
    },
  }
}

/** Returns the greatest of the parts, each in its unit and up to a limit. */
function greatest(parts: Float64Array, units: Float64Array, max: number): number {
  let most = 0
  for (let i = 0; i < parts.length; i++) most = Math.max(most, Math.min(max, parts[i] as number) * (units[i] as number))
  return most
}

/** Returns how far a step exceeds the record, in records. */
function stepNews(step: number, record: number): number {
  if (step === 0) return 0
  return record > 0 ? Math.max(0, step / record - 1) : NEWS_MAX
}

/** Returns the distance from the sample before; 0 if it is rounding, or if there is none. */
export function stepTo({ rows, start, size, head }: History, value: number): number {
  if (size === 0) return 0
  const step = Math.abs(value - (rows[start + (head === 0 ? size : head) - 1] as number))
  return step <= roundingAt(Math.abs(value)) ? 0 : Math.min(Number.MAX_VALUE, step)
}

/** Returns the variation of the last 19 samples and `value`; NaN when the history is shorter. */
function variationOf({ rows, start, size, head }: History, value: number): number {
  const before = VARIATION_SAMPLES - 1
  if (size < before) return Number.NaN
  const first = (head + size - before) % size
  let sum = 0
  for (let n = 0, place = first; n < before; n++) {
    sum += (rows[start + place] as number) - value
    place = place + 1 === size ? 0 : place + 1
  }
  const mean = sum / VARIATION_SAMPLES
  let squares = mean * mean
  for (let n = 0, place = first; n < before; n++) {
    const difference = (rows[start + place] as number) - value - mean
    squares += difference * difference
    place = place + 1 === size ? 0 : place + 1
  }
  // Squares above 1e308 stay finite.
  const deviation = Math.sqrt(Math.min(squares, Number.MAX_VALUE) / VARIATION_SAMPLES)
  return deviation <= roundingAt(Math.abs(value)) ? 0 : Math.sqrt(deviation)
}

/**
 * Returns the mean of the last 10 samples less that of the last 50, including `value`; NaN when the
 * history is shorter, or where sums overflow.
 */
function trendOf({ rows, start, size, head }: History, value: number): number {
  if (size < LONG_SAMPLES - 1) return Number.NaN
  let place = (head + size - (LONG_SAMPLES - 1)) % size
  let older = 0
  let newer = 0
  for (let n = 1; n < LONG_SAMPLES; n++) {
    const difference = (rows[start + place] as number) - value
    if (n <= LONG_SAMPLES - SHORT_SAMPLES) older += difference
    else newer += difference
    place = place + 1 === size ? 0 : place + 1
  }
  const trend = newer / SHORT_SAMPLES - (older + newer) / LONG_SAMPLES
  return Number.isFinite(trend) ? trend : Number.NaN
}
