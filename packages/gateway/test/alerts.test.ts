import { alertId, heardEnd, stormOpening } from '@tidemark/shared/detection/alerts/openings'
import type { AlertCause, AlertEnd, AlertOpening } from '@tidemark/shared/detection/alerts/record'
import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import type { EndedAlert } from '@tidemark/shared/store/ports/alerts'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { eventually } from '@tidemark/testkit/eventually'
import { packSamples } from '@tidemark/testkit/samples'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { alertSchema, alertsPageSchema, alertWithSamplesSchema } from '../src/alerts/schemas.ts'
import { windowView } from '../src/alerts/view.ts'
import { createTestClient } from './support/client.ts'
import { analyseAll, commitEffects, NOW } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const PARTITIONS = 4
const NOTE = { who: 'mira', why: 'the fan is being replaced' }
const CALM: AlertEnd = { resolved_at: NOW, resolve_reason: 'calm', peak: { score: 9, value: 500, samples: 7 } }

/** An anomaly of a key that opened at a time. */
function openingOf(key: string, openedAt: number, changes: Partial<AlertOpening> = {}): AlertOpening {
  const partition = partitionOf(key, PARTITIONS)
  const cause: AlertCause = {
    kind: 'anomaly',
    evidence: {
      detector: 'zscore',
      value: 420,
      score: 7.4,
      by: 'instant',
      line: 6,
      samples: 2,
      of: 2,
      low: 400,
      high: 400,
      spread: 2.7,
      window: 50,
    },
  }
  return {
    id: alertId({ partition, kind: 'anomaly', key, count: 1, time: openedAt }),
    key,
    rule: null,
    severity: 'warning',
    opened_at: openedAt,
    cause,
    ...changes,
  }
}

async function open(store: MemoryStore, ...openings: AlertOpening[]): Promise<void> {
  for (const opening of openings) {
    const partition = opening.key === null ? 0 : partitionOf(opening.key, PARTITIONS)
    await commitEffects(store, partition, {
      alerts: { opened: [{ opening, openedBefore: 0, notifyAfterMs: 0 }], ended: [] },
    })
  }
}

async function end(store: MemoryStore, opening: AlertOpening, end: AlertEnd = CALM): Promise<void> {
  const { id, key, cause, opened_at: openedAt } = opening
  const ended: EndedAlert = { id, key: key ?? '', cause: cause.kind, openedAt, end }
  await commitEffects(store, partitionOf(ended.key, PARTITIONS), { alerts: { opened: [], ended: [ended] } })
}

function clientOn(store: MemoryStore, options = {}) {
  return createTestClient({ store, ...options })
}

async function keysOf(client: ReturnType<typeof clientOn>, query = ''): Promise<(string | null)[]> {
  const keys: (string | null)[] = []
  for (let next = query; ; ) {
    const { alerts, cursor } = await client.get(`/alerts?${next}`, alertsPageSchema)
    keys.push(...alerts.map(({ key }) => key))
    if (cursor === null) return keys
    next = `${query}&cursor=${encodeURIComponent(cursor)}`
  }
}

