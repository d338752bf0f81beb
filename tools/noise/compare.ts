import { createJudgement } from '@tidemark/shared/detection/detectors/detector'
import { createSlab } from '@tidemark/shared/detection/detectors/places'
import { createDetector, type DetectorName } from '@tidemark/shared/detection/detectors/registry'
import { Judge } from '@tidemark/shared/detection/judge'
import { createPolicy, type PolicyParts } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { HistoryRing } from '@tidemark/testkit/history-ring'
import { KeyJudge } from '../backtest/key-judge.ts'
import { addTally, createTally, HitCounter, type Hits } from '../backtest/tally.ts'
import { CHOSEN_BY, createRecording, HELD_OUT, type Kinds, REPORTED, type Recording, UNSEEN } from './labelled.ts'
import { bestThreshold, type Scored, windowScore } from './window-score.ts'

const WINDOW = 50

/** One sample in five minutes: a recording is of one to four weeks. */
export const INTERVAL_MS = 300_000
export const BEGIN_MS = Date.UTC(2026, 0, 1)

/** The groups of recordings. They share nothing, not even seeds. */
const GROUPS = {
  'chosen by': { kinds: CHOSEN_BY, seed: 1 },
  'held out': { kinds: HELD_OUT, seed: 1001 },
  unseen: { kinds: UNSEEN, seed: 2001 },
  reported: { kinds: REPORTED, seed: 3001 },
} as const

export type GroupName = keyof typeof GROUPS

export const GROUP_NAMES = Object.keys(GROUPS) as GroupName[]

/** Returns the recordings of a group, or of one of its kinds, as many of each kind. */
export function recordingsOf(group: GroupName, recordings: number, only?: string): Recording[] {
  const { seed } = GROUPS[group]
  const kinds: Kinds = GROUPS[group].kinds
  return Object.entries(kinds)
    .filter(([kind]) => only === undefined || kind === only)
    .flatMap(([kind, create]) => Array.from({ length: recordings }, (_, n) => createRecording(kind, create, seed + n)))
}

/** Counts the alerts on recordings under a policy, by labelled window. */
export function countAlerts(recordings: readonly Recording[], parts: PolicyParts): Hits {
  const total = createTally()
  const judge = new Judge(createPolicy(parts, VERDICT_DEFAULTS))
  for (const { values, windows, clock } of recordings) {
    const tally = createTally()
    const counter = new HitCounter(tally.alerts, windows)
    const key = new KeyJudge(judge)
    for (const [n, value] of values.entries()) {
      const { takenAt, arrivedAt } = clock(n)
      const { alerts } = key.step(value, BEGIN_MS + INTERVAL_MS * takenAt, BEGIN_MS + INTERVAL_MS * arrivedAt)
      for (const { kind } of alerts) if (kind === 'opened') counter.hit(n)
    }
    addTally(total, tally)
  }
  return total.alerts
}

/**
 * Scores how well a detector finds the labelled anomalies in recordings of many kinds, at the
 * threshold with the best score on the kinds used to choose detectors and constants.
 */
export function scoreRecordings(name: DetectorName, recordings: number) {
  const scored = (group: GroupName): Scored[] =>
    recordingsOf(group, recordings).map(recording => ({ recording, scores: scoresOf(name, recording) }))
  const chosenBy = scored('chosen by')
  const heldOut = scored('held out')
  const unseen = scored('unseen')
  const threshold = bestThreshold(chosenBy)
  return {
    threshold,
    chosenBy: windowScore(chosenBy, threshold),
    heldOut: windowScore(heldOut, threshold),
    unseen: windowScore(unseen, threshold),
    unseenAtDefault: windowScore(unseen, createDetector(name).threshold),
  }
}

/** Returns the score of each sample; 0 while warming. */
function scoresOf(name: DetectorName, { values }: Recording): Float64Array {
  const detector = createDetector(name)
  const slab = createSlab(detector.stateLength)
  const ring = new HistoryRing(WINDOW)
  const judgement = createJudgement()
  detector.start(slab, 0)
  return values.map((value, n) => {
    detector.judge(ring.history, slab, 0, value, judgement)
    detector.learn(slab, 0, value, judgement)
    ring.push(value, n)
    return Number.isNaN(judgement.score) ? 0 : judgement.score
  })
}
