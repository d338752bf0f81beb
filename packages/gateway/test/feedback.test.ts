import { alertId } from '@tidemark/shared/detection/alerts/openings'
import type { AlertOpening } from '@tidemark/shared/detection/alerts/record'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { NASTY_KEYS } from '@tidemark/testkit/nasty-keys'
import { describe, expect, test } from 'vitest'
import { alertSchema, alertsPageSchema, feedbackCountsSchema } from '../src/alerts/schemas.ts'
import { ruleSchema, rulesSchema } from '../src/rules/schemas.ts'
import { testKey } from './support/api-keys.ts'
import { createTestClient } from './support/client.ts'
import { commitEffects, NOW } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const PARTITIONS = 4
const DAY_MS = 86_400_000

type Opened = readonly [key: string, rule?: string | null, openedAt?: number]

function openingOf([key, rule = null, openedAt = NOW]: Opened, count: number): AlertOpening {
  const partition = partitionOf(key, PARTITIONS)
  const id = alertId({ partition, kind: 'silent', key, count, time: openedAt })
  const cause = { kind: 'silent', last_at: NOW - 60_000, expected_ms: 10_000 } as const
  return { id, key, rule, severity: 'warning', opened_at: openedAt, cause }
}

/** Opens alerts; returns a client and the paths of their feedback. */
async function opened(list: readonly Opened[], options = {}) {
  const store: MemoryStore = createMemoryStore({ partitions: PARTITIONS, now: () => NOW })
  const openings = list.map(openingOf)
  for (const opening of openings) {
    const partition = partitionOf(opening.key ?? '', PARTITIONS)
    await commitEffects(store, partition, {
      alerts: { opened: [{ opening, openedBefore: 0, notifyAfterMs: 0 }], ended: [] },
    })
  }
  const client = createTestClient({ store, ...options })
  const paths = openings.map(({ id }) => `/alerts/${id}/feedback`)
  const mark = async (path: string | undefined, useful: boolean): Promise<void> => {
    expect((await client.send('PUT', path ?? '', { useful })).status).toBe(200)
  }
  return { ...client, store, paths, mark }
}

describe('PUT and DELETE /alerts/{id}/feedback', () => {
  test('mark an alert, replace the mark and remove it; each change is in GET /alerts', async () => {
    const { send, read, get, paths } = await opened([['edge-1/cpu']])
    const [path = ''] = paths
    const put = async (body: unknown) => read(await send('PUT', path, body), alertSchema)
    const listed = async () => (await get('/alerts', alertsPageSchema)).alerts[0]
    expect(await listed()).not.toHaveProperty('feedback')
    const noise = { useful: false, who: 'mira', why: 'the fan, as always' }
    const marked = await put(noise)
    expect(marked.feedback).toEqual({ ...noise, at: NOW })
    expect(marked.explanation).toMatch(/Marked as noise by mira: the fan, as always\.$/)
    expect(await listed()).toEqual(marked)
    expect((await put({ useful: true })).feedback).toEqual({ useful: true, who: null, why: null, at: NOW })
    expect((await listed())?.feedback?.useful).toBe(true)
    for (let i = 0; i < 2; i++) {
      expect(await read(await send('DELETE', path), alertSchema)).not.toHaveProperty('feedback')
      expect(await listed()).not.toHaveProperty('feedback')
    }
  })

  test.each([
    [{}, 'useful'],
    [{ useful: 'no' }, 'useful'],
    [{ useful: true, why: '' }, 'why'],
    [{ useful: true, who: 7 }, 'who'],
    [{ useful: true, noise: true }, 'noise'],
  ])('%o is invalid: %s', async (body, field) => {
    const { send, paths } = await opened([['edge-1/cpu']])
    const response = await send('PUT', paths[0] ?? '', body)
    expect(response.status).toBe(422)
    expect(JSON.stringify(await response.json())).toContain(`"field":"${field}"`)
  })

  test('of an unknown alert, and of one that is deleted meanwhile, are 404', async () => {
    const { send, paths } = await opened([['edge-1/cpu']], { overrideAlerts: { setFeedback: async () => false } })
    for (const path of ['/alerts/0-abc/feedback', '/alerts/99-abc/feedback', paths[0] ?? '']) {
      expect(await problemOf(await send('PUT', path, { useful: true }))).toMatchObject({ status: 404 })
      expect(await problemOf(await send('DELETE', path))).toMatchObject({ status: 404 })
    }
  })

  test('with an API key, its name is who marked it, and only its keys are seen and counted', async () => {
    const own = testKey({ name: 'tenant', key_prefix: 'edge-1/', scopes: ['read', 'operate'] })
    const all = testKey({ name: 'everything' })
    const { send, read, paths } = await opened(
      [
        ['edge-1/cpu', 'r'],
        ['edge-1/b/rps', 'r'],
        ['other/cpu', 'r'],
      ],
      {
        keys: [own.record, all.record],
      },
    )
    const body = { useful: false, who: 'another' }
    const marked = await read(await send('PUT', paths[0] ?? '', body, own.headers), alertSchema)
    expect(marked.feedback).toMatchObject({ useful: false, who: 'tenant' })
    expect((await send('PUT', paths[2] ?? '', body, own.headers)).status).toBe(404)
    expect((await send('DELETE', paths[2] ?? '', undefined, own.headers)).status).toBe(404)
    await send('PUT', paths[2] ?? '', body, all.headers)
    const counts = async (query: string, { headers }: typeof own) =>
      read(await send('GET', `/alerts/feedback?${query}`, undefined, headers), feedbackCountsSchema)
    const noise = { useful: 0, noise: 1, useful_share: 0 }
    expect((await counts('', own)).groups).toEqual([{ name: 'r', opened: 2, ...noise }])
    expect((await counts('by=prefix&depth=2', own)).groups).toEqual([
      { name: 'edge-1/cpu', opened: 1, ...noise },
      { name: 'edge-1/b/', opened: 1, useful: 0, noise: 0, useful_share: null },
    ])
    expect((await counts('', all)).groups).toEqual([{ name: 'r', opened: 3, ...noise, noise: 2 }])
    expect((await counts('prefix=edge-1/b', all)).total).toMatchObject({ opened: 1, noise: 0 })
    expect((await send('GET', '/alerts/feedback?prefix=other', undefined, own.headers)).status).toBe(403)
  })
})

