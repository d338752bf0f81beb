import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { describe, expect, test } from 'vitest'
import { eventually } from '../../src/eventually.ts'
import { redisAvailable, startRedis } from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'

describe.runIf(await redisAvailable())('the connection of blocking reads', () => {
  test('is closed if it cannot be used, so that it does not keep a stopped process alive', async () => {
    await using stack = new AsyncDisposableStack()
    const { url } = stack.use(await startRedis())
    const admin = stack.adopt(rawClient(url), one => one.disconnect())
    await admin.call('ACL', 'SETUSER', 'app', 'on', '>secret', '~*', '+@all', '-client|id')
    const connections = async (): Promise<number> =>
      String(await admin.call('CLIENT', 'LIST')).match(/ user=app /g)?.length ?? 0
    const app = url.replace('redis://', 'redis://app:secret@')
    const store = await openRedisStore({ ...REDIS_STORE_DEFAULTS, url: app, partitions: 2, onFailure: () => {} })
    try {
      const before = await connections()
      for (let i = 0; i < 3; i++) {
        await expect(store.analyzer.read([0], { count: 1, blockMs: 10 })).rejects.toThrow('CLIENT ID')
      }
      await eventually(async () => expect(await connections()).toBe(before))
      await admin.call('ACL', 'SETUSER', 'app', '+client|id')
      await store.analyzer.loadCheckpoint(0)
      expect(await store.analyzer.read([0], { count: 1, blockMs: 10 })).toEqual([])
    } finally {
      await store[Symbol.asyncDispose]()
    }
    await eventually(async () => expect(await connections()).toBe(0))
  })
})
