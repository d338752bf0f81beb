import { groupAlerts } from '@tidemark/shared/detection/alerts/grouping'
import { assembleAlert } from '@tidemark/shared/detection/alerts/record'
import { readConfig } from '@tidemark/shared/runtime/config'
import { openingOf } from '@tidemark/testkit/alert-commits'
import { FakeClock } from '@tidemark/testkit/fake-clock'
import { Webhook } from 'standardwebhooks'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { analyzerSettings } from '../config.ts'
import type { Notification } from './receiver.ts'
import { createReceivers } from './receivers.ts'

const NOW = 1_700_000_000_000
const AT = { now: NOW, reminderMs: 60_000 }
const SECRETS = ['old', 'new'].map(
  name => `whsec_${Buffer.from(`${name} and at least 24 bytes long`).toString('base64')}`,
)
const OPENING = openingOf({ partition: 3, key: 'edge-17/"cpu" ☃', at: NOW - 5000 }, { rule: 'cpu' })
const NOTIFIED = {
  told: 1,
  told_at: NOW - 3000,
  told_resolved: false,
  suppressed_by: null,
  suppressed: { mute: 0, snooze: 0, storm: 0 },
}
const FIRING: Notification = {
  id: `${OPENING.id}:firing:1`,
  status: 'firing',
  record: assembleAlert({ opening: OPENING, end: null, operator: null, notification: NOTIFIED }),
}
const END = { resolved_at: NOW - 1000, resolve_reason: 'calm', peak: null } as const
const RESOLVED: Notification = {
  id: `${OPENING.id}:resolved:1`,
  status: 'resolved',
  record: assembleAlert({ opening: OPENING, end: END, operator: null, notification: NOTIFIED }),
}

interface Request {
  readonly url: string
  readonly headers: Record<string, string>
  readonly body: string
}

const requests: Request[] = []
let respond: () => Response | Promise<Response>
beforeEach(() => {
  requests.length = 0
  respond = () => new Response('ok')
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (url, init) => {
    const { headers, body } = init as Omit<Request, 'url'>
    requests.push({ url: String(url), headers, body })
    return respond()
  })
})

function receivers(env: Readonly<Record<string, string>>) {
  const config = readConfig(analyzerSettings, { REDIS_URL: 'redis://unused', ...env })
  return createReceivers(config, new FakeClock(NOW))
}

function receiver(env: Readonly<Record<string, string>>) {
  const [first] = receivers(env)
  if (first === undefined) throw new Error('no receiver')
  return first
}

