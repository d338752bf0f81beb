import { NOT_NOTIFIED } from '@tidemark/shared/detection/alerts/record'
import { EMPTY_DOCUMENT, withStorm } from '@tidemark/shared/detection/rules/document'
import { ENTRY_ID_ZERO } from '@tidemark/shared/sample/receipt'
import { keysUnder } from '@tidemark/shared/store/keys'
import type { Store } from '@tidemark/shared/store/ports/store'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { describe, expect, test } from 'vitest'
import { commitAlerts, openingOf } from '../../src/alert-commits.ts'
import { redisAvailable, startRedis } from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'
import { appendAndRead, commitOf, only, own } from '../../src/store-contract/harness.ts'

const AT = keysUnder('tm').partition(0)
const BY = { who: 'ada', why: 'the winter', at: 1_700_000_000_000 }

/** A store, a client that bypasses it, and the failures that the store reported. */
interface Setup extends AsyncDisposable {
  readonly store: Store
  readonly client: ReturnType<typeof rawClient>
  readonly failures: string[]
}

async function open(): Promise<Setup> {
  const stack = new AsyncDisposableStack()
  const { url } = stack.use(await startRedis())
  const failures: string[] = []
  const onFailure = ({ message }: Error): void => void failures.push(message)
  const store = stack.use(await openRedisStore({ ...REDIS_STORE_DEFAULTS, url, partitions: 2, onFailure }))
  const client = stack.adopt(rawClient(url), one => one.disconnect())
  return { store, client, failures, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

describe.skipIf(!(await redisAvailable()))('stored data that cannot be read', () => {
  test.each([
    ['o:', '{"id":'],
    ['o:', '{"id":"x","cause":{"kind":"unheard of"}}'],
    ['e:', '[]'],
    ['a:', '{"who":1}'],
    ['s:', '{"who":"a","why":"b","at":1}'],
    ['t:', '{"told":"often"}'],
    ['h:', '{"opened":"often"}'],
    ['f:', '{"useful":1}'],
  ])('an alert whose part %s is %s is left out and reported; the others are listed', async (part, text) => {
    await using setup = await open()
    const { store, client, failures } = setup
    const lease = await own(store, 0)
    const good = openingOf({ partition: 0, key: 'k1', at: 1 })
    const bad = openingOf({ partition: 0, key: 'k2', at: 2 })
    await commitAlerts(store, lease, { opened: [good, bad] })
    await client.hset(AT.alerts, part + bad.id, text)

    const listed = await store.alerts.list(0, { state: 'firing', count: 10 })
    expect(listed.map(({ id }) => id)).toEqual([bad.id, good.id])
    const parts = await store.alerts.read(0, [bad.id, good.id])
    expect(parts).toMatchObject([null, { opening: good }])
    expect(failures).toEqual([`the stored alert ${bad.id} cannot be read; it is left out`])

    // Its check does not block the others for ever.
    expect((await store.alerts.dueNotifications(0, 1)).alerts.length).toBeLessThanOrEqual(1)
    expect((await store.alerts.dueNotifications(0, 10)).alerts).toMatchObject([{ id: good.id }])
    await store.alerts.dueNotifications(0, 10)
    expect(await client.zrangebyscore(AT.notificationChecks, '-inf', '+inf')).toEqual([good.id])
  })

  test.each([
    ['not JSON', '['],
    ['no list', '{"a":1}'],
    ['a list of something else', '[1,"x",[],{}]'],
    ['counts of something else', '[["a",1,"b","c",null]]'],
  ])('counts of alerts that are %s do not keep an alert from opening or being marked', async (_, text) => {
    await using setup = await open()
    const { store, client } = setup
    const lease = await own(store, 0)
    await client.hset(AT.keyAlerts, 'k', text)
    await client.hset(AT.ruleAlerts, '', text)
    const opening = openingOf({ partition: 0, key: 'k', at: 1 })
    await commitAlerts(store, lease, { opened: [opening] })
    expect(await store.alerts.setFeedback(0, opening, { useful: true, who: null, why: null, at: 1 })).toBe(true)
    expect(await store.alerts.read(0, [opening.id])).toMatchObject([{ opening, feedback: { useful: true } }])
    const count = { day: 0, opened: 1, useful: 1, noise: 0 }
    const { keys } = await store.alerts.keyAlertCounts(0, { cursor: '0', count: 10 })
    expect(keys).toEqual([['k', [{ ...count, name: `${opening.cause.kind}:` }]]])
    expect(await store.alerts.ruleAlertCounts([0])).toEqual([new Map([['', [{ ...count, name: '' }]]])])
  })

  test('an alert with members that another version wrote is read without them', async () => {
    await using setup = await open()
    const { store, client, failures } = setup
    const lease = await own(store, 0)
    const opening = openingOf({ partition: 0, key: 'k', at: 1 })
    await commitAlerts(store, lease, { opened: [opening] })
    await client.hset(AT.alerts, `o:${opening.id}`, JSON.stringify({ ...opening, team: 'a' }))
    await client.hset(AT.alerts, `t:${opening.id}`, JSON.stringify({ ...NOT_NOTIFIED, channel: 'b' }))
    const parts = only(await store.alerts.read(0, [opening.id]))
    const similar = { opened: 0, useful: 0, noise: 0 }
    expect(parts).toEqual({ opening, end: null, operator: null, notification: NOT_NOTIFIED, similar })
    expect(failures).toEqual([])
  })

  test('entries of the outbox and of the feed are left out', async () => {
    await using setup = await open()
    const { store, client } = setup
    for (const fields of [{ hello: 'world' }, { a: 'x', s: 'gone', n: '1' }, { a: 'x', s: 'firing', n: 'one' }]) {
      await client.xadd(AT.outbox, '*', ...Object.entries(fields).flat())
    }
    for (const fields of [
      { k: 'opened', a: 'x', c: 'rust' },
      { k: 'closed', a: 'x', c: 'silent' },
    ]) {
      await client.xadd(AT.alertFeed, '*', ...Object.entries(fields).flat())
    }
    await client.xadd(AT.outbox, '*', 'a', 'x', 's', 'firing', 'n', '2')
    await client.xadd(AT.alertFeed, '*', 'k', 'opened', 'a', 'x', 'c', 'silent', 'o', '5')
    expect(await store.alerts.outbox(0, 'hook', 10)).toMatchObject([{ alert: 'x', status: 'firing', number: 2 }])
    expect(await store.alerts.feed(0, ENTRY_ID_ZERO, 10)).toMatchObject([{ alert: 'x', cause: 'silent', openedAt: 5 }])
  })

  test.each(['{', 'null', '{"version":1}', '{"version":"1","rules":[],"mutes":[],"storm":{}}'])(
    'the rule document %s is a fatal error that names the key',
    async text => {
      await using setup = await open()
      await setup.client.hset('tm:{rules}:document', 'document', text)
      await expect(setup.store.rules.load()).rejects.toMatchObject({
        kind: 'fatal',
        message: expect.stringContaining('tm:{rules}:document'),
      })
    },
  )

  test('a change of the rules is left out and reported', async () => {
    await using setup = await open()
    const { store, client, failures } = setup
    const document = withStorm(EMPTY_DOCUMENT, { percent: 30, within: '1m', keys_min: 10 })
    const change = { ...BY, version: 1, kind: 'storm_put', id: null, content: document.storm } as const
    await store.rules.replace(document, change, '')
    await client.xadd('tm:{rules}:changes', '*', 'c', '{"kind":"unheard of"}')
    expect(await store.rules.changes({ count: 10 })).toEqual([change])
    expect(failures).toEqual([expect.stringContaining('cannot be read')])
  })

  test('verdicts count as no longer kept', async () => {
    await using setup = await open()
    const { store, client } = setup
    const lease = await own(store, 0)
    const entries = await appendAndRead(store, 0, 1)
    const { id } = only(entries)
    await client.xadd(AT.verdicts, id, 'f', 'x', 't', 'high')
    await store.analyzer.commit(lease, commitOf({ id: '0-0', offset: 0 }, entries, { keepFrom: id }))
    expect(await store.gateway.verdicts(0, id)).toBeNull()
  })
})
