import { isBeyond, SCORE_CAP } from '../../verdict/score.ts'
import type { Slab } from '../order.ts'
import { type AlertContext, isExpected, isOnCount, isStep, type KeyNews, type ScoredSample } from './context.ts'
import {
  addUp,
  CROSSED_UNIT,
  clearSums,
  crossedPart,
  HEAT,
  OK,
  OPENED_AT,
  type OpenedBy,
  PENDING,
  PHASE,
  RECENT_DOWN,
  RECENT_UP,
} from './state.ts'

/** With fewer samples nothing is known. */
const SAMPLES_MIN = 50
/** With this many samples twice as much news is needed: to a new key most things are new. */
const YOUTH = 400
/** A candidate is confirmed by one of this many samples after it. Bit i: i samples ago. */
export const CONFIRMED_WITHIN = 5
const CANDIDATE_BITS = 2 ** (CONFIRMED_WITHIN + 1) - 1
/** The heat of an opening halves in this time. */
const HALF_LIFE_MS = 2 * 86_400_000
/** A sum is news if none was beyond its limit in so many samples, */
const QUIET_SAMPLES = 4000
/** and if the key has had so many: one that wanders has shown that by then. */
const SUM_SAMPLES_MIN = 300
/** Sums have a budget of their own: they open an alert only below this heat. */
const SUSTAINED_HEAT_MAX = 2

/**
 * Decides whether an alert opens: a flagged sample is also news to the key, or follows a sample
 * that was. The more alerts were opened lately, the more news is needed, so their number is
 * limited in time whatever the signal. Returns why it opens; undefined if it does not.
 */
export function weighNews(
  states: Slab,
  at: number,
  sample: ScoredSample,
  known: KeyNews,
  context: AlertContext,
): OpenedBy | undefined {
  const { score, threshold } = sample
  const isFlagged = isBeyond(score, threshold)
  const isOver = known.sustained < Number.POSITIVE_INFINITY && addUp(states, at, score / threshold) > known.sustained
  // Nearly every sample ends here.
  if (!isFlagged && !isOver && states[at + PHASE] === OK) return undefined
  const isEvidence = isFlagged && !isStep(sample, context) && !isOnCount(sample, context)
  const by = weighSample(states, at, sample, known, isEvidence)
  return isOver && isSumNews(states, at, sample, known, context) ? (by ?? 'sustained') : by
}

/** Weighs a sum beyond its limit: it must be the first for long, and of a key with few alerts. */
function isSumNews(states: Slab, at: number, sample: ScoredSample, known: KeyNews, context: AlertContext): boolean {
  const { count, time } = sample
  const crossed = crossedPart(states, at)
  const isQuiet = crossed === 0 || count - crossed / CROSSED_UNIT > QUIET_SAMPLES
  states[at + RECENT_UP] = (states[at + RECENT_UP] as number) - crossed + CROSSED_UNIT * count
  if (isExpected(sample, context)) {
    clearSums(states, at)
    return false
  }
  return isQuiet && known.samples() >= SUM_SAMPLES_MIN && heatAt(states, at, time) < SUSTAINED_HEAT_MAX
}

/** Weighs the news of a sample if it `isEvidence`, and updates the candidate. */
function weighSample(
  states: Slab,
  at: number,
  { value, score, time }: ScoredSample,
  known: KeyNews,
  isEvidence: boolean,
): OpenedBy | undefined {
  const samples = known.samples()
  const isUp = score > 0
  const crossed = crossedPart(states, at)
  let up = ageCandidate((states[at + RECENT_UP] as number) - crossed)
  let down = ageCandidate(states[at + RECENT_DOWN] as number)
  let by: OpenedBy | undefined
  if (isEvidence && samples >= SAMPLES_MIN) {
    if ((isUp ? up : down) !== 0) by = 'samples'
    else {
      const news = known.news(value)
      if (news > known.candidate) {
        const heat = cautionAfter(heatAt(states, at, time))
        const factor = cautionIn(samples) * (known.squaresHeat ? heat * heat : heat)
        // After a flat window the next samples at any new level would confirm it.
        const isFlat = Math.abs(score) >= SCORE_CAP
        if (news > known.candidate * factor && !isFlat) {
          up = isUp ? 1 : 0
          down = isUp ? 0 : 1
        }
        if (news > known.instant * factor) by = 'instant'
      }
    }
  }
  states[at + RECENT_UP] = crossed + up
  states[at + RECENT_DOWN] = down
  states[at + PHASE] = up !== 0 || down !== 0 ? PENDING : OK
  return by
}

/** Moves the candidate one sample back. */
function ageCandidate(bits: number): number {
  return (bits << 1) & CANDIDATE_BITS
}

/** Opening drops all evidence, but for what limits the next ones: the heat, with what it `adds`. */
export function keepHeat(states: Slab, at: number, time: number, adds: 0 | 1, open: () => void): void {
  const heat = heatAt(states, at, time) + adds
  const crossed = crossedPart(states, at)
  open()
  states[at + HEAT] = 0 - heat
  states[at + RECENT_UP] = crossed
}

/** Returns how many times as much news is needed after so many samples of a key. */
function cautionIn(samples: number): number {
  const youth = YOUTH / (samples + 1)
  return 1 + youth * youth
}

/** Returns how many times as much news is needed after openings of this heat. */
function cautionAfter(heat: number): number {
  return 1 + heat / 2 + (heat * heat) / 2
}

/** Returns the heat at `time`: 1 for each opening, halved for each HALF_LIFE_MS since. */
export function heatAt(states: Slab, at: number, time: number): number {
  const heat = -(states[at + HEAT] as number)
  return heat > 0 ? cool(heat, time - (states[at + OPENED_AT] as number)) : 0
}

/** Linear between the half-lives, because a power is not computed identically on every machine. */
function cool(heat: number, ms: number): number {
  const lives = Math.max(0, ms) / HALF_LIFE_MS
  const whole = Math.floor(lives)
  return whole >= 32 ? 0 : (heat * (1 - (lives - whole) / 2)) / 2 ** whole
}
