import { gzipSync } from 'node:zlib'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { PbfReader } from 'pbf'
import { describe, expect, test, vi } from 'vitest'
import { testKey } from './support/api-keys.ts'
import { createTestApp, NOW, storedSamples, type TestAppOptions } from './support/fixture.ts'
import { attributes, encodeMetrics, metricsOf } from './support/otlp.ts'

const NS = (ms: number): string => `${ms}000000`

type Json = Readonly<Record<string, unknown>>

type TargetOptions = Omit<TestAppOptions, 'store'> & { readonly store?: MemoryStore }

/** An app and what its store holds: `key=value@time` of each sample, relative to NOW. */
function createTarget({ store = createMemoryStore({ now: () => NOW }), ...options }: TargetOptions = {}) {
  const { app, registry } = createTestApp({ store, ...options })
  const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string>, path = '/v1/metrics') =>
    app.request(path, { method: 'POST', body, headers })
  return {
    registry,
    post,
    json: (request: Json, headers = {}) =>
      post(JSON.stringify(request), { 'Content-Type': 'application/json', ...headers }),
    protobuf: (request: Json, headers = {}) =>
      post(encodeMetrics(request), { 'Content-Type': 'application/x-protobuf', ...headers }),
    stored: async () =>
      (await storedSamples(store)).map(({ key, value, timestamp }) => `${key}=${value}@${timestamp - NOW}`).sort(),
  }
}

const FORMS = ['json', 'protobuf'] as const
const at = (ms = 0, start?: number) => ({
  ...(start === undefined ? {} : { startTimeUnixNano: NS(NOW + start) }),
  timeUnixNano: NS(NOW + ms),
})

