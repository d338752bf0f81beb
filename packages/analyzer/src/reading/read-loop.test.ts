import { systemClock } from '@tidemark/shared/runtime/clock'
import type { Entry } from '@tidemark/shared/sample/entry'
import type { AnalyzerStore } from '@tidemark/shared/store/ports/analyzer'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { eventually } from '@tidemark/testkit/eventually'
import { Registry } from 'prom-client'
import { afterEach, expect, test } from 'vitest'
import { createAnalyzerMetrics } from '../metrics.ts'
import { bytesOf } from './entry-sizes.ts'
import { type EntryConsumer, ReadLoop } from './read-loop.ts'

const MIB = 1024 * 1024

const open: AsyncDisposable[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one[Symbol.asyncDispose]()
})

/** A partition that keeps what it is offered until `take` is called. */
class Queue implements EntryConsumer {
  readonly partition: number
  entries: Entry[] = []
  received = 0
  recoveries = 0
  takesEntries = true

  constructor(partition: number) {
    this.partition = partition
  }

  get queuedBytes(): number {
    return this.entries.reduce((sum, entry) => sum + bytesOf(entry), 0)
  }

  offer(entries: readonly Entry[]): void {
    this.entries.push(...entries)
    this.received += entries.length
  }

  recover(): void {
    this.recoveries++
  }
}

interface BacklogOptions {
  readonly length: number
  readonly bytes: (n: number) => number
  /** The only partition that has it. */
  readonly only?: number
}

/** A backlog of `length` entries of `bytes` in each partition; records the bytes of each read. */
function start(partitions: number, backlog: BacklogOptions) {
  const isEmpty = (partition: number): boolean => backlog.only !== undefined && backlog.only !== partition
  const left = new Map(
    Array.from({ length: partitions }, (_, partition) => [partition, isEmpty(partition) ? backlog.length : 0]),
  )
  const reads: { partitions: number; bytes: number; count: number; blockMs: number }[] = []
  const faults: unknown[] = []
  const store = {
    async read(wanted, { count, blockMs }) {
      const fault = faults.pop()
      if (fault !== undefined) throw fault
      const found = wanted.map(partition => {
        const from = left.get(partition) ?? 0
        const to = Math.min(backlog.length, from + count)
        left.set(partition, to)
        const entries = Array.from({ length: to - from }, (_, i) => {
          const n = from + i
          return { id: `1-${n}`, samples: 'x'.repeat(backlog.bytes(n)), count: 10, offset: 10 * n }
        })
        return { partition, entries }
      })
      const bytes = found.flatMap(({ entries }) => entries).reduce((sum, entry) => sum + bytesOf(entry), 0)
      reads.push({ partitions: wanted.length, bytes, count, blockMs })
      await systemClock.pause(bytes > 0 ? 0 : Math.min(blockMs, 5))
      return found.filter(({ entries }) => entries.length > 0)
    },
    interruptRead() {},
  } as Pick<AnalyzerStore, 'read' | 'interruptRead'> as AnalyzerStore
  const metrics = createAnalyzerMetrics(new Registry())
  const loop = new ReadLoop({ store, metrics, logFailure: () => {}, clock: systemClock })
  open.push(loop)
  const queues = Array.from({ length: partitions }, (_, partition) => new Queue(partition))
  return { loop, queues, reads, faults, metrics }
}

test.each([
  ['one partition with entries of 1 MiB', 1, 40, MIB],
  ['64 partitions with entries of 1 MiB, more than one read may deliver', 64, 3, MIB],
  ['64 partitions with entries of 100 KiB', 64, 20, 100 * 1024],
  ['256 partitions with entries of 10 KiB', 256, 20, 10 * 1024],
])('the reads after an outage are bounded: %s', async (_, partitions, length, bytes) => {
  const { loop, queues, reads } = start(partitions, { length, bytes: () => bytes })
  for (const queue of queues) loop.join(queue)
  await eventually(() => {
    // As workers do.
    for (const queue of queues) queue.entries = []
    loop.wake()
    expect(queues.every(({ received }) => received === length)).toBe(true)
  })
  expect(Math.max(...reads.map(one => one.bytes))).toBeLessThanOrEqual(16 * MIB)
})

