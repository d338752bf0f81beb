import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { describe, expect, test } from 'vitest'
import { parseSeriesRules } from '../src/ingest/protocols/remote-write/series-rules.ts'
import { testKey } from './support/api-keys.ts'
import { createTestApp, NOW, storedSamples, type TestAppOptions } from './support/fixture.ts'
import { encodeWriteRequest, type SentRequest, snappy, withStaleMarkers } from './support/write-request.ts'

const HEADERS = {
  'Content-Type': 'application/x-protobuf',
  'Content-Encoding': 'snappy',
  'X-Prometheus-Remote-Write-Version': '0.1.0',
  'User-Agent': 'Prometheus/2.42.0',
}

/** An app and what its store holds: `key=value@mark` of each sample, with the mark of its time. */
function createTarget(options: TestAppOptions = {}) {
  const store = createMemoryStore({ now: () => NOW })
  const { app, registry } = createTestApp({ store, ...options })
  const post = (body: Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
    app.request('/api/v1/write', { method: 'POST', body, headers: { ...HEADERS, ...headers } })
  return {
    registry,
    post,
    write: (request: SentRequest, headers = {}) => post(snappy(encodeWriteRequest(request)), headers),
    stored: async () =>
      (await storedSamples(store)).map(({ key, value, timestamp }) => `${key}=${value}@${timestamp - NOW}`).sort(),
  }
}

const cpu = (labels: Record<string, string> = {}) => ({ __name__: 'node_load1', instance: 'a:9100', ...labels })

describe('a write', () => {
  test('has a key of its name and labels, sorted, for every sample, and is 204', async () => {
    const target = createTarget()
    const response = await target.write({
      series: [
        {
          labels: cpu({ job: 'node', cluster: 'eu' }),
          samples: [
            [0.5, NOW - 15_000],
            [0, NOW],
          ],
        },
        { labels: { zone: 'b', __name__: 'up', job: '' }, samples: [[1, NOW]] },
      ],
    })
    expect([response.status, await response.text()]).toEqual([204, ''])
    expect(await target.stored()).toEqual([
      'node_load1,cluster=eu,instance=a:9100,job=node=0.5@-15000',
      'node_load1,cluster=eu,instance=a:9100,job=node=0@0',
      'up,zone=b=1@0',
    ])
  })

  test('has the time of its arrival without a timestamp', async () => {
    const target = createTarget()
    await target.write({
      series: [
        { labels: cpu(), samples: [[1, 0]] },
        { labels: { __name__: 'a_total' }, samples: [[1, 0]] },
      ],
    })
    expect(await target.stored()).toEqual(['a_total=1@0.75', 'node_load1,instance=a:9100=1@0.5'])
  })

  test('skips stale markers, NaN and infinite values, and counts them', async () => {
    const target = createTarget()
    const samples = [
      [123.25, NOW - 4],
      [Number.NaN, NOW - 3],
      [Infinity, NOW - 2],
      [-Infinity, NOW - 1],
      [7, NOW],
    ] as const
    const response = await target.post(
      snappy(withStaleMarkers(encodeWriteRequest({ series: [{ labels: cpu(), samples }] }), 123.25)),
    )
    expect(response.status).toBe(204)
    expect(response.headers.get('Tidemark-Skipped')).toBe('stale=1, not_finite=3')
    expect(await target.stored()).toEqual(['node_load1,instance=a:9100=7@0'])
    expect(await target.registry.metrics()).toContain(
      'gateway_protocol_fields_skipped_total{protocol="remote_write",reason="stale"} 1\n',
    )
  })

  test('makes its keys by PROMETHEUS_KEY', async () => {
    const target = createTarget({ settings: { PROMETHEUS_KEY: '{instance}/{__name__}{tags}' } })
    await target.write({ series: [{ labels: cpu({ job: 'x' }), samples: [[1, NOW]] }] })
    expect(await target.stored()).toEqual(['a:9100/node_load1,job=x=1@0'])
  })

  test('is stored once under an Idempotency-Key, which no other request may have', async () => {
    const target = createTarget()
    const request = { series: [{ labels: cpu(), samples: [[1, NOW]] as const }] }
    const headers = { 'Idempotency-Key': 'a' }
    for (let i = 0; i < 2; i++) expect((await target.write(request, headers)).status).toBe(204)
    expect(await target.stored()).toHaveLength(1)
    const other = await target.write({ series: [{ labels: cpu(), samples: [[2, NOW]] }] }, headers)
    expect(other.status).toBe(422)
  })

  test.each<[string, Record<string, string>]>([
    ['no type and no coding', { 'Content-Type': '', 'Content-Encoding': '' }],
    ['the message in its type', { 'Content-Type': 'application/x-protobuf;proto=prometheus.WriteRequest' }],
  ])('may have %s', async (_, headers) => {
    const target = createTarget()
    expect((await target.write({ series: [{ labels: cpu(), samples: [[1, NOW]] }] }, headers)).status).toBe(204)
  })

  test('may be empty, have only metadata, or fields that are unknown', async () => {
    const target = createTarget()
    expect((await target.write({})).status).toBe(204)
    expect((await target.write({ types: { up: 2 } })).status).toBe(204)
    const unknown = Buffer.concat([
      Buffer.from([0x78, 0x96, 0x01, 0x7a, 0x02, 0x08, 0x01]),
      encodeWriteRequest({ series: [{ labels: cpu(), samples: [[1, NOW]] }] }),
    ])
    expect((await target.post(snappy(unknown))).status).toBe(204)
    expect(await target.stored()).toHaveLength(1)
  })
})

test('series that come in another order, or instead of another one, have their own keys', async () => {
  const target = createTarget()
  for (const names of ['abc', 'abc', 'acb', 'cad']) {
    const series = [...names].map(name => ({
      labels: { __name__: name },
      samples: [[name.charCodeAt(0), NOW]] as const,
    }))
    expect((await target.write({ series })).status).toBe(204)
  }
  const stored = await target.stored()
  expect(stored).toHaveLength(12)
  expect([...new Set(stored)]).toEqual(['a=97@0', 'b=98@0', 'c=99@0', 'd=100@0'])
})

describe('counters are marked', () => {
  const names = ['a_total', 'b_count', 'c_sum', 'd_bucket', 'e', 'total', 'f_total_x', '_total']
  const series = names.map(name => ({ labels: { __name__: name }, samples: [[1, NOW]] as const }))
  const marked = async (settings: Record<string, string>, types = {}, rules = '[]') => {
    const target = createTarget({ settings, seriesRules: parseSeriesRules(rules) })
    await target.write({ series, types })
    return (await target.stored()).filter(one => one.endsWith('.25')).map(one => one.split('=')[0])
  }

  test('by the suffixes of their names', async () => {
    expect(await marked({})).toEqual(['a_total', 'b_count', 'c_sum', 'd_bucket'])
  })

  test('by the types of the request before their names', async () => {
    expect(await marked({}, { e: 1, a_total: 2, b: 3, c: 5, d: 4 })).toEqual(['b_count', 'c_sum', 'e'])
    expect(await marked({}, { a: 1, b: 2, b_count: 0, d: 3 })).toEqual(['a_total', 'c_sum', 'd_bucket'])
  })

  test('by types alone, or not at all, if PROMETHEUS_COUNTERS says so', async () => {
    expect(await marked({ PROMETHEUS_COUNTERS: 'metadata' }, { e: 1, b: 3 })).toEqual(['b_count', 'e'])
    expect(await marked({ PROMETHEUS_COUNTERS: 'off' }, { e: 1 })).toEqual([])
  })

  test('by rules first', async () => {
    const rules = JSON.stringify([
      { action: 'gauge', source_labels: ['__name__'], regex: 'a_.*|e' },
      { action: 'counter', source_labels: ['__name__'], regex: 'total' },
    ])
    expect(await marked({}, { e: 1 }, rules)).toEqual(['b_count', 'c_sum', 'd_bucket', 'total'])
    expect(await marked({ PROMETHEUS_COUNTERS: 'off' }, {}, rules)).toEqual(['total'])
  })
})

describe('what cannot be used is rejected by item', () => {
  const good = { labels: cpu(), samples: [[1, NOW]] as const }

  test.each<[string, SentRequest['series'], RegExp]>([
    [
      'a native histogram',
      [{ labels: { __name__: 'h' }, histograms: 1 }],
      /timeseries 0: native histograms are not supported/,
    ],
    ['no name', [{ labels: { job: 'x' }, samples: [[1, NOW]] }], /timeseries 0: the label __name__ is missing/],
    [
      'a label twice',
      [
        {
          labels: [
            ['__name__', 'm'],
            ['a', '1'],
            ['a', '2'],
          ],
          samples: [[1, NOW]],
        },
      ],
      /the label "a" occurs twice/,
    ],
    ['a long key', [{ labels: cpu({ x: 'y'.repeat(300) }), samples: [[1, NOW]] }], /key .* must be at most 200 bytes/],
    ['a time before 1970', [{ labels: cpu(), samples: [[1, -5]] }], /the timestamp must not be before 1970/],
    [
      'a time to come',
      [{ labels: cpu(), samples: [[1, NOW + 1e9]] }],
      /more than 86400000 ms \(FUTURE_MAX_MS\) after now/,
    ],
    ['a huge value', [{ labels: cpu(), samples: [[1e200, NOW]] }], /value must be from/],
  ])('%s', async (_, series = [], reason) => {
    const target = createTarget()
    const response = await target.write({ series: [...series, good] })
    expect(response.status).toBe(400)
    expect(response.headers.get('Content-Type')).toMatch(/^text\/plain/)
    const text = await response.text()
    expect(text).toMatch(/^partial write: 1 samples are stored, 1 rejected: timeseries 0: [^\n]*\n$/)
    expect(text).toMatch(reason)
    expect(await target.stored()).toEqual(['node_load1,instance=a:9100=1@0'])
  })

  test('exemplars are skipped', async () => {
    const target = createTarget()
    const response = await target.write({ series: [{ ...good, exemplars: 2 }] })
    expect([response.status, response.headers.get('Tidemark-Skipped')]).toEqual([204, 'unsupported=2'])
  })

  test('a label without a place in the template', async () => {
    const target = createTarget({ settings: { PROMETHEUS_KEY: '{instance}/{__name__}' } })
    const response = await target.write({ series: [{ labels: cpu({ job: 'x' }), samples: [[1, NOW]] }, good] })
    expect(await response.text()).toContain('PROMETHEUS_KEY has no place for the label "job"')
    expect(await target.stored()).toEqual(['a:9100/node_load1=1@0'])
  })
})

test('bytes that are not UTF-8 are no part of a key', async () => {
  const target = createTarget()
  const request = encodeWriteRequest({ series: [{ labels: cpu({ job: '????' }), samples: [[1, NOW]] }] })
  request.fill(0xff, request.indexOf('????'), request.indexOf('????') + 4)
  const response = await target.post(snappy(request))
  expect([response.status, await response.text()]).toEqual([400, expect.stringContaining('bytes that are not UTF-8')])
})

describe('a request fails as a whole', () => {
  const request = snappy(encodeWriteRequest({ series: [{ labels: cpu(), samples: [[1, NOW]] }] }))
  test.each<[string, Uint8Array<ArrayBuffer>, Record<string, string>, number, string]>([
    [
      'of remote write 2.0',
      request,
      { 'Content-Type': 'application/x-protobuf;proto=io.prometheus.write.v2.Request' },
      415,
      'Only remote write 1.0',
    ],
    ['that is JSON', request, { 'Content-Type': 'application/json' }, 415, 'Only remote write 1.0'],
    ['with an unknown coding', request, { 'Content-Encoding': 'lz4' }, 415, 'Content-Encoding is not supported'],
    ['that is no snappy', Buffer.from('hello, world'), {}, 400, 'is damaged, or is not snappy'],
    ['that is cut off', request.subarray(0, -3), {}, 400, 'cut off'],
    ['that is no message', snappy(Buffer.from('hello, world')), {}, 400, 'not a prometheus.WriteRequest'],
    [
      'with a value that is longer than its sample',
      snappy(Buffer.from('\n\x1a\n\r\n\b__name__\x12\x01m\x12\x05\t\0\0\0\0\0\0\0\0', 'latin1')),
      {},
      400,
      'the last field of a message is cut off',
    ],
    ['of a bomb', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]), {}, 413, 'after decompression'],
    [
      'of too many samples',
      snappy(
        encodeWriteRequest({
          series: Array.from({ length: 10_001 }, () => ({ labels: { __name__: 'm' }, samples: [[1, NOW]] as const })),
        }),
      ),
      {},
      413,
      '10000 samples',
    ],
    ['without a body', Buffer.alloc(0), {}, 400, 'body is empty'],
  ])('%s', async (_, body, headers, status, words) => {
    const target = createTarget()
    const response = await target.post(body, headers)
    expect([response.status, response.headers.get('Content-Type')]).toEqual([status, 'text/plain; charset=utf-8'])
    expect(await response.text()).toContain(words)
    expect(await target.stored()).toEqual([])
  })

  test('503 with Retry-After while the store does not respond', async () => {
    const target = createTarget({
      override: {
        append: async batches =>
          batches.map(() => ({ kind: 'failed', error: new StoreError('gone', { kind: 'unknown' }) })),
      },
    })
    const response = await target.post(request)
    expect(response.status).toBe(503)
    expect(Number(response.headers.get('Retry-After'))).toBeGreaterThan(0)
    expect(await response.text()).toContain('0 samples are stored')
  })

  test('429 with Retry-After beyond the limit of samples', async () => {
    const target = createTarget({ settings: { SAMPLES_PER_S_MAX: '1' } })
    expect((await target.post(request)).status).toBe(204)
    const response = await target.post(request)
    expect([response.status, response.headers.has('Retry-After')]).toEqual([429, true])
  })
})

