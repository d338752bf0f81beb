import { keysUnder } from '@tidemark/shared/store/keys'
import type { AppendBatch } from '@tidemark/shared/store/ports/gateway'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { describe, expect, test } from 'vitest'
import { redisAvailable, startRedis } from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'

const PARTITIONS = 4

function batch(partition: number, value: number, more: Partial<AppendBatch> = {}): AppendBatch {
  return { partition, samples: `["k${partition}",${value},1]`, count: 1, ...more }
}

async function open(options = {}) {
  await using opening = new AsyncDisposableStack()
  const { url } = opening.use(await startRedis())
  const store = opening.use(
    await openRedisStore({ ...REDIS_STORE_DEFAULTS, url, partitions: PARTITIONS, onFailure: () => {}, ...options }),
  )
  const client = opening.adopt(rawClient(url), one => one.disconnect())
  const calls = async (): Promise<number> => {
    const found = (await client.info('commandstats')).matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)
    return found.reduce((sum, [, count]) => sum + Number(count), 0)
  }
  /** Returns how many commands a function makes, all but those of appends included. */
  const commandsOf = async (run: () => Promise<unknown>): Promise<number> => {
    const before = await calls()
    await run()
    return (await calls()) - before
  }
  const valuesIn = async (partition: number): Promise<number[]> => {
    const entries = await client.xrange(keysUnder('tm').partition(partition).samples, '-', '+')
    return entries.map(([, fields]) => Number(JSON.parse(String(fields[1]))[1]))
  }
  const resources = opening.move()
  return { store, client, commandsOf, valuesIn, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

describe.runIf(await redisAvailable())('an append of several partitions', () => {
  test('is one command', async () => {
    await using under = await open()
    const batches = Array.from({ length: 200 }, (_, i) => batch(i % PARTITIONS, i))
    await under.store.gateway.append(batches)
    expect(await under.commandsOf(() => under.store.gateway.append(batches))).toBe(1)
  })

  test('is several commands where one would be long', async () => {
    await using under = await open()
    await under.store.gateway.append([batch(0, -1)])
    const key = 'k'.repeat(100_000)
    const batches = Array.from({ length: 7 }, (_, i) => ({ ...batch(1, i), samples: `["${key}",${i},1]` }))
    expect(await under.commandsOf(() => under.store.gateway.append(batches))).toBe(4)
    expect(await under.valuesIn(1)).toEqual([0, 1, 2, 3, 4, 5, 6])
  })

  test('keeps the order of a partition where a retry of a request is in between', async () => {
    await using under = await open()
    const once = { request: 'r', ttlMs: 60_000 }
    const batches = [batch(0, 0), batch(1, 1), batch(0, 2, { once }), batch(0, 3), batch(1, 4), batch(0, 5)]
    const outcomes = await under.store.gateway.append(batches)
    expect(outcomes.map(({ kind }) => kind)).toEqual(batches.map(() => 'stored'))
    expect(await under.valuesIn(0)).toEqual([0, 2, 3, 5])
    expect(await under.valuesIn(1)).toEqual([1, 4])
    expect((await under.store.gateway.append([batch(0, 2, { once })]))[0]?.kind).toBe('known')
  })

  test('keeps the order of a partition when Redis has forgotten some of the scripts', async () => {
    await using under = await open()
    await under.client.script('FLUSH')
    await under.store.gateway.append([batch(1, 0)])
    const once = { request: 'r', ttlMs: 60_000 }
    await under.store.gateway.append([
      batch(0, 0, { once }),
      batch(0, 1),
      batch(0, 2, { once: { ...once, request: 's' } }),
    ])
    expect(await under.valuesIn(0)).toEqual([0, 1, 2])
  })

  test('does not fail for a partition whose stream is of another type', async () => {
    await using under = await open()
    await under.client.set(keysUnder('tm').partition(2).samples, 'not a stream')
    const outcomes = await under.store.gateway.append([0, 1, 2, 3].map(partition => batch(partition, partition)))
    expect(outcomes.map(({ kind }) => kind)).toEqual(['stored', 'stored', 'failed', 'stored'])
    expect(outcomes[2]).toMatchObject({ error: { kind: 'fatal', message: expect.stringMatching(/^WRONGTYPE/) } })
    expect(await under.store.gateway.progress([0, 1, 2, 3])).toMatchObject([1, 1, 0, 1].map(accepted => ({ accepted })))
  })

  test('is refused only for the partition whose backlog is full', async () => {
    await using under = await open({ backlogMax: 2 })
    await under.store.gateway.append([batch(1, 0, { count: 2 })])
    const outcomes = await under.store.gateway.append([0, 1, 2].map(partition => batch(partition, 1)))
    expect(outcomes).toMatchObject([{ kind: 'stored' }, { kind: 'backlog-full', backlog: 2 }, { kind: 'stored' }])
  })
})