describe.each(FORMS)('in %s', form => {
  const stored = async (metrics: readonly Json[], options: TargetOptions = {}, resource = {}) => {
    const target = createTarget(options)
    const response = await target[form](metricsOf(metrics, resource))
    expect(response.status).toBe(200)
    expect(response.headers.get('Content-Type')).toBe(form === 'json' ? 'application/json' : 'application/x-protobuf')
    expect(await response.text()).toBe(form === 'json' ? '{}' : '')
    return { samples: await target.stored(), skipped: response.headers.get('Tidemark-Skipped') }
  }

  test('a gauge is a sample as it is', async () => {
    const dataPoints = [
      { ...at(), asDouble: 1.5, attributes: attributes({ zone: 'b', disk: 'sda' }) },
      { ...at(-5), asInt: '9007199254740991' },
      { ...at(-4), asInt: '-7' },
      { ...at(-3), asInt: 3 },
      {
        asDouble: 0,
        attributes: [
          { key: 'n', value: { intValue: '5' } },
          { key: 'b', value: { boolValue: true } },
          { key: 'd', value: { doubleValue: 0.5 } },
        ],
      },
    ]
    expect((await stored([{ name: 'temp', unit: 'C', gauge: { dataPoints } }])).samples).toEqual([
      'temp,b=true,d=0.5,n=5=0@0.5',
      'temp,disk=sda,zone=b=1.5@0',
      'temp=-7@-4',
      'temp=3@-3',
      'temp=9007199254740991@-5',
    ])
  })

  test('of a cumulative sum that is monotonic each sample is marked as that of a counter', async () => {
    const sum = (aggregationTemporality: number, isMonotonic: boolean) => ({
      aggregationTemporality,
      isMonotonic,
      dataPoints: [{ ...at(0, -1000), asInt: 5 }],
    })
    const metrics = [
      { name: 'cumulative', sum: sum(2, true) },
      { name: 'delta', sum: sum(1, true) },
      { name: 'level', sum: sum(2, false) },
      { name: 'change', sum: sum(1, false) },
    ]
    expect((await stored(metrics)).samples).toEqual(['change=5@0', 'cumulative=5@0.25', 'delta=5@0', 'level=5@0'])
  })

  test.each(['histogram', 'exponentialHistogram'])('a %s is a rate of the count and a mean', async kind => {
    const metrics = [
      { name: 'c', [kind]: { aggregationTemporality: 2, dataPoints: [{ ...at(0, -1000), count: '7', sum: 3.5 }] } },
      { name: 'd', [kind]: { aggregationTemporality: 1, dataPoints: [{ ...at(0, -2000), count: '8', sum: 2 }] } },
      {
        name: 'e',
        [kind]: {
          aggregationTemporality: 1,
          dataPoints: [
            { ...at(0, -2000), count: '0', sum: 0 },
            { ...at(1), count: 3 },
          ],
        },
      },
    ]
    expect((await stored(metrics)).samples).toEqual([
      'c.count=7@0.25',
      'd.count=4@0',
      'd.mean=0.25@0',
      'e.count=0@0',
      'e.count=3@1',
    ])
  })

  test.each(['histogram', 'exponentialHistogram', 'summary'])(
    'a cumulative %s has the mean of what came since its last point, whichever gateway has it',
    async kind => {
      const store = createMemoryStore({ now: () => NOW })
      const targets = [createTarget({ store }), createTarget({ store })] as const
      let sent = 0
      const send = async (ms: number, count: number, sum: number, start = -60_000) => {
        const dataPoints = [{ ...at(ms, start), count: String(count), sum }]
        const metric = { name: 'h', [kind]: { aggregationTemporality: 2, dataPoints } }
        const target = targets[sent++ % 2] as (typeof targets)[0]
        expect((await target[form](metricsOf([metric], {}))).status).toBe(200)
      }
      const means = async () =>
        (await storedSamples(store)).flatMap(({ key, value, timestamp }) =>
          key === 'h.mean' ? [[timestamp - NOW, value]] : [],
        )
      await send(-50_000, 10, 100)
      expect(await means()).toEqual([])
      await send(-40_000, 14, 108)
      // Nothing came.
      await send(-30_000, 14, 108)
      await send(-20_000, 15, 118)
      // Sent again, through the other gateway, and then the one before it, which is late.
      await send(-20_000, 15, 118)
      await send(-30_000, 14, 108)
      // Restarts: the count is lower; then the start is later.
      await send(-10_000, 2, 6, -15_000)
      await send(0, 20, 80, -5000)
      expect(await means()).toEqual([
        [-40_000, 2],
        [-20_000, 10],
        [-20_000, 10],
        [-10_000, 3],
        [0, 4],
      ])
    },
  )

  test('a cumulative histogram whose last point cannot be read is not stored: the request is sent again', async () => {
    const store = createMemoryStore({ now: () => NOW })
    const { advance } = store.totals
    const target = createTarget({ store })
    const send = (ms: number, count: number) => {
      const dataPoints = [{ ...at(ms), count, sum: count * 2 }]
      return target[form](metricsOf([{ name: 'h', histogram: { aggregationTemporality: 2, dataPoints } }], {}))
    }
    await send(-2, 1)
    const totals = vi.spyOn(store.totals, 'advance')
    totals.mockRejectedValueOnce(new StoreError('gone', { kind: 'unknown' }))
    const { status, headers } = await send(-1, 2)
    expect([status, headers.get('Retry-After') === null]).toEqual([503, false])
    totals.mockImplementation(advance)
    await send(-1, 2)
    expect(await target.stored()).toEqual(['h.count=1@-1.75', 'h.count=2@-0.75', 'h.mean=2@-1'])
  })

  test('a cumulative histogram without a sum has no mean, and a wrong time is not remembered', async () => {
    const target = createTarget()
    const send = (ms: number, more: Json) => {
      const dataPoints = [{ ...at(ms), ...more }]
      return target[form](metricsOf([{ name: 'h', histogram: { aggregationTemporality: 2, dataPoints } }], {}))
    }
    await send(-3, { count: 1 })
    await send(-2, { count: 2, sum: 5 })
    expect((await send(1e9, { count: 3, sum: 9 })).status).toBe(400)
    await send(-1, { count: 4, sum: 7 })
    expect((await target.stored()).filter(sample => sample.startsWith('h.mean'))).toEqual(['h.mean=1@-1'])
  })

  test('a summary has its quantiles, too', async () => {
    const quantileValues = [
      { quantile: 0.5, value: 2 },
      { quantile: 0.99, value: 9 },
      { quantile: 1, value: Number.NaN },
    ]
    const sent =
      form === 'json'
        ? quantileValues.map(one => ({ ...one, value: Number.isNaN(one.value) ? 'NaN' : one.value }))
        : quantileValues
    const metrics = [{ name: 's', summary: { dataPoints: [{ ...at(), count: 7, sum: 3.5, quantileValues: sent }] } }]
    expect(await stored(metrics)).toEqual({
      samples: ['s,quantile=0.5=2@0', 's,quantile=0.99=9@0', 's.count=7@0.25'],
      skipped: 'not_finite=1',
    })
  })

  test('points without a recorded value, and values that are not finite, are skipped and counted', async () => {
    const nan = form === 'json' ? 'NaN' : Number.NaN
    const infinity = form === 'json' ? '-Infinity' : -Infinity
    const dataPoints = [
      { ...at(), flags: 1 },
      { ...at(), flags: 1, asDouble: 3 },
      { ...at(), asDouble: nan },
      { ...at(), asDouble: infinity },
      { ...at(), flags: 0, asDouble: 4 },
    ]
    expect(await stored([{ name: 'g', gauge: { dataPoints } }])).toEqual({
      samples: ['g=4@0'],
      skipped: 'stale=2, not_finite=2',
    })
  })

  test('the resource is part of the key, as settings say', async () => {
    const resource = { 'service.name': 'shop', 'host.name': 'a', 'process.pid': '7', 'telemetry.sdk.name': 'x' }
    const metrics = [
      { name: 'g', gauge: { dataPoints: [{ ...at(), asInt: 1, attributes: attributes({ path: '/' }) }] } },
    ]
    const key = async (settings: Record<string, string>) => (await stored(metrics, { settings }, resource)).samples
    expect(await key({})).toEqual(['g,host.name=a,path=/,service.name=shop=1@0'])
    expect(await key({ OTLP_KEY: '{service.name}/{metric}{tags}' })).toEqual(['shop/g,host.name=a,path=/=1@0'])
    expect(await key({ OTLP_RESOURCE_ATTRIBUTES: '' })).toEqual(['g,path=/=1@0'])
    expect(await key({ OTLP_RESOURCE_ATTRIBUTES: 'process.pid, otel.scope.name' })).toEqual([
      'g,otel.scope.name=test,path=/,process.pid=7=1@0',
    ])
    expect(await key({ OTLP_KEY: '{process.pid}.{metric}{tags}', OTLP_RESOURCE_ATTRIBUTES: '' })).toEqual([
      '7.g,path=/=1@0',
    ])
  })

  test('an attribute that the resource has too does not merge with it', async () => {
    const metrics = [
      { name: 'g', gauge: { dataPoints: [{ ...at(), asInt: 1, attributes: attributes({ 'host.name': 'b' }) }] } },
    ]
    expect((await stored(metrics, {}, { 'host.name': 'a' })).samples).toEqual([
      'g,host.name=b,resource.host.name=a=1@0',
    ])
  })

  test('lists and objects in attributes are JSON', async () => {
    const value = {
      arrayValue: {
        values: [
          { stringValue: 'a' },
          { intValue: '2' },
          { kvlistValue: { values: [{ key: 'k', value: { boolValue: false } }] } },
        ],
      },
    }
    const metrics = [{ name: 'g', gauge: { dataPoints: [{ ...at(), asInt: 1, attributes: [{ key: 'x', value }] }] } }]
    const [sample] = (await stored(metrics)).samples
    expect(sample).toMatch(/^g,x=\["a"%2C"?2"?%2C\{"k":false\}\]=1@0$/)
  })

  test('a request may be compressed, or have nothing', async () => {
    const target = createTarget()
    const request = metricsOf([{ name: 'g', gauge: { dataPoints: [{ ...at(), asInt: 1 }] } }])
    const body = form === 'json' ? Buffer.from(JSON.stringify(request)) : encodeMetrics(request)
    const type = form === 'json' ? 'application/json; charset=utf-8' : 'application/x-protobuf'
    expect((await target.post(gzipSync(body), { 'Content-Type': type, 'Content-Encoding': 'gzip' })).status).toBe(200)
    expect((await target[form]({})).status).toBe(200)
    expect((await target[form]({ resourceMetrics: [] })).status).toBe(200)
    expect(await target.stored()).toEqual(['g=1@0'])
  })

  test('what cannot be used is rejected by point, and the others are stored', async () => {
    const target = createTarget()
    const dataPoints = [
      { ...at() },
      { ...at(1e9), asInt: 1 },
      { ...at(), asInt: 2, attributes: attributes({ x: 'y'.repeat(300) }) },
      { ...at(), asInt: 3 },
    ]
    const metrics = [
      { name: 'g', gauge: { dataPoints } },
      { name: 's', sum: { isMonotonic: true, dataPoints: [{ ...at(), asInt: 4 }] } },
      { name: '', gauge: { dataPoints: [{ ...at(), asInt: 5 }] } },
      { name: 'none' },
    ]
    const response = await target[form](metricsOf(metrics))
    expect([response.status, response.headers.get('Tidemark-Skipped')]).toEqual([200, 'unsupported=1'])
    const { rejectedDataPoints, errorMessage } = await partialSuccessOf(response)
    expect(rejectedDataPoints).toBe('5')
    expect(errorMessage.split('; ')).toEqual([
      'data point 0: metric "g": the point has neither asDouble nor asInt',
      expect.stringMatching(/^data point 1: metric "g": timestamp .* is more than 86400000 ms/),
      'data point 2: metric "g": key must be at most 200 bytes of UTF-8',
      'data point 4: metric "s": aggregationTemporality must be 1 (delta) or 2 (cumulative)',
      'data point 5: metric "": the metric has no name',
    ])
    expect(await target.stored()).toEqual(['g=3@0'])
    expect(await target.registry.metrics()).toContain('gateway_protocol_samples_accepted_total{protocol="otlp"} 1\n')
  })

  test('errors are a google.rpc.Status in the type of the request', async () => {
    const good = metricsOf([{ name: 'g', gauge: { dataPoints: [{ ...at(), asInt: 1 }] } }])
    const bad = metricsOf([{ name: 'g', gauge: { dataPoints: [{ ...at() }] } }])
    const type = { 'Content-Type': form === 'json' ? 'application/json' : 'application/x-protobuf' }
    const failed = {
      append: async (batches: readonly unknown[]) =>
        batches.map(() => ({ kind: 'failed', error: new StoreError('gone', { kind: 'unknown' }) }) as const),
    }
    const limited = createTarget({ settings: { SAMPLES_PER_S_MAX: '1' } })
    await limited[form](good)
    for (const [response, status, code, words] of [
      [await createTarget()[form](bad), 400, 3, 'data point 0'],
      [await createTarget().post('\u0001', type), 400, 3, 'The body is'],
      [await createTarget({ keys: [testKey().record] })[form](good), 401, 16, 'API key'],
      [await createTarget().post('x'.repeat(1_100_000), type), 413, 3, 'Split'],
      [await limited[form](good), 429, 8, 'Retry the request'],
      [await createTarget({ isStoreOpen: false })[form](good), 503, 14, 'Retry the request'],
      [await createTarget({ override: failed })[form](good), 503, 14, '0 samples'],
      [await createTarget().post('', type, '/v1/traces'), 404, 5, '/v1/traces is not supported: only metrics are'],
      [await createTarget().post('', type, '/v1/logs'), 404, 5, '/v1/logs is not supported'],
    ] as const) {
      const error = await statusOf(response)
      expect([response.status, error.code, response.headers.get('Content-Type')]).toEqual([
        status,
        code,
        type['Content-Type'],
      ])
      expect(error.message).toContain(words)
      expect(response.headers.has('Retry-After')).toBe(status === 429 || status === 503)
    }
  })

  test('an API key that is bound to a prefix writes only its own keys', async () => {
    const bound = testKey({ scopes: ['ingest'], key_prefix: 'a' })
    const target = createTarget({ keys: [bound.record] })
    const gauge = { dataPoints: [{ ...at(), asInt: 1 }] }
    const response = await target[form](
      metricsOf([
        { name: 'a', gauge },
        { name: 'b', gauge },
      ]),
      bound.headers,
    )
    expect(response.status).toBe(200)
    expect((await partialSuccessOf(response)).errorMessage).toContain('may write only keys that begin with "a"')
    expect((await target[form](metricsOf([{ name: 'b', gauge }]), bound.headers)).status).toBe(403)
    expect(await target.stored()).toEqual(['a=1@0'])
  })
})

