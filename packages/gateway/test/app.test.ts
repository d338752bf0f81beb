import { partitionOf } from '@tidemark/shared/sample/partition'
import { formatReceipt } from '@tidemark/shared/sample/receipt'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { GatewayStore } from '@tidemark/shared/store/ports/gateway'
import { toAnalysis, VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { eventually } from '@tidemark/testkit/eventually'
import { describe, expect, test } from 'vitest'
import { ingestResultSchema } from '../src/ingest/routes.ts'
import { analysisSchema, entryAnalysesSchema, historySchema, pageSchema } from '../src/verdicts/schemas.ts'
import { analyseAll, createTestApp, NOW, putWindow, storedSamples, windowOf } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const partition = (key: string): number => partitionOf(key, 16)

async function resultOf(response: Response) {
  expect(response.status).toBe(202)
  expect(response.headers.get('Content-Type')).toBe('application/json')
  return ingestResultSchema.parse(await response.json())
}

function failing(error: Error): Partial<GatewayStore> {
  const reject = (): Promise<never> => Promise.reject(error)
  return { progress: reject, lastAnalyses: reject, scanAnalyses: reject, window: reject, verdicts: reject }
}

describe('POST /ingest', () => {
  test('stores the samples and returns one receipt per partition, ascending', async () => {
    const store = createMemoryStore({ now: () => NOW })
    const { post } = createTestApp({ store })
    const result = await resultOf(await post('{"timestamp":1700000000,"cpu":12.5,"rps":420}'))
    const partitions = [partition('default/cpu'), partition('default/rps')].sort((a, b) => a - b)
    expect(result).toEqual({
      accepted: 2,
      rejected: [],
      receipts: partitions.map(number => formatReceipt({ partition: number, id: `${NOW}-0` })),
      durability: 'memory',
    })
    const stored = await storedSamples(store)
    expect(stored.map(({ key, value, timestamp }) => ({ key, value, timestamp }))).toEqual(
      expect.arrayContaining([
        { key: 'default/cpu', value: 12.5, timestamp: NOW },
        { key: 'default/rps', value: 420, timestamp: NOW },
      ]),
    )
  })

  test('stores the valid samples and lists the invalid ones', async () => {
    const { post } = createTestApp()
    const result = await resultOf(await post('[{"key":"a","value":1},{"key":"b","value":"2"},{"key":"c","value":3}]'))
    expect(result).toMatchObject({
      accepted: 2,
      rejected: [{ index: 1, reason: 'sample 1: value must be a finite number: send "2" without quotes' }],
    })
  })

  test('responds 202 to the empty array', async () => {
    expect(await resultOf(await createTestApp().post('[]'))).toEqual({
      accepted: 0,
      rejected: [],
      receipts: [],
      durability: 'memory',
    })
  })

  test('responds 400 when no sample is valid', async () => {
    const response = await createTestApp().post('[{"key":"a"},7]')
    expect(response.status).toBe(400)
    expect(await problemOf(response)).toMatchObject({
      type: 'urn:tidemark:problem:samples-invalid',
      errors: [
        { index: 0, detail: 'sample 0: value is missing' },
        { index: 1, detail: 'sample 1: must be an object' },
      ],
      accepted: 0,
      rejected: [{ index: 0 }, { index: 1 }],
      instance: '/ingest',
    })
  })

  test.each(['', ' \n\t', '\ufeff'])('responds 400 to an empty body', async body => {
    const response = await createTestApp().post(body)
    expect(response.status).toBe(400)
    expect((await problemOf(response)).type).toBe('urn:tidemark:problem:body-empty')
  })

  test('responds 400 to a body that is not JSON and repeats none of it', async () => {
    const response = await createTestApp().post('{"secret":')
    expect(response.status).toBe(400)
    expect(await problemOf(response)).toMatchObject({
      detail: 'No sample was accepted. Sample 0: the item is cut off at line 1, column 11.',
    })
  })

  test('ignores a byte order mark', async () => {
    await resultOf(await createTestApp().post('\ufeff{"key":"a","value":1}'))
  })

  test.each([
    undefined,
    'application/json',
    'application/json; charset=utf-8',
    'Application/JSON; Charset="UTF-8"',
    'application/vnd.metrics+json',
    'application/x-www-form-urlencoded',
    'text/plain;charset=UTF-8',
    'application/octet-stream',
  ])('reads a body of type %s as JSON, or line by line if it has several lines', async type => {
    const { post } = createTestApp()
    const headers: Record<string, string> = type === undefined ? {} : { 'Content-Type': type }
    await resultOf(await post(Buffer.from('{"key":"a","value":1}'), headers))
    const lines = await post(Buffer.from('{"key":"a","value":1}\n{"key":"b","value":1}\n'), headers)
    expect((await resultOf(lines)).accepted).toBe(2)
  })

  test.each([
    'application/x-ndjson',
    'application/jsonl',
    'application/json-lines',
    'application/x-ndjson; charset=utf-8',
  ])('reads a body of type %s line by line', async type => {
    const body = '{"key":"a","value":1}\n\nnot json\n{"key":"b","value":1}'
    const result = await resultOf(await createTestApp().post(body, { 'Content-Type': type }))
    expect(result).toMatchObject({
      accepted: 2,
      rejected: [{ index: 2, reason: 'sample 2: the text at line 3, column 1 is not a JSON object' }],
    })
  })

  test.each([
    { 'Content-Type': 'multipart/form-data; boundary=x' },
    { 'Content-Type': 'image/png' },
    { 'Content-Type': 'application/xml' },
    { 'Content-Type': 'text/html' },
    { 'Content-Type': 'application/x-protobuf' },
    { 'Content-Type': 'application/json; charset=klingon' },
    { 'Content-Type': 'application/json', 'Content-Encoding': 'snappy' },
    { 'Content-Type': 'application/json', 'Content-Encoding': 'compress' },
  ])('responds 415 to %o', async headers => {
    const response = await createTestApp().post('{"key":"a","value":1}', headers as Record<string, string>)
    expect(response.status).toBe(415)
    await problemOf(response)
  })

  test('accepts the content encoding identity', async () => {
    const headers = { 'Content-Type': 'application/json', 'Content-Encoding': 'identity' }
    await resultOf(await createTestApp().post('{"key":"a","value":1}', headers))
  })

  test('responds 413 to a body over the limit, with or without a Content-Length', async () => {
    const { post } = createTestApp({ settings: { BODY_BYTES_MAX: '1024' } })
    const body = JSON.stringify({ key: 'a', value: 1 }).padEnd(1024)
    await resultOf(await post(body))
    const streamed = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let i = 0; i < 5; i++) controller.enqueue(Buffer.from(' '.repeat(300)))
        controller.close()
      },
    })
    for (const tooLarge of [`${body} `, streamed]) {
      const response = await post(tooLarge)
      expect(response.status).toBe(413)
      expect(await problemOf(response)).toMatchObject({ detail: expect.stringContaining('1024 bytes') })
    }
    const lying = await post('{"key":"a","value":1}', { 'Content-Type': 'application/json', 'Content-Length': '99999' })
    expect(lying.status).toBe(413)
  })

  test('responds 503 to the oldest unfinished body when too many bytes are being read', async () => {
    const { post } = createTestApp({ settings: { BODIES_BYTES_MAX: String(1024 * 1024) } })
    const body = Buffer.from('{"key":"a","value":1}'.padEnd(600_000))
    // A stream is pulled again once its first chunk has been read.
    const { promise: wasRead, resolve: read } = Promise.withResolvers<void>()
    let pulls = 0
    const slow = new ReadableStream<Uint8Array>({
      pull: controller => {
        if (pulls++ === 0) controller.enqueue(body)
        else read()
      },
    })
    const first = post(slow)
    await wasRead
    await resultOf(await post(body))
    const gaveWay = await first
    expect(gaveWay.status).toBe(503)
    expect((await problemOf(gaveWay)).type).toBe('urn:tidemark:problem:overloaded')
    await resultOf(await post(body))
  })

  test('responds 413 to a body in tens of thousands of tiny chunks', async () => {
    const { post } = createTestApp()
    const chunks = new ReadableStream<Uint8Array>({ pull: controller => controller.enqueue(Buffer.from(' ')) })
    const response = await post(chunks)
    expect(response.status).toBe(413)
    expect(await problemOf(response)).toMatchObject({ type: 'urn:tidemark:problem:body-fragmented' })
  })

  test('reads a body in chunks of any size', async () => {
    const text = `{"key":"${'\u{1f600}'.repeat(40)}","value":1}`.padEnd(200_000)
    for (const sizes of [[1, 1, 60], [1, 5000], [5000, 1], [700], [1, 2, 3, 4095, 4096, 4097], [65_536, 1, 1]]) {
      const store = createMemoryStore()
      const { post } = createTestApp({ store })
      const bytes = Buffer.from(text)
      const chunks = new ReadableStream<Uint8Array>({
        start(controller) {
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = sizes[i % sizes.length] ?? 1
            controller.enqueue(bytes.subarray(at, at + size))
            at += size
          }
          controller.close()
        },
      })
      await resultOf(await post(chunks))
      expect(await storedSamples(store)).toMatchObject([{ key: '\u{1f600}'.repeat(40), value: 1 }])
    }
  })

  test('responds 413 to too many samples and stores none', async () => {
    const store = createMemoryStore()
    const { post } = createTestApp({ store, settings: { SAMPLES_MAX: '2' } })
    const response = await post('[{"key":"a","value":1},{"key":"b","value":1},{"key":"c","value":1}]')
    expect(response.status).toBe(413)
    await problemOf(response)
    expect(await storedSamples(store)).toEqual([])
  })

  test('keeps the order of a key within and between requests', async () => {
    const store = createMemoryStore()
    const { post } = createTestApp({ store })
    await post('[{"key":"a","value":1},{"key":"a","value":2}]')
    await post('{"key":"a","value":3}')
    expect((await storedSamples(store)).map(({ value }) => value)).toEqual([1, 2, 3])
  })

  test('valid keys are read back as they were sent', async () => {
    const keys = [
      '__proto__',
      'constructor',
      'hasOwnProperty',
      '{1}',
      '{}',
      '}{',
      'a b',
      '"',
      '\\',
      "'",
      '$',
      '*',
      '?',
      '#',
      '%00',
    ]
    keys.push(
      '../..',
      '<script>',
      '\u2028',
      '\u{1f600}',
      'ä',
      'a\u0308',
      '\u202e',
      ' ',
      'null',
      'tm:{0}:samples',
      '٣',
      '\ufdd0',
    )
    const store = createMemoryStore()
    const { post, app } = createTestApp({ store })
    const result = await resultOf(await post(JSON.stringify(keys.map((key, value) => ({ key, value })))))
    expect(result).toMatchObject({ accepted: keys.length, rejected: [] })
    const stored = await storedSamples(store)
    expect(new Set(stored.map(({ key }) => key))).toEqual(new Set(keys))
    await analyseAll(store)
    for (const key of keys) {
      const response = await app.request(`/analyze?key=${encodeURIComponent(key)}`)
      expect(await response.json()).toMatchObject({ key })
    }
  })

  test('responds 503 while the store is not open', async () => {
    const response = await createTestApp({ isStoreOpen: false }).post('{"key":"a","value":1}')
    expect(response.status).toBe(503)
    expect((await problemOf(response)).type).toBe('urn:tidemark:problem:store-unavailable')
  })

  test.each([
    ['refused', 'not stored, the store rejected it'],
    ['fatal', 'not stored, the store rejected it'],
    ['unknown', 'the store did not respond, so the sample may or may not be stored'],
  ] as const)('responds 503 when the store fails (%s) and never repeats its message', async (kind, reason) => {
    const error = new StoreError('connect ECONNREFUSED 10.0.0.7:6379', { kind })
    const { post } = createTestApp({
      override: { append: async batches => batches.map(() => ({ kind: 'failed', error })) },
    })
    const response = await post('[{"key":"a","value":1},7]')
    expect(response.status).toBe(503)
    const problem = await problemOf(response)
    expect(problem).toMatchObject({
      accepted: 0,
      receipts: [],
      rejected: [
        { index: 0, reason: `sample 0: ${reason}` },
        { index: 1, reason: 'sample 1: must be an object' },
      ],
    })
    expect(JSON.stringify(problem)).not.toContain('ECONNREFUSED')
  })

  test('responds 503 if only some samples could be stored, and lists the others', async () => {
    const store = createMemoryStore({ backlogMax: 1 })
    const { post } = createTestApp({ store })
    await resultOf(await post('{"key":"a","value":1}'))
    const response = await post('[{"key":"a","value":2},{"key":"b","value":3},{"key":"a","value":4}]')
    expect(partition('a')).not.toBe(partition('b'))
    expect(response.status).toBe(503)
    const problem = await problemOf(response)
    expect(problem).toMatchObject({ type: 'urn:tidemark:problem:samples-not-stored', accepted: 1 })
    expect(problem.receipts).toHaveLength(1)
    expect(problem.rejected?.map(({ index }) => index)).toEqual([0, 2])
  })

  test('responds 503 when too many samples are queued', async () => {
    let respond: (() => void) | undefined
    const { post } = createTestApp({
      settings: { QUEUE_SAMPLES_MAX: '1' },
      override: {
        append: batches =>
          new Promise(resolve => {
            respond = () => resolve(batches.map(() => ({ kind: 'stored', id: '1-0' })))
          }),
      },
    })
    const first = post('{"key":"a","value":1}')
    await eventually(() => expect(respond).toBeDefined())
    const response = await post('{"key":"a","value":2}')
    expect(response.status).toBe(503)
    await problemOf(response)
    respond?.()
    await resultOf(await first)
  })
})

