import { expect, test } from 'vitest'
import type { EventLoopLag } from '../support/event-loop-lag.ts'
import { Audit } from './audit.ts'
import type { Disturbances } from './disturbance.ts'
import { takeoversAfter, takeoverViolation } from './takeover.ts'

/** The takeover of a partition whose owner was killed at 1000. */
function takeover({
  leasedAt,
  disturbedTo = 0,
  lagMs = 0,
}: {
  leasedAt?: number
  disturbedTo?: number
  lagMs?: number
}) {
  const audit = new Audit()
  if (leasedAt !== undefined) audit.acquisitions.push({ partition: 0, token: 'b:2', at: leasedAt })
  const [found] = takeoversAfter([{ process: 'a', at: 1000, partitions: [0] }], {
    audit,
    disturbances: { lastEnd: (from: number) => Math.max(from, disturbedTo) } as unknown as Disturbances,
    eventLoopLag: { between: () => lagMs } as unknown as EventLoopLag,
    leaseTtlMs: 1500,
    heartbeatMs: 100,
    endAt: 60_000,
  })
  if (found === undefined) throw new Error('no takeover')
  return found
}

test('a lease within the TTL, a heartbeat and a second is in time', () => {
  expect(takeoverViolation(takeover({ leasedAt: 3600 }))).toBeUndefined()
})

test('a later lease is a violation', () => {
  expect(takeoverViolation(takeover({ leasedAt: 3601 }))).toMatch(
    /^I9: partition 0 .* after 2601 ms; the limit is 2600 ms/,
  )
})

test('unless another disturbance delayed it or the machine was slow', () => {
  expect(takeoverViolation(takeover({ leasedAt: 3601, disturbedTo: 1001 }))).toBeUndefined()
  expect(takeoverViolation(takeover({ leasedAt: 3601, lagMs: 1 }))).toBeUndefined()
  expect(takeoverViolation(takeover({ leasedAt: 9000, disturbedTo: 2000, lagMs: 500 }))).toMatch(/limit is 4100 ms/)
})

test('a partition that is never leased again is a violation', () => {
  expect(takeoverViolation(takeover({}))).toMatch(/never leased again/)
})