test('JSON may have names of the schema, of enums, integers as numbers, and unknown members', async () => {
  const target = createTarget()
  const request = {
    extra: { a: [1] },
    resource_metrics: [
      {
        resource: { attributes: null },
        scope_metrics: [
          {
            metrics: [
              {
                name: 'a',
                sum: {
                  aggregation_temporality: 'AGGREGATION_TEMPORALITY_CUMULATIVE',
                  is_monotonic: true,
                  data_points: [{ time_unix_nano: NOW * 1e6, as_int: 4, exemplars: [], new: 1 }],
                },
              },
            ],
          },
        ],
      },
    ],
  }
  expect((await target.json(request)).status).toBe(200)
  expect(await target.stored()).toEqual(['a=4@0.25'])
})

test.each([
  '{',
  '[]',
  '1',
  '"x"',
  'null',
  '{"resourceMetrics":{}}',
  '{"resourceMetrics":[1]}',
  '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":1}}]}]}]}',
])('%s is malformed', async body => {
  const response = await createTarget().post(body, { 'Content-Type': 'application/json' })
  expect(response.status).toBe(400)
  expect((await statusOf(response)).message).toMatch(/^The body is not/)
})

test('bytes that are not UTF-8 are no part of a key', async () => {
  const target = createTarget()
  const gauge = { dataPoints: [{ ...at(), asInt: 1 }] }
  const request = encodeMetrics(
    metricsOf([
      { name: '????', gauge },
      { name: 'b', gauge },
    ]),
  )
  request.fill(0xff, request.indexOf('????'), request.indexOf('????') + 4)
  const response = await target.post(request, { 'Content-Type': 'application/x-protobuf' })
  expect((await partialSuccessOf(response)).errorMessage).toContain('bytes that are not UTF-8')
  expect(await target.stored()).toEqual(['b=1@0'])
})