describe('GET /analyze?key=', () => {
  test('returns the newest analysis', async () => {
    const store = createMemoryStore()
    const { post, app } = createTestApp({ store })
    await post('[{"key":"a","value":1},{"key":"a","value":130}]')
    await analyseAll(store)
    const response = await app.request('/analyze?key=a')
    expect(response.status).toBe(200)
    expect(response.headers.get('Content-Type')).toBe('application/json')
    expect(analysisSchema.parse(await response.json())).toMatchObject({
      key: 'a',
      value: 130,
      z: 3,
      state: 'anomalous',
    })
  })

  test('responds 404 to a key without analysed samples', async () => {
    const response = await createTestApp().app.request('/analyze?key=a')
    expect(response.status).toBe(404)
    expect((await problemOf(response)).type).toBe('urn:tidemark:problem:key-unknown')
  })

  test('with a receipt returns the verdict on exactly that sample', async () => {
    const store = createMemoryStore()
    const { post, app } = createTestApp({ store })
    const { receipts } = await resultOf(await post('{"key":"a","value":111}'))
    await post('{"key":"a","value":222}')
    setTimeout(() => void analyseAll(store), 20)
    const response = await app.request(`/analyze?key=a&after=${receipts[0]}&wait=5000`)
    expect(response.status).toBe(200)
    expect(analysisSchema.parse(await response.json())).toMatchObject({ value: 111, id: receipts[0] })
  })

  test('returns the newest analysis when the verdict is no longer kept', async () => {
    const store = createMemoryStore()
    const { post, app } = createTestApp({ store })
    const { receipts } = await resultOf(await post('{"key":"a","value":1}'))
    const second = await resultOf(await post('{"key":"a","value":2}'))
    await analyseAll(store, undefined, false)
    const response = await app.request(`/analyze?key=a&after=${receipts[0]}`)
    expect(await response.json()).toMatchObject({ value: 2, id: second.receipts[0] })
  })

  test('responds 404 when the entry has no sample of the key', async () => {
    const store = createMemoryStore({ partitions: 1 })
    const { post, app } = createTestApp({ store })
    const { receipts } = await resultOf(await post('{"key":"a","value":1}'))
    await analyseAll(store)
    const response = await app.request(`/analyze?key=b&after=${receipts[0]}`)
    expect(response.status).toBe(404)
    expect((await problemOf(response)).type).toBe('urn:tidemark:problem:receipt-without-key')
  })

  test('with a receipt alone returns the verdicts on all samples of its entry', async () => {
    const store = createMemoryStore({ partitions: 1 })
    const { post, app } = createTestApp({ store })
    const { receipts } = await resultOf(
      await post('[{"key":"a","value":1},{"key":"b","value":2},{"key":"a","value":3}]'),
    )
    await post('{"key":"a","value":4}')
    await analyseAll(store)
    const response = await app.request(`/analyze?after=${receipts[0]}`)
    expect(response.status).toBe(200)
    const { analyses } = entryAnalysesSchema.parse(await response.json())
    expect(analyses.map(({ key, value, id }) => [key, value, id])).toEqual([
      ['a', 1, receipts[0]],
      ['b', 2, receipts[0]],
      ['a', 3, receipts[0]],
    ])
  })

  test('responds 404 to a receipt alone when the verdicts are no longer kept', async () => {
    const store = createMemoryStore({ partitions: 1 })
    const { post, app } = createTestApp({ store })
    const { receipts } = await resultOf(await post('{"key":"a","value":1}'))
    await analyseAll(store, undefined, false)
    const response = await app.request(`/analyze?after=${receipts[0]}`)
    expect(response.status).toBe(404)
    expect((await problemOf(response)).type).toBe('urn:tidemark:problem:verdicts-gone')
  })

  test('responds 503 with the backlog when the wait times out', async () => {
    const { post, app } = createTestApp()
    const { receipts } = await resultOf(await post('{"key":"a","value":1}'))
    const response = await app.request(`/analyze?key=a&after=${receipts[0]}&wait=5`)
    expect(response.status).toBe(503)
    expect(response.headers.get('Retry-After')).toBe('1')
    expect(await problemOf(response)).toMatchObject({ type: 'urn:tidemark:problem:not-analysed-yet', backlog: 1 })
  })

  test('responds 400 to a receipt of another partition', async () => {
    const other = formatReceipt({ partition: (partition('a') + 1) % 16, id: '1-0' })
    const response = await createTestApp().app.request(`/analyze?key=a&after=${other}`)
    expect(response.status).toBe(400)
    expect(await problemOf(response)).toMatchObject({ errors: [{ parameter: 'after' }] })
  })

  test.each([
    ['key=', 'key', 'must not be empty'],
    ['key=%00', 'key', 'must not contain control characters'],
    [`key=${'x'.repeat(201)}`, 'key', 'must be at most 200 bytes of UTF-8'],
    ['wait=5', 'key', 'is missing'],
    ['after=16:1-0', 'after', 'is of partition 16, and there are 16'],
    ['key=a&after=', 'after', 'must be a receipt, as 3:1700000000000-0'],
    ['key=a&after=1-0', 'after', 'must be a receipt, as 3:1700000000000-0'],
    ['key=a&wait=-1', 'wait', 'must be an integer from 0 to 10000'],
    ['key=a&wait=10001', 'wait', 'must be an integer from 0 to 10000'],
    ['key=a&wait=1e3', 'wait', 'must be an integer from 0 to 10000'],
    ['key=a&limit=5', 'limit', 'cannot be combined with key'],
    ['wait=5&prefix=a', 'prefix', 'cannot be combined with wait'],
    ['limit=1&limit=2', 'limit', 'must be given only once'],
    ['limit=0', 'limit', 'must be an integer from 1 to 1000'],
    ['limit=1001', 'limit', 'must be an integer from 1 to 1000'],
    ['state=odd', 'state', 'must be one of warming, flat, ok, anomalous'],
    ['cursor=x', 'cursor', 'must be the cursor of a page'],
    ['cursor=WzEsIi0xIl0', 'cursor', 'must be the cursor of a page'],
    ['kye=a', 'kye', 'is not a parameter here'],
  ])('responds 400 to ?%s', async (query, parameter, detail) => {
    const response = await createTestApp().app.request(`/analyze?${query}`)
    expect(response.status).toBe(400)
    expect(await problemOf(response)).toMatchObject({ errors: [{ parameter, detail }] })
  })
})

