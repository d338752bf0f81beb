import type { DetectorName } from '@tidemark/shared/detection/detectors/registry'
import { Judge } from '@tidemark/shared/detection/judge'
import { createPolicy } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { Random } from '@tidemark/testkit/random'
import { KeyJudge } from '../backtest/key-judge.ts'
import { CALM, type Signal } from './signals.ts'

export const SECOND_MS = 1000
export const MINUTE_MS = 60_000
const BEGIN_MS = 1_700_000_000_000

/** A shift must be found within this many samples. */
export const FOUND_WITHIN = 10
/** Samples evaluated after a shift. The mean delay covers the shifts found within them. */
const WATCHED = 50

/** Counts the flags of a detector on a signal, and the alerts opened, all with defaults. */
export function measureNoise(
  signal: Signal,
  detector: DetectorName,
  samples: number,
  seed: number,
  intervalMs = SECOND_MS,
) {
  const judge = newJudge(detector)
  const next = signal.create(new Random(seed), samples)
  let flagged = 0
  let opened = 0
  for (let n = 0; n < samples; n++) {
    const { isFlagged, alerts } = step(judge, next(n), n, intervalMs)
    if (isFlagged) flagged++
    for (const { kind } of alerts) if (kind === 'opened') opened++
  }
  return { flagged, opened }
}

/** Counts the same on the first samples of keys that begin. */
export function measureNewKeys(
  signal: Signal,
  detector: DetectorName,
  { keys, samples, seed }: { readonly keys: number; readonly samples: number; readonly seed: number },
) {
  let flagged = 0
  let opened = 0
  for (let key = 0; key < keys; key++) {
    const counted = measureNoise(signal, detector, samples, seed + key)
    flagged += counted.flagged
    opened += counted.opened
  }
  return { flagged, opened }
}

export type Power = ReturnType<typeof measureTrials>

/** Measures how often a value `deviations` from N(0,1)'s mean is flagged and opens an alert. */
export function measureSpikes(deviations: number, detector: DetectorName, trials: number, seed: number) {
  return measureTrials(detector, { trials, seed, watched: 1, valueAt: () => deviations })
}

/** As measureSpikes, for a lasting change of the mean, within `FOUND_WITHIN` samples. */
export function measureShifts(deviations: number, detector: DetectorName, trials: number, seed: number) {
  return measureTrials(detector, { trials, seed, watched: WATCHED, valueAt: random => random.normal() + deviations })
}

interface Trials {
  readonly trials: number
  readonly seed: number
  readonly watched: number
  readonly valueAt: (random: Random) => number
}

/** Returns shares of the trials, and the mean number of samples until the opened alerts. */
function measureTrials(detector: DetectorName, { trials, seed, watched, valueAt }: Trials) {
  const random = new Random(seed)
  let flagged = 0
  const delays: number[] = []
  for (let trial = 0; trial < trials; trial++) {
    const judge = newJudge(detector)
    const begin = calmDown(judge, random)
    let isFlagged = false
    let openedAfter = 0
    for (let n = 1; n <= watched; n++) {
      const judged = step(judge, valueAt(random), begin + n)
      if (n <= FOUND_WITHIN && judged.isFlagged) isFlagged = true
      if (openedAfter === 0 && judged.alerts.some(({ kind }) => kind === 'opened')) openedAfter = n
    }
    if (isFlagged) flagged++
    if (openedAfter > 0) delays.push(openedAfter)
  }
  const opened = delays.filter(delay => delay <= FOUND_WITHIN).length
  const delay = delays.reduce((sum, one) => sum + one, 0) / delays.length
  return { flagged: flagged / trials, opened: opened / trials, delay }
}

/** Feeds normal samples until no alert fires: one opened by noise would hide the expected one. */
function calmDown(judge: KeyJudge, random: Random): number {
  let isFiring = false
  let n = 0
  for (; n < CALM || (isFiring && n < 2 * CALM); n++) {
    for (const { kind } of step(judge, random.normal(), n).alerts) isFiring = kind === 'opened'
  }
  return n
}

function newJudge(detector: DetectorName): KeyJudge {
  return new KeyJudge(new Judge(createPolicy({ detector }, VERDICT_DEFAULTS)))
}

function step(judge: KeyJudge, value: number, n: number, intervalMs = MINUTE_MS) {
  const time = BEGIN_MS + n * intervalMs
  return judge.step(value, time, time)
}