test('an entry that is larger than a whole read is read alone', async () => {
  const { loop, queues, reads } = start(4, { length: 3, bytes: n => (n === 1 ? 20 * MIB : 100) })
  for (const queue of queues) loop.join(queue)
  await eventually(() => {
    for (const queue of queues) queue.entries = []
    loop.wake()
    expect(queues.every(({ received }) => received === 3)).toBe(true)
  })
  // Until the first of them was seen, nothing can tell its size; then they come one by one.
  const large = reads.filter(({ bytes }) => bytes >= 20 * MIB)
  expect(large.length).toBeGreaterThanOrEqual(1)
})

test('small entries are soon read many at a time', async () => {
  const { loop, queues, reads } = start(1, { length: 3000, bytes: () => 300 })
  for (const queue of queues) loop.join(queue)
  await eventually(() => {
    for (const queue of queues) queue.entries = []
    loop.wake()
    expect(queues[0]?.received).toBe(3000)
  })
  expect(Math.max(...reads.map(({ count }) => count))).toBe(500)
  expect(reads.filter(({ bytes }) => bytes > 0).length).toBeLessThan(25)
})

test.each([
  ['small', 2000, 300],
  ['large', 40, MIB],
])(
  'a backlog of %s entries is read in turns with the others, and nothing waits meanwhile',
  async (_, length, bytes) => {
    const { loop, queues, reads } = start(64, { length, bytes: () => bytes, only: 3 })
    for (const queue of queues) loop.join(queue)
    await eventually(() => {
      for (const queue of queues) queue.entries = []
      loop.wake()
      expect(queues[3]?.received).toBe(length)
    })
    const last = reads.findLastIndex(one => one.bytes > 0)
    // At first large entries are assumed of all.
    const during = reads.slice(last - 9, last + 1)
    expect(during.map(one => one.partitions)).toEqual([63, 1, 63, 1, 63, 1, 63, 1, 63, 1])
    expect(Math.max(...during.map(({ blockMs }) => blockMs))).toBe(0)
    expect(reads.at(-1)?.partitions).toBe(64)
  },
)

test('the queues are bounded in bytes', async () => {
  const { loop, queues, reads } = start(8, { length: 200, bytes: () => MIB })
  for (const queue of queues) loop.join(queue)
  const queued = (): number => queues.reduce((sum, { queuedBytes }) => sum + queuedBytes, 0)
  await eventually(() => expect(queued()).toBeGreaterThanOrEqual(64 * MIB))
  const before = reads.length
  for (let i = 0; i < 10; i++) {
    loop.wake()
    await systemClock.pause(0)
  }
  expect(reads.length).toBe(before)
  expect(queued()).toBeLessThanOrEqual(80 * MIB)
})

test('a partition that is stuck with full queues does not stop the others', async () => {
  const { loop, queues } = start(2, { length: 9, bytes: () => 100 })
  const [stuck, other] = queues as [Queue, Queue]
  stuck.offer(Array.from({ length: 70 }, (_, n) => ({ id: `0-${n}`, samples: 'x'.repeat(MIB), count: 1, offset: n })))
  for (const queue of queues) loop.join(queue)
  await eventually(() => {
    other.entries = []
    loop.wake()
    expect(other.received).toBe(9)
  })
  expect(stuck.received).toBe(70)
})

test.each([
  ['storeErrors', new StoreError('no response', { kind: 'unknown' })],
  ['faults', new TypeError('a bug')],
] as const)('after a failed read all partitions recover, and %s counts it', async (name, error) => {
  const { loop, queues, faults, metrics, reads } = start(2, { length: 1, bytes: () => 10 })
  for (const queue of queues) loop.join(queue)
  await eventually(() => expect(reads.length).toBeGreaterThan(12))
  faults.push(error)
  await eventually(() => expect(queues.map(({ recoveries }) => recoveries)).toEqual([1, 1]))
  expect((await metrics[name].get()).values[0]?.value).toBe(1)
  const other = name === 'faults' ? 'storeErrors' : 'faults'
  expect((await metrics[other].get()).values[0]?.value).toBe(0)
  const failedAt = reads.length
  await eventually(() => expect(reads.length).toBeGreaterThan(failedAt))
  expect(reads[failedAt]?.count).toBe(8)
})