describe('GET /analyze', () => {
  test('is empty at first', async () => {
    const response = await createTestApp().app.request('/analyze')
    expect(await response.json()).toEqual({ analyses: [], cursor: null, analysis: null })
  })

  test('has the legacy analysis of default/rps', async () => {
    const store = createMemoryStore()
    const { post, app } = createTestApp({ store })
    await post('{"timestamp":1700000000.5,"rps":420}')
    await analyseAll(store)
    const page = pageSchema.parse(await (await app.request('/analyze')).json())
    expect(page.analysis).toEqual({
      timestamp: 1_700_000_000.5,
      rps_avg: 100,
      rps_z: 32,
      anomaly: true,
      window: 50,
      count: 51,
    })
  })

  test('has 0 where the legacy analysis was never null', async () => {
    const store = createMemoryStore()
    const { post, app } = createTestApp({ store })
    await post('{"timestamp":1700000000,"rps":420}')
    await analyseAll(store, ({ key, value, timestamp }) => ({
      key,
      value,
      timestamp,
      mean: 0,
      deviation: 0,
      meanRest: 0,
      count: 1,
      window: 0,
      judged: null,
    }))
    const page = pageSchema.parse(await (await app.request('/analyze')).json())
    expect(page.analysis).toEqual({
      timestamp: 1_700_000_000,
      rps_avg: 0,
      rps_z: 0,
      anomaly: false,
      window: 0,
      count: 1,
    })
  })

  test.each([1, 7, 100, 1000])('pages of %i contain each key exactly once', async limit => {
    const store = createMemoryStore({ partitions: 3 })
    const { post, app } = createTestApp({ store })
    const keys = Array.from({ length: 700 }, (_, i) => `k${i}`)
    await post(JSON.stringify(keys.map((key, value) => ({ key, value }))))
    await analyseAll(store)
    const found: string[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`
      const page = pageSchema.parse(await (await app.request(`/analyze?limit=${limit}${query}`)).json())
      expect(page.analyses.length).toBeLessThanOrEqual(limit)
      found.push(...page.analyses.map(({ key }) => key))
      cursor = page.cursor
    }
    expect(found.length).toBe(keys.length)
    expect(new Set(found)).toEqual(new Set(keys))
  })

  test('filters by prefix and state', async () => {
    const store = createMemoryStore()
    const { post, app } = createTestApp({ store })
    await post('[{"key":"a/1","value":100},{"key":"a/2","value":500},{"key":"b/1","value":500}]')
    await analyseAll(store)
    async function keys(query: string): Promise<string[]> {
      const page = pageSchema.parse(await (await app.request(`/analyze?${query}`)).json())
      return page.analyses.map(({ key }) => key).sort()
    }
    expect(await keys('prefix=a/')).toEqual(['a/1', 'a/2'])
    expect(await keys('state=anomalous')).toEqual(['a/2', 'b/1'])
    expect(await keys('prefix=a/&state=anomalous')).toEqual(['a/2'])
    expect(await keys('state=flat')).toEqual([])
  })

  test('corrupt stored analyses are left out, and hide no other', async () => {
    const store = createMemoryStore({ partitions: 1 })
    const corrupt = ['', '{"key":', 'null', '{"key":"b","state":"ok"}']
    const { post, app } = createTestApp({
      store,
      override: {
        scanAnalyses: async (...args) => {
          const { analyses, next } = await store.gateway.scanAnalyses(...args)
          return { analyses: [...corrupt.map((analysis, i) => ({ key: `b${i}`, analysis })), ...analyses], next }
        },
        lastAnalyses: async () => [corrupt[1] ?? ''],
      },
    })
    await post('[{"key":"a","value":1},{"key":"c","value":1}]')
    await analyseAll(store)
    const page = pageSchema.parse(await (await app.request('/analyze')).json())
    expect(page.analyses.map(({ key }) => key)).toEqual(['a', 'c'])
    expect(page).toMatchObject({ cursor: null, analysis: null })
  })

  test('a request reads a bounded number of keys, then returns a cursor', async () => {
    let scans = 0
    const { app } = createTestApp({
      store: createMemoryStore({ partitions: 1 }),
      override: {
        scanAnalyses: async () => {
          scans++
          return {
            analyses: Array.from({ length: 1000 }, (_, i) => ({ key: `k${i}`, analysis: '{"state":"ok"}' })),
            next: '5',
          }
        },
      },
    })
    const response = await app.request('/analyze?prefix=nothing')
    expect(await response.json()).toMatchObject({ analyses: [], cursor: expect.any(String) })
    expect(scans).toBe(20)
  })

  test('pages are read two at a time; requests beyond the queue get 503', async () => {
    let atOnce = 0
    let atOnceMost = 0
    const { promise: goOn, resolve } = Promise.withResolvers<void>()
    const { app, registry } = createTestApp({
      store: createMemoryStore({ partitions: 1 }),
      override: {
        scanAnalyses: async () => {
          atOnceMost = Math.max(atOnceMost, ++atOnce)
          await goOn
          atOnce--
          return { analyses: [], next: '0' }
        },
      },
    })
    let refused = 0
    const sent = Array.from({ length: 210 }, async () => {
      const response = await app.request('/analyze')
      if (response.status === 503) refused++
      return response
    })
    await eventually(() => expect(refused).toBe(8))
    resolve()
    const responses = await Promise.all(sent)
    expect(responses.map(({ status }) => status)).toEqual([...Array(202).fill(200), ...Array(8).fill(503)])
    expect(atOnceMost).toBe(2)
    expect(await registry.metrics()).toContain('gateway_limit_reached_total{limit="analysis_pages"} 8\n')
    expect((await app.request('/analyze')).status).toBe(200)
  })
})

const ANALYSIS_OF_COUNTER = {
  ...{ key: 'a', value: 16, timestamp: NOW + 4000, mean: 8, deviation: 2, meanRest: 0, count: 4, window: 3 },
  judged: {
    ...{ rule: 'r', detector: 'zscore', score: Number.NaN, threshold: 2, low: Number.NaN, high: Number.NaN },
    ...({ order: 'in_order', excluded: null, rate: 6, outside: null, unit: null } as const),
  },
} as const

describe('GET /history', () => {
  test('returns the window', async () => {
    const store = createMemoryStore()
    const { post, app } = createTestApp({ store })
    await post('{"key":"a b/ä","value":7,"timestamp":1700000000}')
    await analyseAll(store)
    const response = await app.request(`/history?key=${encodeURIComponent('a b/ä')}`)
    expect(historySchema.parse(await response.json())).toEqual({
      key: 'a b/ä',
      count: 51,
      values: [7],
      timestamps: [NOW],
      mean: [100],
      low: [80],
      high: [120],
      state: ['anomalous'],
    })
  })

  test('returns the rates of a counter too, and the unit', async () => {
    const finding = { ...ANALYSIS_OF_COUNTER, judged: { ...ANALYSIS_OF_COUNTER.judged, unit: 'B' } }
    const newest = toAnalysis(finding, { partition: 0, id: '1-0', analyzedAt: NOW, ...VERDICT_DEFAULTS })
    const window = windowOf([5, 25, 10, 16], [NOW, NOW + 2000, NOW + 3000, NOW + 4000])
    const { app } = createTestApp({
      override: { window: async () => window, lastAnalyses: async () => [JSON.stringify(newest)] },
    })
    const history = historySchema.parse(await (await app.request('/history?key=a')).json())
    expect(history).toMatchObject({ values: [5, 25, 10, 16], rates: [null, 10, null, 6], unit: 'B' })
  })

  test('has the band of each value that its verdict had, also of equal samples, and none of other keys', async () => {
    const store = createMemoryStore({ partitions: 1 })
    const { post, app } = createTestApp({ store })
    const values = [100, 5, 100, 7]
    await post(JSON.stringify([...values, ...values].map(value => ({ key: 'a', value, timestamp: 1.7e9 }))))
    await post(JSON.stringify(Array.from({ length: 100 }, () => ({ key: 'busy', value: 100, timestamp: 1.7e9 }))))
    let n = 0
    await analyseAll(store, ({ key, value, timestamp }) => ({
      ...{ key, value, timestamp, mean: key === 'a' ? n++ : 999, deviation: 10, meanRest: 0 },
      ...{ count: n, window: 50, judged: null },
    }))
    const kept = await store.gateway.keptVerdicts(0, { count: 10 })
    expect(kept).toHaveLength(2)
    await putWindow(store, 'a', [...values, ...values])
    const read = async () => historySchema.parse(await (await app.request('/history?key=a')).json())
    expect(await read()).toMatchObject({
      mean: [0, 1, 2, 3, 4, 5, 6, 7],
      low: [-20, -19, -18, -17, -16, -15, -14, -13],
      high: [20, 21, 22, 23, 24, 25, 26, 27],
      state: Array(8).fill('anomalous').with(1, 'ok').with(3, 'ok').with(5, 'ok').with(7, 'ok'),
    })
  })

  test('has no band where verdicts are no longer kept, except that of the newest value', async () => {
    const store = createMemoryStore({ partitions: 1 })
    const { post, app } = createTestApp({ store })
    await post('[{"key":"a","value":1,"timestamp":1700000000},{"key":"a","value":2,"timestamp":1700000000}]')
    await analyseAll(store, undefined, false)
    await putWindow(store, 'a', [1, 2])
    const history = historySchema.parse(await (await app.request('/history?key=a')).json())
    expect(history).toMatchObject({ mean: [null, 100], low: [null, 80], high: [null, 120], state: [null, 'anomalous'] })
  })

  test('responds 404 to a key without analysed samples and 400 without a key', async () => {
    const { app } = createTestApp()
    expect((await app.request('/history?key=a')).status).toBe(404)
    const response = await app.request('/history')
    expect(response.status).toBe(400)
    expect(await problemOf(response)).toMatchObject({ errors: [{ parameter: 'key', detail: 'is missing' }] })
  })
})

describe('on failures', () => {
  const paths = ['/analyze', '/analyze?key=a', `/analyze?key=a&after=${partition('a')}:1-0`, '/history?key=a']

  test.each(paths)('%s responds 503 when the store fails', async path => {
    const { app } = createTestApp({ override: failing(new StoreError('secret', { kind: 'refused' })) })
    const response = await app.request(path)
    expect(response.status).toBe(503)
    expect(JSON.stringify(await problemOf(response))).not.toContain('secret')
  })

  test.each(paths)('%s responds 503 while the store is not open', async path => {
    const response = await createTestApp({ isStoreOpen: false }).app.request(path)
    expect(response.status).toBe(503)
    await problemOf(response)
  })

  test.each(paths)('%s responds 500 to a bug and does not expose it', async path => {
    const { app } = createTestApp({ override: failing(new TypeError('secret')) })
    const response = await app.request(path)
    expect(response.status).toBe(500)
    expect(JSON.stringify(await problemOf(response))).not.toContain('secret')
  })
})

describe('routes', () => {
  test.each(['/nothing', '/ingest/x', '/docs/nothing', '/INGEST', '/__proto__', '/constructor'])(
    '%s is 404',
    async path => {
      const response = await createTestApp().app.request(path)
      expect(response.status).toBe(404)
      await problemOf(response)
    },
  )

  test.each([
    ['GET', '/ingest', 'POST'],
    ['PUT', '/ingest', 'POST'],
    ['POST', '/analyze', 'GET, HEAD'],
    ['DELETE', '/history', 'GET, HEAD'],
    ['POST', '/metrics', 'GET, HEAD'],
    ['POST', '/readyz', 'GET, HEAD'],
    ['PATCH', '/openapi.json', 'GET, HEAD'],
    ['BREW', '/docs', 'GET, HEAD'],
  ])('%s %s is 405 with the allowed methods', async (method, path, allow) => {
    const response = await createTestApp().app.request(path, { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('Allow')).toBe(allow)
    await problemOf(response)
  })

  test.each(['/livez', '/readyz', '/health', '/metrics', '/openapi.json', '/analyze'])(
    'HEAD %s is GET without a body',
    async path => {
      const { app } = createTestApp()
      const [head, get] = await Promise.all([app.request(path, { method: 'HEAD' }), app.request(path)])
      expect(head.status).toBe(200)
      expect(await head.text()).toBe('')
      expect(head.headers.get('Content-Type')).toBe(get.headers.get('Content-Type'))
    },
  )

  test('readiness depends on the store, liveness does not', async () => {
    const { app } = createTestApp({ isStoreOpen: false })
    expect((await app.request('/livez')).status).toBe(200)
    const response = await app.request('/readyz')
    expect(response.status).toBe(503)
    expect(response.headers.get('Retry-After')).toBe('1')
    const health = await app.request('/health')
    expect(health.status).toBe(200)
    expect(await health.json()).toEqual({ status: 'degraded', reason: expect.stringMatching(/store/) })
  })

  test('a gateway that shuts down closes its connections', async () => {
    const response = await createTestApp({ isStopping: true }).app.request('/livez')
    expect(response.headers.get('Connection')).toBe('close')
  })
})

describe('metrics', () => {
  test('whole requests with samples that are refused are counted by the problem, and no others', async () => {
    const { app, post, registry } = createTestApp()
    await post('{"key":"a","value":1}')
    await post('[{"key":"a","value":1},{"key":"b"}]')
    await post('')
    await post('no JSON')
    await post('no JSON', { 'Content-Type': 'image/png' })
    await post('{"key":"a","value":"x"}')
    await app.request('/write', { method: 'POST', body: 'no line protocol at all' })
    await app.request('/analyze?key=unknown')
    const counted = (await registry.metrics()).match(/^gateway_requests_refused_total\{.*\} [1-9]\d*$/gm)
    expect(counted?.toSorted()).toEqual([
      'gateway_requests_refused_total{reason="body-empty"} 1',
      'gateway_requests_refused_total{reason="body-malformed"} 1',
      'gateway_requests_refused_total{reason="media-type-unsupported"} 1',
      'gateway_requests_refused_total{reason="samples-invalid"} 2',
    ])
  })

  test('an outage is no refusal of a request', async () => {
    const { post, registry } = createTestApp({ isStoreOpen: false })
    expect((await post('{"key":"a","value":1}')).status).toBe(503)
    expect(await registry.metrics()).not.toMatch(/^gateway_requests_refused_total\{.*\} [1-9]/m)
  })

  test('count requests and samples by reason', async () => {
    const { post, registry } = createTestApp()
    await post('[{"key":"a","value":1},{"key":"b","value":2},{"key":"","value":1},{"key":"c"},7]')
    await post('not JSON')
    const text = await registry.metrics()
    for (const line of [
      'gateway_http_requests_total{route="/ingest",method="POST",status="202"} 1',
      'gateway_http_requests_total{route="/ingest",method="POST",status="400"} 1',
      'gateway_http_request_seconds_count{route="/ingest"} 2',
      'gateway_samples_accepted_total 2',
      'metrics_ingest_total 1',
      'http_request_duration_seconds_count{route="/ingest",path="/ingest"} 2',
      'http_request_duration_seconds_bucket{le="+Inf",route="/ingest",path="/ingest"} 2',
      'gateway_samples_rejected_total{reason="key"} 1',
      'gateway_samples_rejected_total{reason="value"} 1',
      'gateway_samples_rejected_total{reason="shape"} 1',
      'gateway_flush_samples_sum 2',
      'gateway_queue_samples 0',
      'gateway_flushes_failed_total{reason="timeout"} 0',
    ]) {
      expect(text).toContain(`${line}\n`)
    }
  })

  test('do not grow with what clients invent', async () => {
    const { app, post, registry } = createTestApp()
    const series = async (): Promise<number> =>
      (await registry.metrics()).split('\n').filter(line => /^(gateway|metrics)_/.test(line)).length
    const letters = (i: number): string => i.toString(36).replaceAll(/\d/g, 'x')
    async function visit(i: number): Promise<void> {
      await app.request(`/${letters(i)}`, { method: `M${letters(i)}` })
      await app.request(`/docs/${i}`)
      await app.request(`/analyze?key=k${i}`)
    }
    await visit(0)
    await post('{"key":"k","value":1}')
    const before = await series()
    for (let i = 1; i < 3500; i++) await visit(i)
    await post(JSON.stringify(Array.from({ length: 5000 }, (_, i) => ({ key: `k${i}`, value: i }))))
    expect(await series()).toBe(before)
  })
})