describe('Alertmanager', () => {
  test('gets the labels of an alert, the sentence that explains it and a link to it', async () => {
    const alertmanager = receiver({
      ALERTMANAGER_URLS: 'http://alertmanager:9093/prefix/',
      ALERT_LABELS: 'namespace=tidemark, team=edge',
      PUBLIC_URL: 'https://tidemark.example.com/',
    })
    expect(await alertmanager.send([FIRING, RESOLVED], AT)).toEqual({ kind: 'delivered' })
    const [request] = requests
    expect(request?.url).toBe('http://alertmanager:9093/prefix/api/v2/alerts')
    expect(request?.headers).toMatchObject({ 'content-type': 'application/json' })
    const labels = {
      alertname: 'TidemarkAnomaly',
      key: 'edge-17/"cpu" ☃',
      rule: 'cpu',
      severity: 'warning',
      detector: 'zscore',
      namespace: 'tidemark',
      team: 'edge',
    }
    expect(JSON.parse(request?.body ?? '')).toEqual([
      {
        labels,
        annotations: {
          summary: expect.stringMatching(
            /^"cpu" ☃ of edge-17 rose to 93.1; .* firing since 2023-11-14T22:13:15Z, opened by .*\.$/,
          ),
          runbook_url: 'https://tidemark.example.com/#/runbook?entry=tidemarkanomaly',
        },
        startsAt: '2023-11-14T22:13:15.000Z',
        endsAt: '2023-11-14T22:16:20.000Z',
        generatorURL: `https://tidemark.example.com/alerts/${OPENING.id}`,
      },
      expect.objectContaining({
        labels,
        startsAt: '2023-11-14T22:13:15.000Z',
        endsAt: '2023-11-14T22:13:19.000Z',
      }),
    ])
  })

  test('is given times of the store, none of which is ahead', async () => {
    const alertmanager = receiver({ ALERTMANAGER_URLS: 'http://alertmanager:9093', LEASE_TTL_MS: '20000' })
    const ahead = { ...RESOLVED.record, opened_at: 4_102_444_800_000, resolved_at: 4_102_444_800_001 }
    const backwards = { ...RESOLVED.record, resolved_at: OPENING.opened_at - 1000 }
    await alertmanager.send(
      [
        { ...FIRING, record: { ...FIRING.record, opened_at: 4_102_444_800_000 } },
        { ...RESOLVED, record: ahead },
        { ...RESOLVED, record: backwards },
        FIRING,
      ],
      { now: NOW, reminderMs: 1000 },
    )
    const times = JSON.parse(requests[0]?.body ?? '').map((one: { startsAt: string; endsAt: string }) => [
      Date.parse(one.startsAt) - NOW,
      Date.parse(one.endsAt) - NOW,
    ])
    // However often it is reminded, an alert outlives the time of taking over a partition.
    expect(times).toEqual([
      [0, 100_000],
      [0, 0],
      [-5000, -5000],
      [-5000, 100_000],
    ])
  })

  test('gets a storm without a key, and a silent key without a detector', async () => {
    const alertmanager = receiver({ ALERTMANAGER_URLS: 'http://alertmanager:9093' })
    const storm = { kind: 'storm', keys: ['a'], key_count: 1, keys_total: 2 } as const
    const silent = { kind: 'silent', last_at: NOW, expected_ms: 1000 } as const
    const { record } = FIRING
    await alertmanager.send(
      [
        { ...FIRING, record: { ...record, id: 'fleet-1', key: null, rule: null, severity: 'critical', cause: storm } },
        { ...FIRING, record: { ...record, cause: silent } },
      ],
      AT,
    )
    expect(JSON.parse(requests[0]?.body ?? '').map(({ labels }: { labels: object }) => labels)).toEqual([
      { alertname: 'TidemarkStorm', severity: 'critical' },
      { alertname: 'TidemarkSilent', severity: 'warning', key: 'edge-17/"cpu" ☃', rule: 'cpu' },
    ])
  })

  test('gets the device of a key in the labels that name it, the same at the end', async () => {
    const alertmanager = receiver({ ALERTMANAGER_URLS: 'http://a:9093', ALERT_LABELS: 'device={device},team=edge' })
    await alertmanager.send([FIRING, RESOLVED, { ...FIRING, record: { ...FIRING.record, key: null } }], AT)
    const labels = JSON.parse(requests[0]?.body ?? '').map((one: { labels: object }) => one.labels)
    expect(labels).toMatchObject([
      { device: 'edge-17', team: 'edge' },
      { device: 'edge-17', team: 'edge' },
      { device: '', team: 'edge' },
    ])
  })

  test('may need a name and a password, which no log line shows', async () => {
    const alertmanager = receiver({ ALERTMANAGER_URLS: 'https://ada:b%40c@alertmanager/x' })
    await alertmanager.send([FIRING], AT)
    expect(requests[0]).toMatchObject({
      url: 'https://alertmanager/x/api/v2/alerts',
      headers: { authorization: `Basic ${Buffer.from('ada:b@c').toString('base64')}` },
    })
    expect(alertmanager).toMatchObject({ origin: 'https://alertmanager', name: expect.not.stringContaining('b%40c') })
  })
})