describe('GET /alerts/feedback', () => {
  test('is empty at first', async () => {
    const { get } = await opened([])
    const none = { opened: 0, useful: 0, noise: 0, useful_share: null }
    const empty = { by: 'rule', days: 30, total: none, groups: [], partial: false }
    expect(await get('/alerts/feedback', feedbackCountsSchema)).toEqual(empty)
    expect(await get('/alerts/feedback?by=prefix', feedbackCountsSchema)).toEqual({ ...empty, by: 'prefix' })
  })

  test('counts each alert once, by rule and by key prefix, the worst first', async () => {
    const list: Opened[] = [
      ['a/1', 'good'],
      ['a/2', 'good'],
      ['b/1', 'mixed'],
      ['b/2', 'mixed'],
      ['c/1', 'noisy'],
      ['c/2', 'noisy'],
      ['c/3', 'noisy'],
      ['d'],
      ['d'],
      ['old/1', 'good', NOW - 30 * DAY_MS],
    ]
    const { get, mark, paths } = await opened(list)
    for (const [i, useful] of [true, true, true, false, false, false].entries()) {
      await mark(paths[i], !useful)
      await Promise.all([mark(paths[i], useful), mark(paths[i], useful)])
    }
    await mark(paths.at(-1), false)
    const { groups, total } = await get('/alerts/feedback?by=rule', feedbackCountsSchema)
    expect(groups).toEqual([
      { name: 'noisy', opened: 3, useful: 0, noise: 2, useful_share: 0 },
      { name: 'mixed', opened: 2, useful: 1, noise: 1, useful_share: 0.5 },
      { name: 'good', opened: 2, useful: 2, noise: 0, useful_share: 1 },
      { name: null, opened: 2, useful: 0, noise: 0, useful_share: null },
    ])
    expect(total).toEqual({ opened: 9, useful: 3, noise: 3, useful_share: 0.5 })
    const byPrefix = await get('/alerts/feedback?by=prefix', feedbackCountsSchema)
    expect([byPrefix.groups.map(({ name }) => name), byPrefix.total]).toEqual([['c/', 'b/', 'a/', 'd'], total])
    expect((await get('/alerts/feedback?limit=1', feedbackCountsSchema)).groups.map(({ name }) => name)).toEqual([
      'noisy',
    ])
    expect((await get('/alerts/feedback?prefix=c/1', feedbackCountsSchema)).total.opened).toBe(1)
  })

  test('counts every key that there can be', async () => {
    const { get } = await opened(NASTY_KEYS.map(key => [key]))
    const { groups } = await get('/alerts/feedback?by=prefix&depth=10&limit=1000', feedbackCountsSchema)
    expect(groups.map(({ name }) => name).toSorted()).toEqual([...new Set(NASTY_KEYS)].toSorted())
  })
})

test('GET /rules and /rules/{id} have the feedback on the alerts of each rule, once there is one', async () => {
  const { send, get, mark, paths } = await opened([['a/1', 'mine'], ['a/2', 'mine'], ['b']])
  await send('PUT', '/rules/mine', { rule: { pattern: 'a/*' }, who: 'mira', why: 'a test' })
  expect((await get('/rules', rulesSchema)).rules[0]).not.toHaveProperty('feedback')
  await mark(paths[0], false)
  await mark(paths[2], true)
  const { rules, default: unmatched } = await get('/rules', rulesSchema)
  const feedback = { opened: 2, useful: 0, noise: 1, useful_share: 0 }
  expect(rules[0]).toMatchObject({ feedback })
  expect(unmatched).toEqual({ counts: null, feedback: { opened: 1, useful: 1, noise: 0, useful_share: 1 } })
  expect(await get('/rules/mine', ruleSchema)).toMatchObject({ feedback })
})
