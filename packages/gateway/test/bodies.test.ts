import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { describe, expect, test } from 'vitest'
import { ingestResultSchema } from '../src/ingest/routes.ts'
import { createTestApp, NOW, storedSamples } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const SAMPLE = '{"key":"a","value":1}'

/** An app and what its store holds: `key=value` of each sample. */
function createTarget(settings: Record<string, string> = {}) {
  const store = createMemoryStore({ now: () => NOW })
  const { post, app } = createTestApp({ store, settings })
  return {
    app,
    post,
    stored: async () => (await storedSamples(store)).map(({ key, value }) => `${key}=${value}`).sort(),
  }
}

async function resultOf(response: Response) {
  const body: unknown = await response.json()
  expect([response.status, body]).toEqual([202, expect.anything()])
  return ingestResultSchema.parse(body)
}

describe('a type', () => {
  test.each([
    '*/*',
    'application/*',
    'text/*',
    'json',
    'text/x-json',
    'application/*+json',
    'application/vnd.api+json',
    'application/ld+json; profile="x"',
    'application/json;',
    'application/json; charset=',
    'APPLICATION/JSON',
    'application/json, application/json',
    'application/json charset=utf-8',
    ' application/json',
    'undefined',
    'utf-8',
    'text/javascript',
  ])('%s is read as JSON', async type => {
    expect((await resultOf(await createTarget().post(SAMPLE, { 'Content-Type': type }))).accepted).toBe(1)
  })

  test.each([
    'application/x-jsonlines',
    'application/jsonlines',
    'application/jsonl',
    'application/x-jsonl',
    'text/jsonl',
    'application/x-ndjson',
    'application/json-seq',
    'application/stream+json',
    'application/x-json-stream',
  ])('%s is read line by line', async type => {
    const target = createTarget()
    const body = `\u001e${SAMPLE}\n\u001e{"key":"b","value":NaN}\n{"key":"c","value":3}\n`
    const { accepted, rejected } = await resultOf(await target.post(body, { 'Content-Type': type }))
    expect([accepted, rejected.map(({ index }) => index)]).toEqual([2, [1]])
    expect(await target.stored()).toEqual(['a=1', 'c=3'])
  })

  test.each([
    ['application/x-protobuf', 'POST /v1/metrics'],
    ['application/vnd.google.protobuf', 'POST /api/v1/write'],
    ['text/csv', 'application/json'],
    ['application/msgpack', 'application/json'],
  ])('%s is refused with what to send', async (type, remedy) => {
    const headers = { 'Content-Type': type, 'Content-Encoding': 'snappy' }
    const response = await createTarget().post(Buffer.from([1, 2, 3]), headers)
    expect(response.status).toBe(415)
    expect((await problemOf(response)).detail).toContain(remedy)
  })
})

describe('a charset', () => {
  const text = '{"key":"Höhe","value":1}'
  test.each<[string | undefined, Buffer, string]>([
    ['utf-8', Buffer.from(text), 'Höhe=1'],
    ['"UTF-8"', Buffer.from(text), 'Höhe=1'],
    ["'utf-8'", Buffer.from(text), 'Höhe=1'],
    ['UTF_8', Buffer.from(text), 'Höhe=1'],
    ['ISO-8859-1', Buffer.from(text, 'latin1'), 'Höhe=1'],
    ['latin1', Buffer.from(text, 'latin1'), 'Höhe=1'],
    ['ISO-8859-1', Buffer.from(SAMPLE), 'a=1'],
    ['us-ascii', Buffer.from(SAMPLE), 'a=1'],
    ['windows-1252', Buffer.from('{"key":"\x80","value":1}', 'latin1'), '€=1'],
    ['shift_jis', Buffer.from([...Buffer.from('{"key":"'), 0x83, 0x65, ...Buffer.from('","value":1}')]), 'テ=1'],
    ['utf-16le', Buffer.from(text, 'utf16le'), 'Höhe=1'],
    ['utf-16', Buffer.from(text, 'utf16le').swap16(), 'Höhe=1'],
    // Headers that are wrong: the bytes count for more.
    ['utf-16', Buffer.from(text), 'Höhe=1'],
    ['ISO-8859-1', Buffer.from(`\ufeff${text}`), 'Höhe=1'],
    [undefined, Buffer.from(`\ufeff${text}`, 'utf16le'), 'Höhe=1'],
    [undefined, Buffer.from(`\ufeff${text}`, 'utf16le').swap16(), 'Höhe=1'],
    [undefined, Buffer.from(text, 'utf16le'), 'Höhe=1'],
  ])('%s is read (%j)', async (charset, body, sample) => {
    const target = createTarget()
    const headers = { 'Content-Type': `application/json${charset === undefined ? '' : `; charset=${charset}`}` }
    expect((await resultOf(await target.post(body, headers))).rejected).toEqual([])
    expect(await target.stored()).toEqual([sample])
  })

  test.each(['klingon', 'utf-7', 'utf-32', 'x'.repeat(5000)])('that is unknown is refused: %s', async charset => {
    const response = await createTarget().post(SAMPLE, { 'Content-Type': `application/json; charset=${charset}` })
    expect(response.status).toBe(415)
    expect((await problemOf(response)).detail).toBe('The charset is unknown: send the body as UTF-8.')
  })

  test('bytes that are not UTF-8 cost only the samples that have them', async () => {
    const target = createTarget()
    const latin = Buffer.from('[{"key":"Höhe","value":1},{"key":"Hühe","value":2},{"key":"\x80","value":3},', 'latin1')
    const body = Buffer.concat([latin, Buffer.from('{"key":"Höhe","value":4},{"key":"b","value":5}]')])
    const { accepted, rejected } = await resultOf(await target.post(body))
    expect(rejected.map(({ index }) => index)).toEqual([0, 1, 2])
    expect(rejected[0]?.reason).toContain('bytes that are not UTF-8')
    expect([accepted, await target.stored()]).toEqual([2, ['Höhe=4', 'b=5']])
    expect((await createTarget().post(Buffer.from('{"key":"\xff","value":1}', 'latin1'))).status).toBe(400)
  })
})