describe('a webhook', () => {
  const env = { WEBHOOK_URLS: 'https://hooks.example.com/T0KEN', WEBHOOK_SECRET: SECRETS.join(',') }

  test('gets the format and the signatures of the specification, one for each secret', async () => {
    vi.useFakeTimers({ now: NOW })
    expect(await receiver(env).send([RESOLVED], AT)).toEqual({ kind: 'delivered' })
    const [{ url, headers, body } = { url: '', headers: {}, body: '' }] = requests
    expect([url, headers['webhook-id']]).toEqual([env.WEBHOOK_URLS, RESOLVED.id])
    for (const secret of SECRETS) {
      expect(new Webhook(secret).verify(body, headers)).toEqual({
        type: 'alert.resolved',
        timestamp: '2023-11-14T22:13:19.000Z',
        data: { ...RESOLVED.record, explanation: expect.stringContaining('Resolved after 4 s') },
      })
      expect(() => new Webhook(secret).verify(`${body} `, headers)).toThrow()
    }
    vi.useRealTimers()
  })

  test('gets the same id in each attempt', async () => {
    const webhook = receiver(env)
    await webhook.send([FIRING], AT)
    await webhook.send([FIRING], AT)
    expect(requests.map(({ headers }) => headers['webhook-id'])).toEqual([FIRING.id, FIRING.id])
  })
})

describe('a webhook message about a group', () => {
  const env = { WEBHOOK_URLS: 'http://hook', WEBHOOK_SECRET: SECRETS[0] ?? '' }

  /** A notification of so many metrics of a device, one of which ended before. */
  function groupOf(status: 'firing' | 'resolved', count: number): Notification {
    const members = Array.from({ length: count }, (_, i) => {
      const record = { ...FIRING.record, id: `3-${i}`, key: `edge-17/m${i}`, opened_at: NOW - 5000 + i }
      return { id: `3-${i}:${status}:1`, status, record }
    })
    const [first] = members
    const [group] = groupAlerts(members.map(({ record }) => record))
    if (first === undefined || group === undefined) throw new Error('no group')
    return { ...first, group: { ...group, members } }
  }

  test('is that of its first alert, with a sentence that names the group, and all its alerts', async () => {
    await receiver(env).send([groupOf('firing', 22)], AT)
    const { type, data } = JSON.parse(requests[0]?.body ?? '')
    const { receivers: _, ...first } = groupOf('firing', 22).record
    const explanation = '22 metrics of edge-17 since 22:13 UTC: m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 and 12 more.'
    expect([type, data]).toMatchObject(['alert.firing', { ...first, group: { explanation } }])
    expect(data.explanation).toMatch(new RegExp(`^${explanation} .*rose to 93.1`))
    expect(data.group).toMatchObject({
      name: '22 metrics of edge-17 since 22:13 UTC',
      by: 'device',
      device: 'edge-17',
      prefix: 'edge-17/',
      severity: 'warning',
      since: NOW - 5000,
      count: 22,
    })
    expect(data.group.alerts).toHaveLength(22)
    expect(data.group.alerts[21]).toMatchObject({ notification: '3-21:firing:1', id: '3-21', key: 'edge-17/m21' })
    expect(data.group.alerts[21].explanation).toContain('rose to 93.1')
  })

  test('says that it is resolved', async () => {
    await receiver(env).send([groupOf('resolved', 2)], AT)
    const { type, data } = JSON.parse(requests[0]?.body ?? '')
    expect([type, data.group.explanation]).toEqual([
      'alert.resolved',
      'Resolved: 2 metrics of edge-17 since 22:13 UTC: m0, m1.',
    ])
  })

  test('has an id that is the same for the same alerts only: a later attempt may have more', async () => {
    const webhook = receiver(env)
    for (const count of [2, 2, 3]) await webhook.send([groupOf('firing', count)], AT)
    const [first, again, more] = requests.map(({ headers }) => headers['webhook-id'])
    expect(first).toMatch(/^3-0:firing:1:group-[0-9a-f]{12}$/)
    expect(again).toBe(first)
    expect(more).not.toBe(first)
  })
})

