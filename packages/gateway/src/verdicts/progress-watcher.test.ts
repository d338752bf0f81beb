import type { Progress } from '@tidemark/shared/store/ports/gateway'
import { describe, expect, test, vi } from 'vitest'
import { ProgressWatcher } from './progress-watcher.ts'

/** What the one client of a test has waiting. */
const SHARE = { used: 0 }

/** A store whose checkpoints the test moves. */
function createCheckpoints() {
  const checkpoints = new Map<number, string>()
  const calls: (readonly number[])[] = []
  const progressOf = (partition: number): Progress => ({
    checkpoint: checkpoints.get(partition) ?? '0-0',
    accepted: 10,
    analysed: 3,
    dead: 0,
    lost: 0,
    backlog: 7,
  })
  return {
    checkpoints,
    calls,
    progress: async (partitions: readonly number[]) => {
      calls.push(partitions)
      return partitions.map(progressOf)
    },
  }
}

describe('waiting for a checkpoint', () => {
  test('ends at once if the checkpoint is already there', async () => {
    const store = createCheckpoints()
    store.checkpoints.set(3, '10-0')
    const watcher = new ProgressWatcher({ store, waitersMax: 10, timeoutMs: 1000 })
    expect(await watcher.wait({ partition: 3, id: '9-5' }, 1000, SHARE)).toEqual({ kind: 'reached' })
    expect(store.calls).toEqual([[3]])
  })

  test('ends for all waiters when the checkpoint is there, with shared reads', async () => {
    const store = createCheckpoints()
    const watcher = new ProgressWatcher({ store, waitersMax: 10, timeoutMs: 1000 })
    const waits = [
      watcher.wait({ partition: 1, id: '9-0' }, 5000, SHARE),
      watcher.wait({ partition: 1, id: '10-0' }, 5000, SHARE),
      watcher.wait({ partition: 2, id: '5-0' }, 5000, SHARE),
    ]
    setTimeout(() => store.checkpoints.set(1, '10-0').set(2, '6-0'), 20)
    expect(await Promise.all(waits)).toEqual([{ kind: 'reached' }, { kind: 'reached' }, { kind: 'reached' }])
    expect(store.calls.at(-1)).toEqual([1, 2])
    const reads = store.calls.length
    await new Promise(resolve => setTimeout(resolve, 30))
    expect(store.calls).toHaveLength(reads)
  })

  test('starts with a read at once, however long others have waited', async () => {
    vi.useFakeTimers()
    try {
      const store = createCheckpoints()
      store.checkpoints.set(2, '5-0')
      const watcher = new ProgressWatcher({ store, waitersMax: 10, timeoutMs: 1000 })
      const long = watcher.wait({ partition: 1, id: '9-0' }, 60_000, SHARE)
      await vi.advanceTimersByTimeAsync(1000)
      expect(await watcher.wait({ partition: 2, id: '5-0' }, 60_000, SHARE)).toEqual({ kind: 'reached' })
      // Every 10 ms, not more often.
      expect(store.calls.length).toBeLessThan(120)
      watcher[Symbol.dispose]()
      await long
    } finally {
      vi.useRealTimers()
    }
  })

  test('times out with the backlog', async () => {
    const watcher = new ProgressWatcher({ store: createCheckpoints(), waitersMax: 10, timeoutMs: 1000 })
    expect(await watcher.wait({ partition: 1, id: '9-0' }, 15, SHARE)).toEqual({ kind: 'timed-out', backlog: 7 })
  })

  test('is limited to a number of requests', async () => {
    const watcher = new ProgressWatcher({ store: createCheckpoints(), waitersMax: 2, timeoutMs: 1000 })
    const receipt = { partition: 1, id: '9-0' }
    const waits = [watcher.wait(receipt, 15, SHARE), watcher.wait(receipt, 15, SHARE)]
    expect(await watcher.wait(receipt, 15, SHARE)).toEqual({ kind: 'rejected' })
    await Promise.all(waits)
    expect((await watcher.wait(receipt, 1, SHARE)).kind).toBe('timed-out')
  })

  test('ends with the error of the store, and the next wait works', async () => {
    const store = createCheckpoints()
    const watcher = new ProgressWatcher({
      store: {
        progress: partitions => (store.calls.length === 0 ? fail(store, partitions) : store.progress(partitions)),
      },
      waitersMax: 10,
      timeoutMs: 1000,
    })
    expect(await watcher.wait({ partition: 1, id: '9-0' }, 1000, SHARE)).toMatchObject({ kind: 'failed' })
    store.checkpoints.set(1, '9-0')
    expect(await watcher.wait({ partition: 1, id: '9-0' }, 1000, SHARE)).toEqual({ kind: 'reached' })
  })

  test('ends for all waiters when the gateway stops', async () => {
    const watcher = new ProgressWatcher({ store: createCheckpoints(), waitersMax: 10, timeoutMs: 1000 })
    const wait = watcher.wait({ partition: 1, id: '9-0' }, 60_000, SHARE)
    watcher[Symbol.dispose]()
    expect((await wait).kind).toBe('ended')
    expect((await watcher.wait({ partition: 1, id: '9-0' }, 60_000, SHARE)).kind).toBe('ended')
  })

  test('of 0 ms looks once, also behind a look in progress', async () => {
    const store = createCheckpoints()
    const watcher = new ProgressWatcher({ store, waitersMax: 10, timeoutMs: 1000 })
    const long = watcher.wait({ partition: 1, id: '9-0' }, 60_000, SHARE)
    store.checkpoints.set(2, '9-0')
    const waits = [
      watcher.wait({ partition: 2, id: '9-0' }, 0, SHARE),
      watcher.wait({ partition: 1, id: '9-0' }, 0, SHARE),
    ]
    expect(await Promise.all(waits)).toEqual([{ kind: 'reached' }, { kind: 'timed-out', backlog: 7 }])
    watcher[Symbol.dispose]()
    await long
  })

  test.each([0, 20, 5000])('of %d ms fails when the store does not report the progress', async waitMs => {
    const store = { progress: () => new Promise<Progress[]>(() => {}) }
    const watcher = new ProgressWatcher({ store, waitersMax: 10, timeoutMs: 50 })
    expect(await watcher.wait({ partition: 1, id: '9-0' }, waitMs, SHARE)).toMatchObject({
      kind: 'failed',
      error: { kind: 'unknown' },
    })
  })

  test('ends with its client, and frees its place', async () => {
    const watcher = new ProgressWatcher({ store: createCheckpoints(), waitersMax: 1, timeoutMs: 1000 })
    const client = new AbortController()
    const wait = watcher.wait({ partition: 1, id: '9-0' }, 60_000, SHARE, client.signal)
    client.abort()
    expect(watcher.waiting).toBe(0)
    expect(await wait).toEqual({ kind: 'ended' })
    expect((await watcher.wait({ partition: 1, id: '9-0' }, 0, SHARE)).kind).toBe('timed-out')
    expect((await watcher.wait({ partition: 1, id: '9-0' }, 0, SHARE, client.signal)).kind).toBe('ended')
  })
})

function fail(store: ReturnType<typeof createCheckpoints>, partitions: readonly number[]): Promise<Progress[]> {
  store.calls.push(partitions)
  return Promise.reject(new Error('away'))
}
