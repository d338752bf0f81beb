import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { KeyStore } from '@tidemark/shared/store/ports/keys'
import { describe, expect, test } from 'vitest'
import { ANONYMOUS, type Principal } from '../access/principal.ts'
import type { Share } from '../limits/fair-budget.ts'
import { KeyAdmission } from './admission.ts'

const PARTITIONS = 4

const withLimit = (id: string, keysMax?: number): Principal => ({
  ...ANONYMOUS,
  id,
  via: 'api-key',
  limits: { keysMax },
})

interface Options {
  readonly keysMax?: number
  readonly keysPerOwnerMax?: number
  readonly samplesMax?: number
  readonly store?: MemoryStore
  readonly override?: Partial<KeyStore>
}

function setUp({ keysMax = 10, keysPerOwnerMax, samplesMax = 1000, override = {}, ...options }: Options = {}) {
  const store = options.store ?? createMemoryStore({ partitions: PARTITIONS })
  let now = 0
  const rejected: [string, number][] = []
  const failures: unknown[] = []
  const requests: string[] = []
  const counted = new Proxy(
    { ...store.keys, ...override },
    {
      get(target, name: keyof KeyStore) {
        return (...args: unknown[]) => {
          requests.push(name)
          return (target[name] as (...args: unknown[]) => unknown)(...args)
        }
      },
    },
  )
  const admission = new KeyAdmission({
    store: counted,
    partitions: PARTITIONS,
    keysMax,
    keysPerOwnerMax,
    samplesMax,
    now: () => now,
    onRejected: (...args) => rejected.push(args),
    onFailure: error => failures.push(error),
  })
  const isKnown = (key: string) => admission.locate([{ key }]).unknown === undefined
  const shares = new Map<Principal, Share>()
  const shareOf = (principal: Principal): Share => {
    const share = shares.get(principal) ?? { used: 0 }
    shares.set(principal, share)
    return share
  }
  /** Does what a request does: admits those of its keys that are not known. */
  async function send(keys: readonly string[], principal = ANONYMOUS): Promise<string[]> {
    const { unknown } = admission.locate(keys.map(key => ({ key })))
    if (unknown === undefined) return []
    return [...(await admission.admit(unknown, { principal, share: shareOf(principal), samples: keys.length })).keys()]
  }
  return {
    store,
    admission,
    send,
    isKnown,
    rejected,
    failures,
    requests,
    advance: (ms: number) => {
      now += ms
    },
  }
}

const names = (count: number, prefix = 'k') => Array.from({ length: count }, (_, n) => `${prefix}${n}`)

async function evict(store: MemoryStore, key: string): Promise<void> {
  const partition = partitionOf(key, PARTITIONS)
  const lease = { partition, token: `owner:${key}` }
  await store.analyzer.acquireLease(partition, lease.token, 1e6)
  const { attempt: _, rulesVersion, ...from } = await store.analyzer.loadCheckpoint(partition)
  const outcome = await store.analyzer.commit(lease, {
    ...{ from, to: from, entries: [], witness: undefined, analysed: 0, dead: 0, rulesVersion, keys: [], anomalies: [] },
    ...{
      deadLetters: [],
      verdicts: [],
      keepFrom: undefined,
      alerts: { opened: [], ended: [] },
      timers: [],
      counts: [],
    },
    shadowed: [],
    evicted: [{ key, shadow: `\u0001${key}`, deletion: '' }],
  })
  expect(outcome).toMatchObject({ kind: 'ok', evicted: 1 })
  await store.analyzer.releaseLease(lease)
}

