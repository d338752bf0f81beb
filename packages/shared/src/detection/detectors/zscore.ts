import { VERDICT_DEFAULTS } from '../../verdict/analysis.ts'
import { zScore } from '../../verdict/score.ts'
import { type Detector, type DetectorSettings, judgeWarming } from './detector.ts'
import { type Summary, summarizeFor } from './summary.ts'

/** The default detector: |value - mean| / deviation of the window, as in verdict/score.ts. */
export function createZscore({ samplesMin = VERDICT_DEFAULTS.windowMin }: DetectorSettings = {}): Detector {
  const summary: Summary = { mean: 0, rest: 0, deviation: 0 }
  return {
    name: 'zscore',
    stateLength: 0,
    threshold: VERDICT_DEFAULTS.threshold,
    start() {},
    judge(history, _slab, _at, value, judgement) {
      if (history.size < samplesMin || history.size === 0) return judgeWarming(judgement)
      summarizeFor(value, history, summary)
      judgement.low = summary.mean
      judgement.high = summary.mean
      judgement.spread = summary.deviation
      judgement.score = Math.abs(zScore(value, summary.mean, summary.deviation, summary.rest))
    },
    learn() {},
  }
}
