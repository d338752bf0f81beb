import type { Analysis } from '@tidemark/client/types'
import { expect, test } from 'vitest'
import { sentenceOf } from './sentence.ts'

const SECOND = 1 / 1000
const ANALYSIS: Analysis = {
  key: 'a',
  value: 812,
  timestamp: 0,
  mean: 400,
  deviation: 44.3,
  z: 9.3,
  threshold: 2,
  low: 311.4,
  high: 488.6,
  anomaly: true,
  state: 'anomalous',
  count: 900,
  window: 50,
  id: '0:1-0',
  analyzed_at: 0,
}

test.each<[Partial<Analysis>, RegExp]>([
  [
    {},
    /^812 is 9\.3 deviations above the mean of the 50 samples before it; normal noise comes this far once in [\d,]+ years of this signal\. Usual is 311\.4 to 488\.6\.$/,
  ],
  [
    { value: 300, z: -2.26 },
    /^300 is 2\.3 deviations below .*; normal noise comes this far once in \d+ seconds of this signal/,
  ],
  [
    { z: 0.5, anomaly: false, state: 'ok' },
    /^812 is 0\.5 deviations above the mean of the 50 samples before it\. Usual is/,
  ],
  [{ z: 60 }, /normal noise never comes this far/],
  [{ z: 1e6, deviation: 0 }, /^812 differs from the 50 samples before it, which were all 400\.$/],
  [
    { z: null, low: null, high: null, state: 'warming', window: 12 },
    /^812\. This key is being learned: 13 samples so far\.$/,
  ],
  [{ state: 'flat', z: 0, anomaly: false }, /^812, as in all of the 50 samples before it\.$/],
  [{ rule: 'r', detector: 'mad', score: -4.2 }, /^812 is too low: the detector mad gives it 4\.2, the limit is 2\./],
  [{ range: 'above', unit: 'ms' }, /^812 ms is above the range that the rule of this key allows\.$/],
  [{ rate: 12.5, z: 3 }, /^12\.5 per second is 3\.0 deviations above/],
])('%o is said so that people understand it', (change, sentence) => {
  expect(sentenceOf({ ...ANALYSIS, ...change }, SECOND)).toMatch(sentence)
})

test('without a rate it says how rare, not how often', () => {
  expect(sentenceOf(ANALYSIS, undefined)).toContain('a value this far off is rare')
})