test('protobuf that is nested too deep is malformed, and costs no stack', async () => {
  let value: Json = { stringValue: 'x' }
  for (let i = 0; i < 200; i++) value = { arrayValue: { values: [value] } }
  const dataPoints = [{ ...at(), asInt: 1, attributes: [{ key: 'x', value }] }]
  const request = metricsOf([{ name: 'g', gauge: { dataPoints } }])
  expect((await createTarget().protobuf(request)).status).toBe(400)
  expect((await createTarget().json(request)).status).toBe(200)
})

test.each(['text/plain', 'application/xml'])('the type %s is 415', async type => {
  expect((await createTarget().post('{}', { 'Content-Type': type })).status).toBe(415)
})

async function partialSuccessOf(response: Response): Promise<{ rejectedDataPoints: string; errorMessage: string }> {
  if (response.headers.get('Content-Type') === 'application/json') {
    return ((await response.json()) as { partialSuccess: { rejectedDataPoints: string; errorMessage: string } })
      .partialSuccess
  }
  const result = { rejectedDataPoints: '', errorMessage: '' }
  new PbfReader(new Uint8Array(await response.arrayBuffer())).readFields((field, _, pbf) => {
    expect(field).toBe(1)
    pbf.readMessage((inner, target, reader) => {
      if (inner === 1) target.rejectedDataPoints = String(reader.readVarint())
      else target.errorMessage = reader.readString()
    }, result)
  }, result)
  return result
}

async function statusOf(response: Response): Promise<{ code: number; message: string }> {
  if (response.headers.get('Content-Type') === 'application/json')
    return (await response.json()) as { code: number; message: string }
  return new PbfReader(new Uint8Array(await response.arrayBuffer())).readFields(
    (field, target, pbf) => {
      if (field === 1) target.code = pbf.readVarint()
      else target.message = pbf.readString()
    },
    { code: 0, message: '' },
  )
}