describe('GET /alerts', () => {
  test('is empty at first', async () => {
    expect(await clientOn(createMemoryStore()).get('/alerts', alertsPageSchema)).toEqual({
      alerts: [],
      counts: { firing: 0, resolved: 0 },
      cursor: null,
    })
  })

  test('lists firing alerts of all partitions, newest first, each with a sentence', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const [a, b, c] = [openingOf('edge-1/cpu', 1000), openingOf('b', 3000), openingOf('c', 2000)]
    await open(store, a, b, c)
    await end(store, c)
    const client = clientOn(store)
    const { alerts, counts } = await client.get('/alerts', alertsPageSchema)
    expect(alerts.map(({ id }) => id)).toEqual([b.id, a.id])
    expect(counts).toEqual({ firing: 2, resolved: 1 })
    expect(alerts[1]).toEqual({
      ...a,
      state: 'firing',
      resolved_at: null,
      resolve_reason: null,
      peak: null,
      acknowledged: null,
      snoozed: null,
      similar: { opened: 0, useful: 0, noise: 0 },
      told: 0,
      told_at: 0,
      told_resolved: false,
      suppressed_by: null,
      suppressed: { mute: 0, snooze: 0, storm: 0 },
      explanation: expect.stringContaining('cpu of edge-1 rose to 420'),
    })
    const resolved = await client.get('/alerts?state=resolved', alertsPageSchema)
    expect(resolved.alerts).toMatchObject([{ ...c, ...CALM, state: 'resolved' }])
  })

  test('lists alerts of every kind', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const silent = openingOf('s', 1, { cause: { kind: 'silent', last_at: 0, expected_ms: 1000 } })
    const shift = openingOf('l', 2, { severity: 'info', cause: { kind: 'level_shift', value: 4, samples: 20 } })
    const storm = stormOpening({
      kind: 'storm',
      time: 3,
      openedAt: NOW,
      keys: ['s', 'l'],
      keyCount: 12,
      keysTotal: 20,
    })
    await open(store, silent, shift, storm)
    const client = clientOn(store)
    expect(await keysOf(client)).toEqual([null, 'l', 's'])
    expect(await keysOf(client, 'kind=storm')).toEqual([null])
    await client.get(`/alerts/${storm.id}`, alertWithSamplesSchema)
    await end(store, silent, heardEnd({ kind: 'heard', time: 9, lastAt: 0, lastCount: 1 }))
    expect(await keysOf(client, 'state=resolved')).toEqual(['s'])
  })

  test.each([1, 2, 7, 500])('pages of %i contain each alert exactly once', async limit => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    // Many have the same time, and one time has a fraction.
    const openings = Array.from({ length: 60 }, (_, i) => openingOf(`k${i}`, i === 7 ? 3.25 : i % 5))
    await open(store, ...openings)
    const ids = async (): Promise<string[]> => {
      const found: string[] = []
      for (let query = ''; ; ) {
        const page = await clientOn(store).get(`/alerts?limit=${limit}${query}`, alertsPageSchema)
        expect(page.alerts.length).toBeLessThanOrEqual(limit)
        found.push(...page.alerts.map(({ id }) => id))
        if (page.cursor === null) return found
        query = `&cursor=${encodeURIComponent(page.cursor)}`
      }
    }
    const newestFirst = openings.toSorted((a, b) => b.opened_at - a.opened_at || (a.id < b.id ? 1 : -1))
    expect(await ids()).toEqual(newestFirst.map(({ id }) => id))
  })

  test('filters by key, rule, severity and kind', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    await open(
      store,
      openingOf('edge-1/cpu', 1),
      openingOf('edge-1/rps', 2, { rule: 'edge', severity: 'critical' }),
      openingOf('edge-2/cpu', 3, { rule: 'edge', cause: { kind: 'silent', last_at: 0, expected_ms: 1 } }),
      openingOf('__proto__', 4, { rule: 'constructor' }),
      openingOf('100%/{0}', 5),
    )
    const client = clientOn(store)
    expect(await keysOf(client, 'prefix=edge-1/')).toEqual(['edge-1/rps', 'edge-1/cpu'])
    expect(await keysOf(client, 'rule=edge')).toEqual(['edge-2/cpu', 'edge-1/rps'])
    expect(await keysOf(client, 'severity=critical')).toEqual(['edge-1/rps'])
    expect(await keysOf(client, 'kind=silent&rule=edge')).toEqual(['edge-2/cpu'])
    expect(await keysOf(client, 'prefix=__proto__')).toEqual(['__proto__'])
    expect(await keysOf(client, 'rule=constructor')).toEqual(['__proto__'])
    expect(await keysOf(client, 'prefix=100%25%2F%7B')).toEqual(['100%/{0}'])
    expect(await keysOf(client, 'rule=none')).toEqual([])
    expect(await keysOf(client, 'prefix=edge&limit=1')).toEqual(['edge-2/cpu', 'edge-1/rps', 'edge-1/cpu'])
  })

  test('a request reads a bounded number of alerts, then returns a cursor', async () => {
    const store = createMemoryStore({ partitions: 1 })
    const opened = Array.from({ length: 2600 }, (_, i) => {
      return { opening: { ...openingOf(`k${i}`, i), id: `0-${i.toString(16)}` }, openedBefore: 0, notifyAfterMs: 0 }
    })
    await commitEffects(store, 0, { alerts: { opened, ended: [] } })
    const client = clientOn(store)
    const first = await client.get('/alerts?prefix=k1&rule=none', alertsPageSchema)
    expect(first).toMatchObject({ alerts: [], cursor: expect.any(String), counts: { firing: 2600, resolved: 0 } })
    expect(await client.get(`/alerts?rule=none&cursor=${first.cursor}`, alertsPageSchema)).toMatchObject({
      cursor: null,
    })
    expect(await keysOf(client, 'prefix=k7&limit=500')).toHaveLength(111)
  })

  test('omits nothing if one partition has far more alerts than another', async () => {
    const store = createMemoryStore({ partitions: 2 })
    const openings = Array.from({ length: 700 }, (_, i) => {
      const opening = openingOf(`k${i}`, i, { rule: i < 200 ? 'rare' : null })
      return { ...opening, id: `${i < 100 ? 1 : 0}-${i.toString(16)}` }
    })
    for (const partition of [0, 1]) {
      const own = openings.filter(({ id }) => id.startsWith(`${partition}-`))
      const opened = own.map(opening => ({ opening, openedBefore: 0, notifyAfterMs: 0 }))
      await commitEffects(store, partition, { alerts: { opened, ended: [] } })
    }
    const rare = openings.slice(0, 200).map(({ key }) => key)
    expect(await keysOf(clientOn(store), 'rule=rare')).toEqual(rare.toReversed())
  })

  test('omits alerts that changed state or were deleted during the read', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const openings = Array.from({ length: 9 }, (_, i) => openingOf(`k${i}`, i))
    await open(store, ...openings)
    const [, deleted, resolved] = openings
    const client = clientOn(store, {
      overrideAlerts: {
        read: async (partition: number, ids: readonly string[]) => {
          const found = await store.alerts.read(partition, ids)
          return found.map(parts => {
            if (parts?.opening.id === deleted?.id) return null
            return parts?.opening.id === resolved?.id ? { ...parts, end: CALM } : parts
          })
        },
      },
    })
    for (const query of ['', 'limit=1', 'limit=3', 'prefix=k']) {
      expect(await keysOf(client, query)).toEqual(['k8', 'k7', 'k6', 'k5', 'k4', 'k3', 'k0'])
    }
  })

  test.each([
    ['state=odd', 'state', 'must be one of firing, resolved'],
    ['severity=high', 'severity', 'must be one of info, warning, critical'],
    ['kind=__proto__', 'kind', 'must be one of anomaly, silent, level_shift, storm'],
    ['limit=0', 'limit', 'must be an integer from 1 to 500'],
    ['limit=501', 'limit', 'must be an integer from 1 to 500'],
    ['cursor=', 'cursor', 'must be the cursor of a page'],
    ['cursor=1:x', 'cursor', 'must be the cursor of a page'],
    ['cursor=-1:0-ab', 'cursor', 'must be the cursor of a page'],
    ['cursor=1e9:0-ab', 'cursor', 'must be the cursor of a page'],
    ['cursor=0-ab', 'cursor', 'must be the cursor of a page'],
    [`prefix=${'x'.repeat(1025)}`, 'prefix', 'must be at most 1024 characters'],
    ['key=a', 'key', 'is not a parameter here'],
  ])('responds 400 to ?%s', async (query, parameter, detail) => {
    const response = await clientOn(createMemoryStore()).send('GET', `/alerts?${query}`)
    expect(response.status).toBe(400)
    expect(await problemOf(response)).toMatchObject({ errors: [{ parameter, detail }] })
  })
})