describe('a response', () => {
  const webhook = () => receiver({ WEBHOOK_URLS: 'http://hook', WEBHOOK_SECRET: SECRETS[0] ?? '' })
  const responseOf = (status: number, headers: Record<string, string> = {}) => {
    respond = () => new Response(null, { status, headers })
    return webhook().send([FIRING], AT)
  }

  test.each([200, 202, 204])('of %i is a delivery', async status => {
    expect(await responseOf(status)).toEqual({ kind: 'delivered' })
  })

  test.each([400, 403, 404, 405, 410, 413, 415, 422])('of %i may be about this notification', async status => {
    expect(await responseOf(status)).toEqual({
      kind: 'refused',
      reason: `the receiver responded with status ${status}`,
      status,
    })
  })

  test.each([301, 307, 401, 407, 408, 425, 429, 500, 502, 503])('of %i is a failure of the receiver', async status => {
    expect(await responseOf(status)).toEqual({
      kind: 'failed',
      reason: `the receiver responded with status ${status}`,
      status,
      retryAfterMs: 0,
    })
  })

  test.each([
    ['30', 30_000],
    ['Tue, 14 Nov 2023 22:14:20 GMT', 60_000],
    ['Tue, 14 Nov 2023 22:12:20 GMT', 0],
    ['1000000', 600_000],
    ['soon', 0],
  ])('with Retry-After "%s" is obeyed', async (text, retryAfterMs) => {
    expect(await responseOf(503, { 'retry-after': text })).toMatchObject({ retryAfterMs })
  })

  test('with Retry-After as a date is obeyed by the clock of the receiver', async () => {
    const headers = { 'retry-after': 'Tue, 14 Nov 2023 23:00:30 GMT', date: 'Tue, 14 Nov 2023 23:00:00 GMT' }
    expect(await responseOf(503, headers)).toMatchObject({ retryAfterMs: 30_000 })
  })

  test('that is an error gives the start of its body, in one line and without secrets', async () => {
    const [secret = ''] = SECRETS
    const token = 'T00000000/B00000000-XXXXXXXXXXXX'
    const hook = receiver({ WEBHOOK_URLS: `http://ada:p%40ss@hook/${token}?key=k3y-value`, WEBHOOK_SECRET: secret })
    const basic = Buffer.from('ada:p@ss').toString('base64')
    const body = `no:\n  p@ss p%40ss ${basic} B00000000-XXXXXXXXXXXX k3y-value ${secret} end`
    respond = () => new Response(body, { status: 400 })
    const delivery = await hook.send([FIRING], AT)
    const hidden = Array.from({ length: 6 }, () => '[redacted]').join(' ')
    expect(delivery).toMatchObject({ kind: 'refused', body: `no: ${hidden} end` })
    respond = () => new Response('x'.repeat(1e6), { status: 500 })
    expect(await hook.send([FIRING], AT)).toMatchObject({ kind: 'failed', body: 'x'.repeat(300) })
  })

  test.each([
    ['/hook/s3cr3t', 'Cannot POST /hook/s3cr3t'],
    ['/hook/s3cr3t', 'no route s3cr3t'],
    ['/alpha/beta', '<pre>POST /alpha/beta</pre>'],
    ['/in?key=p%2Bq9xyz', 'POST /in?key=p%2Bq9xyz'],
    ['/in?key=p%2Bq9xyz', 'the key p+q9xyz is unknown'],
    ['/in?key=p%2Bq9xyz', 'the key p%2Bq9xyz is unknown'],
    ['/in?key=open+sesame', 'the key open sesame is unknown'],
    ['/in?sesame', 'sesame is unknown'],
    ['/a%2Fb9c8d7', 'no a/b9c8d7'],
    ['/%zz9abcde', 'no %zz9abcde'],
  ])('that repeats a part of %s shows it in no log line: %s', async (place, text) => {
    const hook = receiver({ WEBHOOK_URLS: `http://hook${place}`, WEBHOOK_SECRET: SECRETS[0] ?? '' })
    respond = () => new Response(text, { status: 404 })
    const { body } = (await hook.send([FIRING], AT)) as { body: string }
    expect(body).toContain('[redacted]')
    for (const secret of ['s3cr3t', 'alpha', 'p%2Bq9', 'p+q9', 'sesame', 'b9c8', '9abcde']) {
      expect(body).not.toContain(secret)
    }
  })

  test('may have a password with a percent sign', async () => {
    const hook = receiver({ WEBHOOK_URLS: 'http://ada:100%sure@hook/in', WEBHOOK_SECRET: SECRETS[0] ?? '' })
    respond = () => new Response('100%sure is wrong', { status: 401 })
    expect(await hook.send([FIRING], AT)).toMatchObject({ kind: 'failed', body: '[redacted] is wrong' })
    expect(requests[0]?.headers.authorization).toBe(`Basic ${Buffer.from('ada:100%sure').toString('base64')}`)
  })

  test('shows what is no part of its address', async () => {
    const hook = receiver({ ALERTMANAGER_URLS: 'http://am/v2?v=1' })
    respond = () => new Response('bad alerts, v2: 1 of 1', { status: 400 })
    expect(await hook.send([FIRING], AT)).toMatchObject({ body: 'bad alerts, v2: 1 of 1' })
  })

  test('that does not come is a failure with its reason', async () => {
    respond = () =>
      Promise.reject(
        new TypeError('fetch failed', { cause: Object.assign(new Error('not HTTP'), { code: undefined }) }),
      )
    expect(await webhook().send([FIRING], AT)).toMatchObject({ kind: 'failed', reason: 'not HTTP' })
    respond = () =>
      Promise.reject(new TypeError('fetch failed', { cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }) }))
    expect(await webhook().send([FIRING], AT)).toEqual({ kind: 'failed', reason: 'ECONNREFUSED', retryAfterMs: 0 })
    respond = () => Promise.reject(new DOMException('late', 'TimeoutError'))
    expect(await webhook().send([FIRING], AT)).toMatchObject({ reason: 'the receiver did not respond in time' })
  })
})