describe('a content coding', () => {
  const text = JSON.stringify(Array.from({ length: 500 }, (_, i) => ({ key: `k${i % 50}`, value: i })))
  const compress: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
    gzip: bytes => gzipSync(bytes),
    'x-gzip': bytes => gzipSync(bytes),
    deflate: bytes => deflateSync(bytes),
    br: bytes => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
    zstd: bytes => zstdCompressSync(bytes),
  }
  const codings = Object.keys(compress)
  const encode = (body: Buffer | string, ...names: string[]): Buffer =>
    names.reduce<Buffer>(
      (bytes, name) => (compress[name.toLowerCase()] as (bytes: Buffer) => Buffer)(bytes),
      Buffer.from(body),
    )

  async function post(body: Buffer, encoding: string, settings = {}) {
    const target = createTarget(settings)
    const response = await target.post(body, { 'Content-Type': 'application/json', 'Content-Encoding': encoding })
    return { response, stored: await target.stored() }
  }

  test.each(['UTF-8', 'utf8', '', ' ', 'identity', 'identity, identity', 'none', 'None', ', ,', 'binary'])(
    '%j is none',
    async encoding => {
      const { response, stored } = await post(Buffer.from(SAMPLE), encoding)
      expect([response.status, stored]).toEqual([202, ['a=1']])
    },
  )

  test.each([...codings.map(name => [name]), ['GZIP'], ['gzip', 'br'], ['deflate', 'gzip', 'zstd']])(
    '%s %s %s is taken off',
    async (...names) => {
      const { response, stored } = await post(encode(text, ...names), names.join(', '))
      expect([response.status, stored.length]).toEqual([202, 500])
    },
  )

  test('deflate without its zlib header, and identity beside others, are taken off', async () => {
    expect((await post(deflateRawSync(text), 'deflate')).stored).toHaveLength(500)
    expect((await post(gzipSync(text), 'identity, gzip')).stored).toHaveLength(500)
  })

  test.each(['gzip', 'zstd'])('all members of a body in %s are read', async name => {
    const { response, stored } = await post(
      Buffer.concat([encode(SAMPLE, name), encode('{"key":"b","value":2}', name)]),
      name,
    )
    expect([response.status, stored]).toEqual([202, ['a=1', 'b=2']])
  })

  test.each(codings)('%s that is cut off or damaged stores nothing and is named', async name => {
    const whole = encode(text, name)
    for (const cut of [0.1, 0.5, 0.9]) {
      const { response, stored } = await post(whole.subarray(0, Math.ceil(whole.length * cut)), name)
      expect([response.status, stored]).toEqual([400, []])
      expect((await problemOf(response)).detail).toContain(`The compressed body (${name}) `)
    }
    const { response, stored } = await post(whole.subarray(0, -1), name)
    expect([response.status, stored]).toEqual([400, []])
    const plain = await post(Buffer.from(text), name)
    expect([plain.response.status, plain.stored]).toEqual([400, []])
    expect((await problemOf(plain.response)).detail).toContain(`is not ${name}`)
    const followed = await post(Buffer.concat([whole, Buffer.from('rest')]), name)
    expect([followed.response.status, followed.stored, response.status]).toEqual([400, [], 400])
  })

  test.each(['gzip', 'deflate', 'zstd'])('%s is recognised without its header, and under another one', async name => {
    const whole = encode(text, name)
    for (const declared of ['', 'identity', 'gzip', 'deflate', 'zstd']) {
      const { response, stored } = await post(whole, declared)
      expect([declared, response.status, stored.length]).toEqual([declared, 202, 500])
    }
    const cut = await post(whole.subarray(0, -9), '')
    expect([cut.response.status, cut.stored]).toEqual([400, []])
    expect((await problemOf(cut.response)).detail).toContain(`The compressed body (${name}) is`)
    const { response } = await post(encode(SAMPLE.padEnd(20_001), name), '', { BODY_BYTES_MAX: '20000' })
    expect(response.status).toBe(413)
  })

  test.each(['gzip', 'deflate', 'zstd'])('line ends and zero bytes after %s do no harm', async name => {
    for (const padding of ['\n', '\r\n', '\0\0\0']) {
      const { response, stored } = await post(Buffer.concat([encode(text, name), Buffer.from(padding)]), name)
      expect([response.status, stored.length]).toEqual([202, 500])
    }
  })

  test.each(codings)('%s is bounded by the size after decompression', async name => {
    const settings = { BODY_BYTES_MAX: '20000' }
    const exact = encode(SAMPLE.padEnd(20_000), name)
    expect((await post(exact, name, settings)).stored).toEqual(['a=1'])
    const bombs = [
      encode(SAMPLE.padEnd(20_001), name),
      encode(Buffer.alloc(2_000_000, 0x20), name),
      encode(Buffer.alloc(2_000_000), name, name),
    ]
    for (const [i, bomb] of bombs.entries()) {
      const { response, stored } = await post(bomb, i === 2 ? `${name}, ${name}` : name, settings)
      expect([i, response.status, stored]).toEqual([i, 413, []])
      expect((await problemOf(response)).detail).toContain('The limit is 20000 bytes')
    }
  })

  test('many members of a body share one bound', async () => {
    const { response } = await post(Buffer.concat(Array(200).fill(gzipSync(' '.repeat(1000)))), 'gzip', {
      BODY_BYTES_MAX: '20000',
    })
    expect(response.status).toBe(413)
    const zstd = await post(Buffer.concat(Array(200).fill(zstdCompressSync(' '.repeat(1000)))), 'zstd', {
      BODY_BYTES_MAX: '20000',
    })
    expect(zstd.response.status).toBe(413)
  })

  test('a zstd frame that asks for a huge window is refused', async () => {
    const params = { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_enableLongDistanceMatching]: 1 }
    const { response } = await post(zstdCompressSync(text, { params }), 'zstd')
    // A small frame can be decoded without its window.
    expect([202, 400]).toContain(response.status)
  })

  test.each(['compress', 'snappy', 'lz4', 'gzip, snappy', 'aws-chunked', 'x'.repeat(5000), 'gzip, gzip, gzip, gzip'])(
    '%s is refused with those that are supported',
    async encoding => {
      const { response } = await post(Buffer.from(SAMPLE), encoding)
      expect(response.status).toBe(415)
      expect(response.headers.get('Accept-Encoding')).toBe('gzip, deflate, br, zstd')
      await problemOf(response)
    },
  )

  test('an empty body is empty in every coding', async () => {
    for (const body of [Buffer.alloc(0), gzipSync(''), gzipSync(' \n')]) {
      const { response } = await post(body, 'gzip')
      expect(response.status).toBe(400)
      expect((await problemOf(response)).type).toBe('urn:tidemark:problem:body-empty')
    }
  })
})