describe('GET /alerts/{id}', () => {
  test('has the samples of its key and the current policy of the key', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS, now: () => NOW })
    const key = 'edge 1/{cpu}%'
    const opening = openingOf(key, NOW + 500, { rule: 'gone' })
    await open(store, opening)
    const rule = { id: 'edge', pattern: 'edge*', threshold: 3, mute: { until: '2023-12-01T00:00:00Z', ...NOTE } }
    const change = { version: 1, kind: 'rule_put', id: 'edge', content: rule, ...NOTE, at: NOW } as const
    await store.rules.replace(withRule(EMPTY_DOCUMENT, rule, { ...NOTE, at: NOW }), change, '')
    const samples = packSamples([{ key, value: 420, timestamp: NOW }])
    await store.gateway.append([{ partition: partitionOf(key, PARTITIONS), samples, count: 1 }])
    await analyseAll(store)
    const alert = await clientOn(store).get(`/alerts/${opening.id}`, alertWithSamplesSchema)
    expect(alert).toMatchObject({
      ...opening,
      explanation: expect.any(String),
      samples: { values: [420], timestamps: [NOW], before: 1, after: 0 },
      policy: { rule: 'edge', threshold: 3, detector: 'zscore' },
      muted: { until: Date.parse('2023-12-01'), ...NOTE },
    })
  })

  test('has no samples if the key has no window', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const opening = openingOf('a', 1)
    await open(store, opening)
    expect(await clientOn(store).get(`/alerts/${opening.id}`, alertWithSamplesSchema)).toMatchObject({
      samples: null,
      policy: { rule: null },
      muted: null,
    })
  })

  test.each([
    '0-abc',
    '99-abc',
    '9999-abc',
    'fleet-1',
    '0-ABC',
    'x',
    '%00',
    '%2F',
    '..%2F..',
    '%',
    '__proto__',
    'constructor',
    '-1-abc',
    `0-${'a'.repeat(200)}`,
  ])('with the id %s is 404', async id => {
    const client = clientOn(createMemoryStore())
    const body = { ...NOTE, until: '2h' }
    for (const response of [
      await client.send('GET', `/alerts/${id}`),
      await client.send('POST', `/alerts/${id}/acknowledge`, NOTE),
      await client.send('POST', `/alerts/${id}/snooze`, body),
    ]) {
      expect(response.status).toBe(404)
      expect((await problemOf(response)).type).toBe('urn:tidemark:problem:alert-unknown')
    }
  })
})

