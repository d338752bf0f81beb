import { expect, test } from 'vitest'
import { Audit } from './audit.ts'
import type { Disturbances } from './disturbance.ts'
import type { Slowness } from './slowness.ts'
import { breachOf, takeOversAfter } from './take-over.ts'

/** A process is killed at 1000; its partition is leased again at `leasedAt`, and the last disturbance ended at `disturbedTo`. */
function takeOver({
  leasedAt,
  disturbedTo = 0,
  slowMs = 0,
}: {
  leasedAt?: number
  disturbedTo?: number
  slowMs?: number
}) {
  const audit = new Audit()
  if (leasedAt !== undefined) audit.acquisitions.push({ partition: 0, token: 'b:2', at: leasedAt })
  const [found] = takeOversAfter([{ process: 'a', at: 1000, partitions: [0] }], {
    audit,
    disturbances: { lastEnd: (from: number) => Math.max(from, disturbedTo) } as unknown as Disturbances,
    slowness: { between: () => slowMs } as unknown as Slowness,
    leaseTtlMs: 1500,
    heartbeatMs: 100,
    endAt: 60_000,
  })
  if (found === undefined) throw new Error('there is no take-over')
  return found
}

test('a lease within its time, a heartbeat and a second is in time', () => {
  expect(breachOf(takeOver({ leasedAt: 3600 }))).toBeUndefined()
})

test('a later one is not', () => {
  expect(breachOf(takeOver({ leasedAt: 3601 }))).toMatch(/^I9: partition 0 .* after 2601 ms, .* after 2600 ms/)
})

test('unless something else stood in the way, or the machine was slow', () => {
  expect(breachOf(takeOver({ leasedAt: 3601, disturbedTo: 1001 }))).toBeUndefined()
  expect(breachOf(takeOver({ leasedAt: 3601, slowMs: 1 }))).toBeUndefined()
  expect(breachOf(takeOver({ leasedAt: 9000, disturbedTo: 2000, slowMs: 500 }))).toMatch(/after 4100 ms/)
})

test('a partition that nobody takes is a breach', () => {
  expect(breachOf(takeOver({}))).toMatch(/never leased again/)
})
