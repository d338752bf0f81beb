import { alertId } from '@tidemark/shared/detection/alerts/openings'
import type { AlertOpening } from '@tidemark/shared/detection/alerts/record'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { describe, expect, test } from 'vitest'
import { groupsPageSchema } from '../src/alerts/groups.ts'
import { alertsPageSchema } from '../src/alerts/schemas.ts'
import { createTestClient } from './support/client.ts'
import { commitEffects, NOW } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const PARTITIONS = 4

async function open(store: MemoryStore, key: string, seconds: number, changes: Partial<AlertOpening> = {}) {
  const time = NOW + seconds * 1000
  const partition = partitionOf(key, PARTITIONS)
  const opening: AlertOpening = {
    id: alertId({ partition, kind: 'silent', key, count: 1, time }),
    key,
    rule: null,
    severity: 'warning',
    opened_at: time,
    cause: { kind: 'silent', last_at: time - 30_000, expected_ms: 1000 },
    ...changes,
  }
  await commitEffects(store, partition, {
    alerts: { opened: [{ opening, openedBefore: 0, notifyAfterMs: 0 }], ended: [] },
  })
  return opening
}

/** Two devices and a boiler, whose alerts open 30 s apart. */
async function createWorld() {
  const store = createMemoryStore({ partitions: PARTITIONS })
  for (const [i, metric] of ['cpu', 'fan', 'load'].entries()) await open(store, `edge-17/${metric}`, i)
  for (const [i, metric] of ['cpu', 'fan'].entries())
    await open(store, `edge-18/${metric}`, 30 + i, { severity: 'critical', rule: 'edge' })
  await open(store, 'boiler', 60)
  const client = createTestClient({ store })
  const groups = (query = '') => client.get(`/alerts/groups?${query}`, groupsPageSchema)
  return { store, client, groups }
}

describe('GET /alerts/groups', () => {
  test('is empty at first', async () => {
    const client = createTestClient({ store: createMemoryStore() })
    expect(await client.get('/alerts/groups', groupsPageSchema)).toEqual({
      groups: [],
      counts: { groups: 0, alerts: 0 },
      truncated: false,
      cursor: null,
    })
  })

  test('names each group by what its alerts share, newest first, with its first alerts', async () => {
    const { groups } = await createWorld()
    const page = await groups('members=2')
    expect(page.groups.map(({ name }) => name.replace(/since .*/, 'since'))).toEqual([
      'boiler since',
      '2 metrics of edge-18 since',
      '3 metrics of edge-17 since',
    ])
    expect(page).toMatchObject({ counts: { groups: 3, alerts: 6 }, truncated: false, cursor: null })
    expect(page.groups[2]).toMatchObject({
      by: 'device',
      device: 'edge-17',
      prefix: 'edge-17/',
      severity: 'warning',
      since: NOW,
      last_opened_at: NOW + 2000,
      count: 3,
      keys: 3,
      explanation: expect.stringMatching(/^3 metrics of edge-17 since .*: cpu, fan, load\.$/),
    })
    expect(page.groups[2]?.alerts.map(({ key }) => key)).toEqual(['edge-17/cpu', 'edge-17/fan'])
    expect(page.groups[1]?.severity).toBe('critical')
  })

  test('is paged, and shows the alerts that pass its filters', async () => {
    const { groups } = await createWorld()
    const first = await groups('limit=2')
    const second = await groups(`limit=2&cursor=${first.cursor}`)
    expect([...first.groups, ...second.groups].map(({ count }) => count)).toEqual([1, 2, 3])
    expect(second.cursor).toBeNull()
    for (const [query, counts] of [
      ['prefix=edge-18/', { groups: 1, alerts: 2 }],
      ['severity=critical', { groups: 1, alerts: 2 }],
      ['rule=edge', { groups: 1, alerts: 2 }],
      ['kind=anomaly', { groups: 0, alerts: 0 }],
      ['prefix=edge-17/f', { groups: 1, alerts: 1 }],
    ] as const) {
      expect([query, (await groups(query)).counts]).toEqual([query, counts])
    }
  })

  test('gives ids by which GET /alerts lists all alerts of a group, by page', async () => {
    const { client, groups, store } = await createWorld()
    const id = (await groups()).groups.at(-1)?.id
    const first = await client.get(`/alerts?group=${id}&limit=2`, alertsPageSchema)
    expect(first.alerts.map(({ key }) => key)).toEqual(['edge-17/load', 'edge-17/fan'])
    const next = `/alerts?group=${id}&limit=2&cursor=${encodeURIComponent(first.cursor ?? '')}`
    const second = await client.get(next, alertsPageSchema)
    expect([second.alerts.map(({ key }) => key), second.cursor]).toEqual([['edge-17/cpu'], null])
    await open(store, 'edge-17/temp', 5)
    expect((await client.get(`/alerts?group=${id}`, alertsPageSchema)).alerts).toHaveLength(4)
    expect((await client.get(`/alerts?group=${'0'.repeat(16)}`, alertsPageSchema)).alerts).toEqual([])
    expect((await client.get(`/alerts?group=${id}&state=resolved`, alertsPageSchema)).alerts).toEqual([])
  })

  test.each([
    ['/alerts/groups?cursor=x', 'cursor'],
    ['/alerts/groups?limit=0', 'limit'],
    ['/alerts/groups?members=101', 'members'],
    ['/alerts/groups?state=firing', 'state'],
    ['/alerts?group=edge-17', 'group'],
  ])('%s is refused', async (path, parameter) => {
    const { client } = await createWorld()
    const problem = await problemOf(await client.send('GET', path))
    expect([problem.status, JSON.stringify(problem)]).toEqual([400, expect.stringContaining(parameter)])
  })
})