describe('the samples of an alert', () => {
  const at = { opened_at: 1000 }
  const note = (timestamps: number[], isHeld = false): string =>
    windowView(at, { timestamps, values: timestamps }, { isHeld }).note

  test('are divided by when the alert opened', () => {
    expect(note([998, 999, 1000, 1001])).toBe(
      'By timestamp, 3 of the 4 samples in the window were measured before the alert opened, 1 after.',
    )
    expect(note([999])).toBe('By timestamp, every sample in the window (1) was measured before the alert opened.')
    expect(note([1001, 1002])).toContain('every sample in the window (2) was measured after the alert opened')
    expect(note([])).toBe('The window is empty.')
    expect(note([999], true)).toMatch(/ Anomalous samples are excluded from this window\.$/)
  })

  test('have rates too if the key is a counter', () => {
    const window = { timestamps: [1000, 2000, 3000], values: [5, 9, 1] }
    expect(windowView(at, window, { isHeld: false, isCounter: true }).rates).toEqual([null, 4, null])
    expect(windowView(at, window, { isHeld: false })).not.toHaveProperty('rates')
  })

  test('are counted in any order of their timestamps', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 990, max: 1010 })), timestamps => {
        const { before, after } = windowView(at, { timestamps, values: timestamps }, { isHeld: false })
        expect(before + after).toBe(timestamps.length)
        expect(before).toBe(timestamps.filter(timestamp => timestamp <= 1000).length)
      }),
    )
  })
})