test('a body of which some samples can be read stores those, once under an Idempotency-Key', async () => {
  const target = createTarget()
  const body = '[{"key":"a","value":1},{"key":"b","value":NaN},{"device":"d","metrics":{"x":nan,"y":2}},{"key":"c","val'
  const results = []
  for (const sent of [Buffer.from(body), Buffer.from(body), gzipSync(body)]) {
    const coding = sent[0] === 0x1f ? { 'Content-Encoding': 'gzip' } : {}
    results.push(await resultOf(await target.post(sent, { 'Idempotency-Key': '"k"', ...coding })))
  }
  expect(results[0]).toMatchObject({ accepted: 2, rejected: [{ index: 1 }, { index: 2 }, { index: 3 }] })
  expect(results[1]).toEqual(results[0])
  expect(results[2]).toEqual(results[0])
  expect(await target.stored()).toEqual(['a=1', 'd/y=2'])
  // The repaired body is another one.
  const repaired = await target.post('[{"key":"b","value":3}]', { 'Idempotency-Key': '"k"' })
  expect(repaired.status).toBe(422)
})

test('a body of which no sample can be read is 400 and names each', async () => {
  const response = await createTarget().post('{"key":"a","value":4,97}')
  expect(response.status).toBe(400)
  expect(await problemOf(response)).toMatchObject({
    type: 'urn:tidemark:problem:samples-invalid',
    detail: 'No sample was accepted. Sample 0: value is not a number at line 1, column 21: decimal comma?',
    rejected: [{ index: 0 }],
  })
})

test('the devices a/b and a do not share keys', async () => {
  const target = createTarget()
  await resultOf(await target.post('[{"device":"a/b","metrics":{"c":1}},{"device":"a","metrics":{"b/c":2}}]'))
  expect(await target.stored()).toEqual(['a%2Fb/c=1', 'a/b/c=2'])
})

test('operators get the position of a fault in their JSON', async () => {
  const response = await createTarget().app.request('/rules/r', {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: '{"rule":{"pattern":"*"}}\n{',
  })
  expect(response.status).toBe(400)
  expect((await problemOf(response)).detail).toBe('The body is not valid JSON at line 2, column 1.')
})