test('an API key that is bound to a prefix writes only its own keys', async () => {
  const bound = testKey({ scopes: ['ingest'], key_prefix: 'node_' })
  const target = createTarget({ keys: [bound.record] })
  const other = { labels: { __name__: 'up' }, samples: [[1, NOW]] as const }
  const response = await target.write({ series: [other, { labels: cpu(), samples: [[1, NOW]] }] }, bound.headers)
  expect([response.status, await response.text()]).toEqual([
    400,
    expect.stringContaining('may write only keys that begin with "node_"'),
  ])
  expect((await target.write({ series: [other] }, bound.headers)).status).toBe(403)
  expect(await target.stored()).toEqual(['node_load1,instance=a:9100=1@0'])
})

test('rules drop series and labels', async () => {
  const seriesRules = parseSeriesRules(
    JSON.stringify([
      { action: 'drop', source_labels: ['__name__', 'job'], regex: 'go_.*;.*' },
      { action: 'keep', source_labels: ['job'], regex: 'node|api' },
      { action: 'labeldrop', regex: 'replica|job' },
    ]),
  )
  const target = createTarget({ seriesRules })
  const one = (name: string, job: string, replica: string) => ({
    labels: { __name__: name, job, replica },
    samples: [[1, NOW]] as const,
  })
  const response = await target.write({
    series: [one('go_gc', 'node', 'a'), one('up', 'db', 'a'), one('up', 'api', 'b')],
  })
  expect([response.status, response.headers.get('Tidemark-Skipped')]).toEqual([204, 'denied=2'])
  expect(await target.stored()).toEqual(['up=1@0'])
})