describe('admission of keys', () => {
  test('a request with more new keys than there is room for is admitted in order, up to the limit', async () => {
    const { send, isKnown, store } = setUp({ keysMax: 10 })
    expect(await send(['known'])).toEqual([])
    expect(await send([...names(15), 'known'])).toEqual(names(15).slice(9))
    expect(isKnown('k8')).toBe(true)
    expect(isKnown('k9')).toBe(false)
    expect(await send(['k9', 'k8', 'known'])).toEqual(['k9'])
    const { partitions } = await store.keys.counts([])
    expect(partitions.reduce((sum, { keys }) => sum + keys, 0)).toBe(10)
  })

  test('concurrent requests never exceed the limit, and share one look-up', async () => {
    const { send, requests, store } = setUp({ keysMax: 50 })
    await send(['first'])
    requests.length = 0
    const refused = await Promise.all(Array.from({ length: 20 }, (_, n) => send(names(5, `r${n}-`))))
    expect(refused.flat()).toHaveLength(51)
    expect((await store.keys.counts([])).partitions.reduce((sum, { keys }) => sum + keys, 0)).toBe(50)
    expect(requests.filter(name => name === 'lookUp').length).toBeLessThanOrEqual(2)
  })

  test('a known key costs no request to the store', async () => {
    const { send, requests } = setUp()
    await send(['a', 'b'])
    requests.length = 0
    for (let n = 0; n < 100; n++) expect(await send(['a', 'b'])).toEqual([])
    expect(requests).toEqual([])
  })

  test('an API key has the limit of its own, or that of all', async () => {
    const { send } = setUp({ keysMax: 100, keysPerOwnerMax: 3 })
    expect(await send(names(5), withLimit('one'))).toEqual(['k3', 'k4'])
    expect(await send(names(5), withLimit('two'))).toEqual([])
    expect(await send(names(9, 'x'), withLimit('two', 4))).toEqual(['x2', 'x3', 'x4', 'x5', 'x6', 'x7', 'x8'])
    expect(await send(names(20, 'y'))).toEqual([])
  })

  test('keys of an earlier version, which have a window only, are registered whatever the limit', async () => {
    const { send, store } = setUp({ keysMax: 1, override: { lookUp: async keys => keys.map(() => 'stored') } })
    expect(await send(names(5))).toEqual([])
    expect((await store.keys.counts([])).partitions.reduce((sum, { keys }) => sum + keys, 0)).toBe(5)
  })

  test('an evicted key is unknown within a second, and is counted again', async () => {
    const { send, isKnown, store, advance } = setUp({ keysMax: 2 })
    await send(['a', 'b'])
    await evict(store, 'a')
    expect(isKnown('a')).toBe(true)
    advance(1000)
    expect(await send(['b', 'c'])).toEqual([])
    expect(isKnown('a')).toBe(false)
    expect(await send(['a', 'b', 'c'])).toEqual(['a'])
  })

  test('after a while without requests no key is taken for known', async () => {
    const { send, store, advance } = setUp({ keysMax: 1 })
    await send(['a'])
    await evict(store, 'a')
    await store.keys.register([{ partition: 0, key: 'other', owner: '' }])
    advance(10_000)
    expect(await send(['a'])).toEqual(['a'])
  })

  test('a failed look-up rejects the requests that wait for it, and the next one succeeds', async () => {
    const away = new StoreError('away', { kind: 'refused' })
    let isAway = true
    const store = createMemoryStore({ partitions: PARTITIONS })
    const lookUp: KeyStore['lookUp'] = keys => (isAway ? Promise.reject(away) : store.keys.lookUp(keys))
    const { send, rejected } = setUp({ store, override: { lookUp } })
    await expect(send(['a', 'b'])).rejects.toBe(away)
    expect(rejected).toEqual([['store', 2]])
    isAway = false
    expect(await send(['a', 'b'])).toEqual([])
  })

  test("at the store's memory limit no key is admitted", async () => {
    const { send, isKnown, rejected } = setUp({ override: { register: async () => 'no-memory' } })
    await expect(send(['a'])).rejects.toMatchObject({ fault: { kind: 'overloaded' } })
    expect(isKnown('a')).toBe(false)
    expect(rejected).toEqual([['memory', 1]])
  })

  test('samples that wait for admission have a bound', async () => {
    const { send, rejected } = setUp({ samplesMax: 5 })
    const first = send(names(4))
    await expect(send(names(4, 'x'))).rejects.toMatchObject({ fault: { kind: 'overloaded' } })
    expect(rejected).toEqual([['queue', 4]])
    expect(await first).toEqual([])
  })
})
