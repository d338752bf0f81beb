import { ENTRY_ID_ZERO } from '@tidemark/shared/sample/receipt'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { expect, test } from 'vitest'
import { commitAlerts, openingOf } from '../../src/alert-commits.ts'
import { redisAvailable, startRedis } from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'
import { append } from '../../src/store-contract/harness.ts'

const TTL_MS = 60_000

/** What an analyzer needs since its user had only the others. */
const NEW_RIGHTS = ['mget', 'xread']

test.skipIf(!(await redisAvailable()))('an analyzer works with the rights that an earlier version needed', async () => {
  await using redis = await startRedis()
  await using admin = new AsyncDisposableStack()
  const client = admin.adopt(rawClient(redis.url), one => one.disconnect())
  await client.call('ACL', 'SETUSER', 'default', ...NEW_RIGHTS.map(command => `-${command}`))
  await using store = await openRedisStore({
    ...REDIS_STORE_DEFAULTS,
    url: redis.url,
    partitions: 3,
    onFailure: () => {},
  })
  const { analyzer, alerts } = store
  for (const partition of [0, 2]) await analyzer.acquireLease(partition, 'a:1', TTL_MS)
  const leases = [0, 1, 2].map(partition => ({ partition, token: 'a:1' }))
  expect(await analyzer.renewLeases(leases, TTL_MS)).toEqual([true, false, true])
  await append(store, 1, 3)
  const rest = await Promise.all([0, 1].map(partition => analyzer.atRest(partition)))
  expect(rest.map(({ accepted }) => accepted)).toEqual([0, 3])
  const opening = openingOf({ partition: 2, key: 'k', at: Date.now() })
  await commitAlerts(store, { partition: 2, token: 'a:1' }, { opened: [opening], waitMs: 0 })
  const positions = [0, 2].map(partition => ({ partition, after: ENTRY_ID_ZERO }))
  expect(await alerts.feeds(positions, 10)).toMatchObject([[], [{ alert: opening.id }]])
  expect(await client.call('ACL', 'LOG', '1')).not.toEqual([])
})
