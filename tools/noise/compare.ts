import { createJudgement } from '@tidemark/shared/detection/detectors/detector'
import { createSlab } from '@tidemark/shared/detection/detectors/places'
import { createDetector, type DetectorName } from '@tidemark/shared/detection/detectors/registry'
import { HistoryRing } from '@tidemark/testkit/history-ring'
import { CHOSEN_BY, createRecording, HELD_OUT, type Recording, UNSEEN } from './labelled.ts'
import { bestThreshold, type Scored, windowScore } from './window-score.ts'

const WINDOW = 50

/**
 * Scores how well a detector finds the labelled anomalies in recordings of many kinds, at the
 * threshold with the best score on the kinds used to choose detectors and constants.
 */
export function scoreRecordings(name: DetectorName, recordings: number) {
  const scored = (kinds: typeof CHOSEN_BY, seed: number): Scored[] =>
    Object.entries(kinds).flatMap(([kind, create]) =>
      Array.from({ length: recordings }, (_, n) => {
        const recording = createRecording(kind, create, seed + n)
        return { recording, scores: scoresOf(name, recording) }
      }),
    )
  // The groups share nothing, not even seeds.
  const chosenBy = scored(CHOSEN_BY, 1)
  const heldOut = scored(HELD_OUT, 1001)
  const unseen = scored(UNSEEN, 2001)
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