describe('settings', () => {
  test('configure any number of receivers, each with a unique and stable name', () => {
    const env = {
      ALERTMANAGER_URLS: 'http://a:9093, http://b:9093',
      WEBHOOK_URLS: 'http://c/1,http://c/2',
      WEBHOOK_SECRET: SECRETS[0] ?? '',
    }
    const names = receivers(env).map(({ name }) => name)
    expect(new Set(names).size).toBe(4)
    expect(receivers(env).map(({ name }) => name)).toEqual(names)
    expect(receivers({})).toEqual([])
  })

  test.each([
    [{ WEBHOOK_URLS: 'http://hook' }, /WEBHOOK_SECRET: must be set/],
    [{ WEBHOOK_URLS: 'hook' }, /WEBHOOK_URLS: must be http/],
    [{ ALERTMANAGER_URLS: 'ftp://a' }, /ALERTMANAGER_URLS.*: must be http/],
    [{ WEBHOOK_SECRET: 'whsec_c2hvcnQ=' }, /WEBHOOK_SECRET.*: must be whsec_ and 24 to 64 bytes/],
    [{ ALERT_LABELS: 'a-b=c' }, /ALERT_LABELS.*: must be labels/],
    [{ ALERT_LABELS: 'key=c' }, /ALERT_LABELS: must not be alertname/],
    [{ ALERT_RESEND_MS: '999' }, /ALERT_RESEND_MS: must be at least 1000: it sends every firing alert again/],
    [{ PUBLIC_URL: 'tidemark' }, /PUBLIC_URL: must begin with http/],
  ])('%o are refused', (env, says) => {
    expect(() => receivers(env)).toThrow(says)
  })
})
