import { expect, test } from 'vitest'
import { addTally, alertsPerKeyDay, createTally, HitCounter, meanDelayMs, precision, recall } from './tally.ts'

test('precision, recall and delay follow from the events inside windows', () => {
  const tally = createTally()
  const counter = new HitCounter(tally.flagged, [
    { start: 100, end: 200 },
    { start: 300, end: 400 },
    { start: 500, end: 600 },
  ])
  for (const timestamp of [50, 130, 140, 200, 250, 400]) counter.hit(timestamp)
  expect(tally.flagged).toEqual({ count: 6, inside: 4, windows: 3, found: 2, delaysMs: 30 + 100 })
  expect(precision(tally.flagged)).toBe(4 / 6)
  expect(recall(tally.flagged)).toBe(2 / 3)
  expect(meanDelayMs(tally.flagged)).toBe(65)
})

test('the first event is the earliest one, even if events are out of order', () => {
  const tally = createTally()
  const counter = new HitCounter(tally.alerts, [{ start: 0, end: 100 }])
  for (const timestamp of [80, 20, 50]) counter.hit(timestamp)
  expect(tally.alerts).toMatchObject({ found: 1, delaysMs: 20 })
})

test('precision, recall and delay are NaN without windows and events', () => {
  const { flagged } = createTally()
  expect([precision(flagged), recall(flagged), meanDelayMs(flagged)]).toEqual([Number.NaN, Number.NaN, Number.NaN])
  const tally = createTally()
  expect(alertsPerKeyDay(tally)).toBeNaN()
  tally.alerts.count = 2
  tally.keyMs = 43_200_000
  expect(alertsPerKeyDay(tally)).toBe(4)
})

test('the tallies of files add up', () => {
  const total = createTally()
  for (const samples of [10, 20]) {
    const part = createTally()
    part.samples = samples
    part.isLabelled = samples === 20
    new HitCounter(part.flagged, [{ start: 0, end: 9 }]).hit(3)
    addTally(total, part)
  }
  expect(total).toMatchObject({
    samples: 30,
    isLabelled: true,
    flagged: { count: 2, windows: 2, found: 2, delaysMs: 6 },
  })
})
