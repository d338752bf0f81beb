import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { describe, expect, test } from 'vitest'
import { CONTRACT_OPTIONS, describeStoreContract } from '../../src/store-contract/contract.ts'
import type { StoreProbe, StoreUnderTest } from '../../src/store-contract/harness.ts'
import { append } from '../../src/store-contract/harness.ts'

/** 2026-01-01. The clock stands still until a test advances it. */
const START_MS = 1_767_225_600_000

async function open(): Promise<StoreUnderTest> {
  let clock = START_MS
  const store = createMemoryStore({ ...CONTRACT_OPTIONS, now: () => clock })
  const { inspect } = store
  const probe: StoreProbe = {
    appendRaw: async (partition, fields) => inspect.appendRaw(partition, fields),
    deleteEntry: async (partition, id) => inspect.deleteEntry(partition, id),
    replaceEntry: async (...args) => inspect.replaceEntry(...args),
    destroyGroup: async partition => inspect.destroyGroup(partition),
    streamIds: async partition => inspect.streamIds(partition),
    pendingIds: async partition => inspect.pendingIds(partition),
    verdictIds: async partition => inspect.verdictIds(partition),
    anomalies: async partition => inspect.anomalies(partition),
    deadLetters: async partition => inspect.deadLetters(partition),
    advanceTime: async ms => {
      clock += ms
    },
  }
  return {
    store,
    probe,
    limits: { ...CONTRACT_OPTIONS, trimSlack: 0 },
    connect: async () => store.connect(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }
}

describeStoreContract('in memory', open)

describe('ids of the memory store', () => {
  test('consist of the clock and a sequence number, as in Redis', async () => {
    let clock = START_MS
    const store = createMemoryStore({ partitions: 1, now: () => clock })
    expect(await append(store, 0, 1, 1)).toEqual([`${START_MS}-0`, `${START_MS}-1`])
    clock += 1.7
    expect(await append(store, 0, 1)).toEqual([`${START_MS + 1}-0`])
  })

  test('grow even when the clock goes back, and after everything was trimmed', async () => {
    let clock = START_MS
    const store = createMemoryStore({ partitions: 2, now: () => clock })
    const [first = ''] = await append(store, 0, 1)
    clock -= 60_000
    expect(await append(store, 0, 1)).toEqual([`${START_MS}-1`])
    store.inspect.deleteEntry(0, first)
    store.inspect.deleteEntry(0, `${START_MS}-1`)
    expect(await append(store, 0, 1)).toEqual([`${START_MS}-2`])
    expect(await append(store, 1, 1)).toEqual([`${START_MS - 60_000}-0`])
  })

  test('begin at 0-1 when the clock is zero: 0-0 is before every entry', async () => {
    const store = createMemoryStore({ partitions: 1, now: () => 0 })
    expect(await append(store, 0, 1)).toEqual(['0-1'])
  })
})