describe('operators', () => {
  async function withAlert() {
    const store = createMemoryStore({ partitions: PARTITIONS, now: () => NOW })
    const opening = openingOf('edge-1/cpu', NOW - 5000)
    await open(store, opening)
    return { store, opening, client: clientOn(store), path: `/alerts/${opening.id}` }
  }

  test('an acknowledgement is in the alert and its sentence', async () => {
    const { client, path } = await withAlert()
    const acknowledged = { ...NOTE, at: NOW }
    const alert = await client.read(await client.send('POST', `${path}/acknowledge`, NOTE), alertSchema)
    expect(alert).toMatchObject({ acknowledged, snoozed: null, state: 'firing' })
    expect(alert.explanation).toContain('Acknowledged by mira: the fan is being replaced.')
    expect(await client.get(path, alertWithSamplesSchema)).toMatchObject({ acknowledged })
  })

  test('a snooze keeps the acknowledgement', async () => {
    const { client, path } = await withAlert()
    await client.send('POST', `${path}/acknowledge`, NOTE)
    const hours = await client.send('POST', `${path}/snooze`, { who: 'ole', why: 'waiting', until: '2h' })
    const snoozed = { who: 'ole', why: 'waiting', at: NOW, until: NOW + 7_200_000 }
    expect(await client.read(hours, alertSchema)).toMatchObject({ acknowledged: { who: 'mira' }, snoozed })
    const until = '2023-11-15T00:00:00+01:00'
    const time = await client.send('POST', `${path}/snooze`, { who: 'ole', why: 'waiting', until })
    expect((await client.read(time, alertSchema)).snoozed?.until).toBe(Date.parse(until))
    const stored = await client.get(path, alertWithSamplesSchema)
    expect(stored).toMatchObject({ acknowledged: { who: 'mira' }, snoozed: { who: 'ole', until: Date.parse(until) } })
  })

  test('a snooze checks its notifications again at once', async () => {
    const { store, opening, client, path } = await withAlert()
    const partition = partitionOf('edge-1/cpu', PARTITIONS)
    const [due] = (await store.alerts.dueNotifications(partition, 10)).alerts
    const settled = {
      id: opening.id,
      dueAt: due?.dueAt ?? 0,
      nextCheckAt: null,
      notify: null,
      notification: {
        told: 1,
        told_at: NOW,
        told_resolved: false,
        suppressed_by: null,
        suppressed: { mute: 0, snooze: 0, storm: 0 },
      },
    }
    await store.alerts.recordNotifications({ partition, token: `test:${partition}` }, [settled], [])
    expect((await store.alerts.dueNotifications(partition, 10)).alerts).toEqual([])
    await client.send('POST', `${path}/snooze`, { ...NOTE, until: '1h' })
    expect((await store.alerts.dueNotifications(partition, 10)).alerts).toMatchObject([{ id: opening.id }])
  })

  test('a snooze can be ended early: it is then notified as if the time had come', async () => {
    const { client, path } = await withAlert()
    const remove = (query = 'who=mira&why=it+is+back') => client.send('DELETE', `${path}/snooze?${query}`)
    expect((await client.read(await remove(), alertSchema)).snoozed).toBeNull()
    await client.send('POST', `${path}/snooze`, { who: 'ole', why: 'waiting', until: '2h' })
    expect((await remove('who=mira')).status).toBe(400)
    const ended = await client.read(await remove(), alertSchema)
    expect(ended).toMatchObject({ snoozed: { who: 'mira', why: 'it is back', at: NOW, until: NOW }, state: 'firing' })
    expect(ended.explanation).not.toMatch(/snoozed/i)
    expect((await client.get(path, alertWithSamplesSchema)).snoozed).toMatchObject({ who: 'mira', until: NOW })
    // Again there is nothing to end.
    expect((await client.read(await remove('who=ole&why=again'), alertSchema)).snoozed?.who).toBe('mira')
  })

  test.each(['acknowledge', 'snooze'])(
    '%s is 409 once it is resolved, even if that happens during the request',
    async action => {
      const { store, opening, client, path } = await withAlert()
      const body = action === 'snooze' ? { ...NOTE, until: '1h' } : NOTE
      const racing = clientOn(store, { overrideAlerts: { setOperatorState: async () => false } })
      await problemOf(await racing.send('POST', `${path}/${action}`, body))
      await end(store, opening)
      for (const one of [client, racing]) {
        const response = await one.send('POST', `${path}/${action}`, body)
        expect(response.status).toBe(409)
        expect((await problemOf(response)).type).toBe('urn:tidemark:problem:alert-resolved')
      }
    },
  )

  test.each([
    ['acknowledge', {}, ['who', 'why']],
    ['acknowledge', { who: '', why: 'x'.repeat(501) }, ['who', 'why']],
    ['acknowledge', { ...NOTE, until: '1h' }, ['until']],
    ['acknowledge', [NOTE], ['']],
    ['snooze', NOTE, ['until']],
    ['snooze', { ...NOTE, until: '2023-11-14T00:00:00Z' }, ['until']],
    ['snooze', { ...NOTE, until: '-2h' }, ['until']],
    ['snooze', { ...NOTE, until: 7200 }, ['until']],
    ['snooze', { ...NOTE, until: '2h', for: '2h' }, ['for']],
    ['snooze', { who: { toString: 1 }, why: ['x'], until: null }, ['until', 'who', 'why']],
  ])('%s with %o is 422', async (action, body, fields) => {
    const { client, path } = await withAlert()
    const response = await client.send('POST', `${path}/${action}`, body)
    expect(response.status).toBe(422)
    const { errors = [] } = await problemOf(response)
    expect(errors.map(({ field }) => field).toSorted()).toEqual(fields)
  })

  test('a body of more than 64 KiB is 413', async () => {
    const { client, path } = await withAlert()
    const response = await client.send('POST', `${path}/acknowledge`, { ...NOTE, why: 'x'.repeat(65_536) })
    expect(response.status).toBe(413)
    await problemOf(response)
  })
})

