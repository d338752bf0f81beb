import { VERDICT_DEFAULTS, zScore } from '../../verdict/analysis.ts'
import { type Detector, type DetectorSettings, judgeWarming } from './detector.ts'
import { type Summary, summarize } from './summary.ts'

/** The mandated verdict: |value - mean| / deviation of the window. Equal to that of analysis.ts bit for bit. */
export function createZscore({ samplesMin = VERDICT_DEFAULTS.windowMin }: DetectorSettings = {}): Detector {
  const summary: Summary = { mean: 0, deviation: 0 }
  return {
    name: 'zscore',
    stateLength: 0,
    threshold: VERDICT_DEFAULTS.threshold,
    usesHistory: true,
    start() {},
    judge(history, _states, _at, value, _timestamp, judgement) {
      if (history.size < samplesMin || history.size === 0) return judgeWarming(judgement)
      summarize(history, summary)
      judgement.low = summary.mean
      judgement.high = summary.mean
      judgement.spread = summary.deviation
      judgement.score = Math.abs(zScore(value, summary.mean, summary.deviation))
    },
    learn() {},
  }
}
