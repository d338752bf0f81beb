import { isBeyond, SCORE_CAP } from '../../verdict/score.ts'
import type { Slab } from '../order.ts'
import { type AlertContext, isExpected, isOnCount, isStep, type KeyNews, type ScoredSample } from './context.ts'
import { HEAT, OK, OPENED_AT, type OpenedBy, PENDING, PHASE, RECENT_DOWN, RECENT_UP } from './state.ts'

/** With fewer samples nothing is known. */
const SAMPLES_MIN = 50
/** With this many samples twice as much news is needed: to a new key most things are new. */
const YOUTH = 400
/** A candidate is confirmed by one of this many samples after it. Bit i: i samples ago. */
const CONFIRMED_WITHIN = 5
const CANDIDATE_BITS = 2 ** (CONFIRMED_WITHIN + 1) - 1
/** The heat of an opening halves in this time. */
const HALF_LIFE_MS = 2 * 86_400_000
/** Deviations that add up open an alert only if the key had nearly no other for a while. */
const SUSTAINED_HEAT_MAX = 0.5

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
  const isFlagged = isBeyond(sample.score, sample.threshold)
  const isSustained = known.addsUp(sample.score)
  // Nearly every sample ends here.
  if (!isFlagged && !isSustained && states[at + PHASE] === OK) return undefined
  const isEvidence = isFlagged && !isStep(sample, context) && !isOnCount(sample, context)
  const by = weighSample(states, at, sample, known, isEvidence)
  if (by !== undefined || !isSustained || isExpected(sample, context)) return by
  return heatAt(states, at, sample.time) < SUSTAINED_HEAT_MAX ? 'sustained' : undefined
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
  const side = score > 0 ? RECENT_UP : RECENT_DOWN
  let hasCandidate = ageCandidate(states, at)
  let by: OpenedBy | undefined
  if (isEvidence && samples >= SAMPLES_MIN) {
    if (states[at + side] !== 0) by = 'samples'
    else {
      const news = known.news(value)
      if (news > known.candidate) {
        const heat = cautionAfter(heatAt(states, at, time))
        const factor = cautionIn(samples) * (known.squaresHeat ? heat * heat : heat)
        // After a flat window the next samples at any new level would confirm it.
        const isFlat = Math.abs(score) >= SCORE_CAP
        if (news > known.candidate * factor && !isFlat) hasCandidate = setCandidate(states, at, side)
        if (news > known.instant * factor) by = 'instant'
      }
    }
  }
  states[at + PHASE] = hasCandidate ? PENDING : OK
  return by
}

/** Moves the candidate one sample back. Returns whether there is one. */
function ageCandidate(states: Slab, at: number): boolean {
  const up = ((states[at + RECENT_UP] as number) << 1) & CANDIDATE_BITS
  const down = ((states[at + RECENT_DOWN] as number) << 1) & CANDIDATE_BITS
  states[at + RECENT_UP] = up
  states[at + RECENT_DOWN] = down
  return up !== 0 || down !== 0
}

function setCandidate(states: Slab, at: number, side: number): true {
  states[at + RECENT_UP] = states[at + RECENT_DOWN] = 0
  states[at + side] = 1
  return true
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
