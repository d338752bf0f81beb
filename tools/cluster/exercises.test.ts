import { expect, test } from 'vitest'
import { mostReplicas } from './autoscaling.ts'
import { trafficRow } from './exercises.ts'
import { lostBetween } from './restore.ts'

const TRAFFIC = { sent: 1000, analysed: 1000, dead: 0, lost: 0, doubled: 0, longestMs: 1200 }

test('an exercise is good only if every sample was analysed once', () => {
  expect(trafficRow('a pod killed', 'ready after 3.0 s', TRAFFIC)).toEqual({
    what: 'a pod killed',
    result: 'ready after 3.0 s; 1,000 samples sent, 0 lost, 0 doubled; longest time to a 202: 1.2 s',
    isGood: true,
  })
  for (const wrong of [{ lost: 1 }, { doubled: 1 }, { dead: 1 }]) {
    expect(trafficRow('a', 'b', { ...TRAFFIC, ...wrong }).isGood).toBe(false)
  }
})

const BEFORE = { accepted: 100, analysed: 98, dead: 2, lost: 0, backlog: 0 }

test.each([
  ['nothing is lost', BEFORE, 0],
  ['verdicts are missing', { ...BEFORE, analysed: 90 }, 8],
  ['samples are missing', { ...BEFORE, accepted: 95, analysed: 93 }, 5],
  ['Redis counts them as lost', { ...BEFORE, analysed: 95, lost: 3 }, 3],
  ['more were sent since', { ...BEFORE, accepted: 110, analysed: 108 }, 0],
])('a restore: %s', (_, after, expected) => {
  expect(lostBetween(BEFORE, after)).toBe(expected)
})

test('the most replicas are those of the time of a load', () => {
  const points = [1, 3, 5, 2].map((replicas, i) => ({ at: i * 10, replicas, desired: replicas, percent: null }))
  expect(mostReplicas({ points })).toBe(5)
  expect(mostReplicas({ points }, 0, 15)).toBe(3)
  expect(mostReplicas({ points: [] })).toBe(0)
})