describe('the routes of the alerts', () => {
  const requests: [string, string, unknown?][] = [
    ['GET', '/alerts'],
    ['GET', '/alerts?kind=silent'],
    ['GET', '/alerts/0-abc'],
    ['POST', '/alerts/0-abc/acknowledge', NOTE],
    ['POST', '/alerts/0-abc/snooze', { ...NOTE, until: '1h' }],
  ]

  test.each(requests)('%s %s is 503 without a cause while the store is unavailable', async (method, path, body) => {
    const unavailable = (): Promise<never> => Promise.reject(new StoreError('secret', { kind: 'unknown' }))
    for (const options of [
      { isStoreOpen: false },
      { overrideAlerts: { list: unavailable, count: unavailable, read: unavailable } },
    ]) {
      const response = await createTestClient(options).send(method, path, body)
      expect(response.status).toBe(503)
      expect(JSON.stringify(await problemOf(response))).not.toContain('secret')
    }
  })

  test('are 503 if the store becomes unavailable during the request', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const opening = openingOf('a', 1)
    await open(store, opening)
    const unavailable = (): Promise<never> => Promise.reject(new StoreError('secret', { kind: 'unknown' }))
    const client = clientOn(store, {
      overrideAlerts: { setOperatorState: unavailable },
      override: { window: unavailable },
    })
    const path = `/alerts/${opening.id}`
    for (const response of [await client.send('GET', path), await client.send('POST', `${path}/acknowledge`, NOTE)]) {
      expect(response.status).toBe(503)
      await problemOf(response)
    }
  })

  test.each([
    ['POST', '/alerts', 'GET, HEAD'],
    ['DELETE', '/alerts/0-abc', 'GET, HEAD'],
    ['GET', '/alerts/0-abc/acknowledge', 'POST'],
    ['PUT', '/alerts/0-abc/snooze', 'POST, DELETE'],
  ])('%s %s is 405', async (method, path, allow) => {
    const response = await createTestClient().send(method, path)
    expect(response.status).toBe(405)
    expect(response.headers.get('Allow')).toBe(allow)
    await problemOf(response)
  })

  test('are few metric labels, whatever ids clients invent', async () => {
    const { send, registry } = clientOn(createMemoryStore())
    for (let i = 0; i < 50; i++) {
      await send('GET', `/alerts/${i}`)
      await send('POST', `/alerts/%2F${i}/snooze`)
      await send('GET', `/alerts/${i}/x`)
    }
    const text = await registry.metrics()
    const routes = new Set([...text.matchAll(/gateway_http_requests_total\{route="([^"]+)"/g)].map(match => match[1]))
    expect([...routes].toSorted()).toEqual(['/alerts/:id', '/alerts/:id/snooze', 'unmatched'])
  })

  test('pages are read two at a time; requests beyond the queue get 503', async () => {
    const { promise: goOn, resolve } = Promise.withResolvers<void>()
    const list = async () => {
      await goOn
      return []
    }
    const client = createTestClient({ store: createMemoryStore({ partitions: 1 }), overrideAlerts: { list } })
    let refused = 0
    const sent = Array.from({ length: 210 }, async () => {
      const response = await client.send('GET', '/alerts')
      if (response.status === 503) refused++
      return response
    })
    await eventually(() => expect(refused).toBe(8))
    resolve()
    const responses = await Promise.all(sent)
    expect(responses.map(({ status }) => status)).toEqual([...Array(202).fill(200), ...Array(8).fill(503)])
    expect(await client.registry.metrics()).toContain('gateway_limit_reached_total{limit="alert_pages"} 8\n')
  })
})
