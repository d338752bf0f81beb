import { gzipSync } from 'node:zlib'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { eventually } from '@tidemark/testkit/eventually'
import { NASTY_KEYS } from '@tidemark/testkit/nasty-keys'
import { Random } from '@tidemark/testkit/random'
import { redisAvailable } from '@tidemark/testkit/redis-fixture'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CLOSED_WITHIN_MS, Connection, type HttpResponse, openMany } from './hostile/connection.ts'
import { JUNK, METHODS, PATHS, randomBytes, randomRequest } from './hostile/junk.ts'
import { Report } from './hostile/report.ts'
import { SETTINGS, startTarget, type Target } from './hostile/target.ts'

/** Each connection needs a file descriptor at both ends; Node raises the soft limit itself. */
const SLOW_CLIENTS = Math.min(2000, Math.max(100, openFilesMax() - 300))

const MIB = 1024 * 1024

const POST = 'POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`

const withLength = (length: number): string => `${POST}Content-Length: ${length}\r\n\r\n`

/** A complete request with `body`, on a connection that is closed afterwards. */
const completeRequest = (body: string, lines = ''): string =>
  `${POST}${lines}Connection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

function openFilesMax(): number {
  const { userLimits } = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } }
  const soft = Number(userLimits?.open_files?.soft ?? 1024)
  return Number.isNaN(soft) ? 1_000_000 : soft
}

function expectProblem(response: HttpResponse | undefined, ...statuses: number[]): void {
  expect(statuses).toContain(response?.status)
  expect(response?.headers.get('content-type')).toBe('application/problem+json')
  const problem: unknown = JSON.parse(response?.body ?? '')
  expect(problem).toMatchObject({ status: response?.status, type: expect.stringMatching(/^urn:tidemark:problem:/) })
}

/** Counts connections by their responses: `{ 408: 1990, 'no response': 10 }`. */
function countResponses(connections: readonly Connection[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { responses } of connections) {
    const outcome = responses.length === 0 ? 'no response' : responses.map(({ status }) => status).join(' ')
    counts[outcome] = (counts[outcome] ?? 0) + 1
  }
  return counts
}

/**
 * Writes one byte a second on each connection until all are closed. Returns the longest age of a
 * connection in milliseconds; it is infinite if one was not closed.
 */
async function trickle(connections: readonly Connection[], byte: string): Promise<number> {
  const timer = setInterval(() => {
    for (const connection of connections) connection.send(byte)
  }, 1000)
  const ages = await Promise.all(
    connections.map(connection =>
      Promise.race([connection.closed, pause(CLOSED_WITHIN_MS).then(() => Number.POSITIVE_INFINITY)]),
    ),
  )
  clearInterval(timer)
  for (const connection of connections) connection.socket.destroy()
  return Math.round(ages.reduce((a, b) => Math.max(a, b), 0))
}

describe.runIf(await redisAvailable())('hostile clients', () => {
  let target: Target

  beforeAll(async () => {
    target = await startTarget(new Report())
  })

  afterAll(async () => {
    await target?.[Symbol.asyncDispose]()
  })

  const open = (reads = true): Promise<Connection> => Connection.open({ port: target.port, reads })

  /** Sends bytes and returns the responses after the gateway has closed the connection. */
  async function exchange(bytes: string | Uint8Array, withinMs = CLOSED_WITHIN_MS): Promise<HttpResponse[]> {
    using connection = await open()
    connection.send(bytes)
    if (!(await connection.waitForClose(withinMs)))
      throw new Error(`the gateway keeps the connection: ${connection.received}`)
    return connection.responses
  }

  async function countOf(key: string): Promise<number> {
    const response = await target.client.get(`/analyze?${new URLSearchParams({ key })}`)
    if (response.status === 404) return 0
    return ((await response.json()) as { count: number }).count
  }

  /** Resolves when everything accepted before has been analysed. */
  async function waitUntilAnalysed(): Promise<void> {
    const { receipts } = await target.client.ingest(
      Array.from({ length: 200 }, (_, i) => ({ key: `mark ${i}`, value: 1 })),
    )
    for (const after of receipts) {
      await eventually(async () => expect((await target.client.get(`/analyze?after=${after}`)).status).toBe(200))
    }
  }

  test('headers of one byte a second get 408 and are disconnected', async () => {
    await target.attack('slow headers', async () => {
      const connections = await openMany({ port: target.port }, SLOW_CLIENTS)
      for (const connection of connections) connection.send('POST /ingest HTTP/1.1\r\nHost: localhost\r\nX-A: ')
      const longestMs = await trickle(connections, 'a')
      const responses = countResponses(connections)
      expect(longestMs).toBeLessThan(Number.POSITIVE_INFINITY)
      for (const { responses } of connections) for (const response of responses) expectProblem(response, 408)
      return { connections: connections.length, longestMs, responses }
    })
  })

  test('silent connections are closed', async () => {
    await target.attack('silent connections', async () => {
      const connections = await openMany({ port: target.port }, SLOW_CLIENTS)
      const longestMs = await trickle(connections, '')
      expect(longestMs).toBeLessThan(Number.POSITIVE_INFINITY)
      return { connections: connections.length, longestMs, responses: countResponses(connections) }
    })
  })

  test('bodies of one byte a second get 408, and nothing of them is stored', async () => {
    await target.attack('slow bodies', async () => {
      const connections = await openMany({ port: target.port }, 500)
      for (const connection of connections) {
        connection.send(`${POST}Content-Length: 1000\r\n\r\n{"key":"slow body","value":1}\n`)
      }
      const longestMs = await trickle(connections, '\n')
      const responses = countResponses(connections)
      expect(longestMs).toBeLessThan(Number.POSITIVE_INFINITY)
      for (const { responses } of connections) expectProblem(responses[0], 408)
      expect(await countOf('slow body')).toBe(0)
      return { connections: connections.length, longestMs, responses }
    })
  })

  test('incomplete bodies cannot take the memory that healthy bodies need', async () => {
    await target.attack('incomplete bodies', async () => {
      const size = MIB - 1024
      const count = Math.ceil((2.5 * SETTINGS.BODIES_BYTES_MAX) / size)
      const connections = await openMany({ port: target.port }, count)
      const filler = Buffer.alloc(size - 1, 0x20)
      await Promise.all(
        connections.map(async connection => {
          connection.send(withLength(size))
          await connection.push(filler)
        }),
      )
      await Promise.all(connections.map(connection => connection.waitForClose()))
      const responses = countResponses(connections)
      for (const { responses } of connections) for (const response of responses) expectProblem(response, 408, 503)
      for (const connection of connections) connection.socket.destroy()
      return { connections: count, megabytes: Math.round((count * size) / 1e6), responses }
    })
  })

  test('a chunked body of 100 MB gets 413 after its first megabyte, and the connection is closed', async () => {
    await target.attack('100 MB in chunks', async () => {
      const chunk = Buffer.from(`10000\r\n${' '.repeat(0x1_0000)}\r\n`)
      const sent = await Promise.all(
        Array.from({ length: 16 }, async () => {
          using connection = await open()
          connection.send(CHUNKED)
          let bytes = 0
          while (bytes < 100e6 && (await connection.push(chunk))) bytes += chunk.length
          expect(await connection.waitForClose()).toBe(true)
          // A client that sends more than the gateway drains may lose the response to the reset.
          const [response] = connection.responses
          if (response !== undefined) expectProblem(response, 413)
          return { bytes, hasResponse: response !== undefined }
        }),
      )
      expect(sent.some(({ hasResponse }) => hasResponse)).toBe(true)
      const mostMegabytes = Math.round(Math.max(...sent.map(({ bytes }) => bytes)) / 1e5) / 10
      // What kernels buffer, and what is drained so that clients get the response. A fault: all.
      expect(mostMegabytes).toBeLessThan(60)
      return { connections: sent.length, mostMegabytes }
    })
  })

  test('a body in chunks of one byte needs no more memory than other bodies', async () => {
    await target.attack('chunks of one byte', async () => {
      const chunks = Buffer.from('1\r\n \r\n'.repeat(65_536))
      const responses = await Promise.all(
        Array.from({ length: 20 }, async () => {
          using connection = await open()
          connection.send(CHUNKED)
          for (let i = 0; i < 15; i++) await connection.push(chunks)
          connection.send('0\r\n\r\n')
          return connection.waitForResponses()
        }),
      )
      // A client that still sends when it is disconnected may lose its response to the reset. On a
      // slow machine the time of the request may be over first.
      const seen = responses.flatMap(([response]) => response ?? [])
      for (const response of seen) expectProblem(response, 408, 413)
      expect(seen.length).toBeGreaterThan(responses.length / 2)
      return { connections: responses.length, responses: responses.map(([response]) => response?.status) }
    })
  })

  test('a wrong Content-Length does no harm', async () => {
    await target.attack('wrong lengths', async () => {
      const sample = '{"key":"liar","value":1}'
      // Too long: the body never ends, or the connection does.
      expectProblem((await exchange(`${withLength(1000)}${sample}`))[0], 408)
      {
        using connection = await open()
        connection.send(`${withLength(1000)}${sample}`)
        await pause(50)
        connection.socket.end()
        await connection.waitForClose()
        expectProblem(connection.responses[0], 400)
      }
      // Too short: the rest is junk after a request.
      const [cut, rest] = await exchange(`${withLength(sample.length - 5)}${sample}`)
      expectProblem(cut, 400)
      expectProblem(rest, 400)
      // Longer than a body may be: rejected immediately, and without 100 Continue.
      const responses = await exchange(`${POST}Expect: 100-continue\r\nContent-Length: 104857600\r\n\r\n`)
      expectProblem(responses[0], 413)
      expect(await countOf('liar')).toBe(0)
      return {}
    })
  })

  test('a body that waits for 100 Continue gets it and is accepted', async () => {
    using connection = await open()
    const body = '{"key":"polite","value":1}'
    connection.send(`${POST}Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`)
    await eventually(() => expect(connection.received).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\n/))
    connection.send(body)
    expect((await connection.waitForResponses())[0]?.status).toBe(202)
  })

  test('a compressed body is decompressed only up to the limit of a body', async () => {
    await target.attack('gzip bombs', async () => {
      // The first bytes of gzip are recognised under other names, but br is tried as it is.
      const bomb = gzipSync(Buffer.alloc(500 * MIB))
      for (const encoding of ['gzip', 'x-gzip', 'deflate', 'br', 'zstd', 'identity, gzip', 'GZIP']) {
        using connection = await open()
        connection.send(`${POST}Content-Encoding: ${encoding}\r\nContent-Length: ${bomb.length}\r\n\r\n`)
        await connection.push(bomb)
        expectProblem((await connection.waitForResponses())[0], encoding === 'br' ? 400 : 413)
      }
      return { bytes: bomb.length, inflated: 500 * MIB }
    })
  })

  test('JSON that is deeply nested or has very many members is rejected in time', async () => {
    await target.attack('deep and wide JSON', async () => {
      const size = MIB - 1
      const half = Math.floor(size / 2)
      const bodies = {
        'deep, open': '['.repeat(size),
        'deep, closed': `${'['.repeat(half)}${']'.repeat(half)}`,
        'deep objects, open': '{"a":'.repeat(size / 5),
        'deep objects, closed': `${'{"a":'.repeat(size / 6)}1${'}'.repeat(size / 6)}`,
        'deep value': `{"key":"k","value":${'['.repeat(half - 20)}${']'.repeat(half - 20)}}`,
        'many members': `{${Array.from({ length: 80_000 }, (_, i) => `"m${i}":1`).join()}}`,
        'many numbered members': `{${Array.from({ length: 90_000 }, (_, i) => `"${i}":1`).join()}}`,
        'one member many times': `{${Array.from({ length: 150_000 }, () => '"a":1').join()}}`,
        'many empty objects': `[${Array.from({ length: 340_000 }, () => '{}').join()}]`,
        'many metrics': `{"device":"d","metrics":{${Array.from({ length: 80_000 }, (_, i) => `"m${i}":1`).join()}}}`,
        'many bad metrics': `{"device":"d","metrics":{${Array.from({ length: 9000 }, (_, i) => `"${'m'.repeat(100)}${i}":""`).join()}}}`,
        'many bad lines': Array.from({ length: 9999 }, () => '{'.repeat(100)).join('\n'),
        'a huge number': `{"key":"k","value":${'9'.repeat(half)}}`,
        'a huge string': `{"key":"${'a'.repeat(half)}","value":1}`,
        'escapes alone': `{"key":"${'\\u0000'.repeat(half / 6)}","value":1}`,
      }
      const responses: Record<string, string> = {}
      for (const [name, body] of Object.entries(bodies)) {
        const begin = performance.now()
        const [response] = await exchange(completeRequest(body))
        responses[name] = `${response?.status} ${Math.round(performance.now() - begin)} ms`
        expectProblem(response, 400, 413)
      }
      return responses
    })
  })

  test.each(JUNK)('$name: gets the expected responses', async ({ bytes, statuses }) => {
    const got = await exchange(bytes)
    expect(got.map(({ status }) => status)).toEqual(statuses)
    for (const response of got) if (response.status >= 400) expectProblem(response, response.status)
    expect((await target.client.get('/livez')).status).toBe(200)
  })

  test('random bytes are rejected, and nothing of them is stored', async () => {
    await target.attack('random bytes', async () => {
      const seed = 7
      const random = new Random(seed)
      const connections: Connection[] = []
      for (let i = 0; i < 20; i++) {
        const group = await openMany({ port: target.port }, 50)
        for (const connection of group) {
          connection.send(randomBytes(random))
          // Some reset the connection, some end it, the others wait.
          const next = random.uniform()
          if (next < 0.2) connection.socket.resetAndDestroy()
          else if (next < 0.6) connection.socket.end()
        }
        connections.push(...group)
      }
      await Promise.all(connections.map(connection => connection.waitForClose()))
      expect(connections.filter(({ isClosed }) => !isClosed).length).toBe(0)
      for (const { responses } of connections)
        for (const response of responses) expectProblem(response, 400, 408, 413, 431)
      return { seed, connections: connections.length, responses: countResponses(connections) }
    })
  })

  test('pipelined requests get their responses in order', async () => {
    await target.attack('pipelined requests', async () => {
      using connection = await open()
      const count = 900
      const requests = Array.from({ length: count }, (_, value) => {
        if (value % 3 === 1) return `GET /no/${value} HTTP/1.1\r\nHost: localhost\r\n\r\n`
        const body = JSON.stringify({ key: 'pipelined', value })
        return `${withLength(body.length)}${body}`
      })
      connection.send(requests.join(''))
      const responses = await connection.waitForResponses(count)
      expect(responses.map(({ status }) => status)).toEqual(
        Array.from({ length: count }, (_, value) => (value % 3 === 1 ? 404 : 202)),
      )
      expect(JSON.parse(responses[898]?.body ?? '')).toMatchObject({ instance: '/no/898' })
      await waitUntilAnalysed()
      const history = (await (await target.client.get('/history?key=pipelined')).json()) as { values: number[] }
      expect(history.values.at(-1)).toBe(899)
      expect(history.values).toEqual(history.values.toSorted((a, b) => a - b))
      return { requests: count }
    })
  })

  test('clients that never read are disconnected, and their responses do not accumulate', async () => {
    await target.attack('responses that are not read', async () => {
      // Large responses: pages of 1,000 keys are about 300 kB each.
      await target.client.ingest(Array.from({ length: 2000 }, (_, i) => ({ key: `page/${i}`, value: i })))
      await waitUntilAnalysed()
      const page = 'GET /analyze?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n'
      const script = 'GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n'
      const metrics = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'
      const connections = await openMany({ port: target.port, reads: false }, 12)
      connections.forEach((connection, i) => {
        connection.send([page, script, metrics][i % 3]?.repeat(900) ?? '')
      })
      // Seen from the gateway: a client that does not read does not see the end either.
      await pause(500)
      const begin = performance.now()
      await eventually(async () => expect(await target.isAlone()).toBe(true))
      const longestMs = Math.round(performance.now() - begin)
      // Data sent before this point is lost once the gateway has closed the connection.
      for (const connection of connections) connection.socket.destroy()
      const cut = /^gateway_connections_unread_total (\d+)$/m.exec(await target.scrape())?.[1]
      return { connections: connections.length, longestMs, cutForRoom: Number(cut) }
    })
  })

  test('10,000 random methods and paths add no series to the metrics', async () => {
    await target.attack('random methods and paths', async () => {
      const seed = 11
      const random = new Random(seed)
      async function shoot(next: () => string, count: number): Promise<Record<string, number>> {
        const statuses: Record<string, number> = {}
        for (let sent = 0; sent < count; ) {
          // An unknown HTTP method ends its connection, so there are many connections.
          const connections = await openMany({ port: target.port }, 20)
          await Promise.all(
            connections.map(async connection => {
              const requests = Array.from({ length: 10 }, next)
              connection.send(requests.join(''))
              connection.socket.end()
              sent += requests.length
              expect(await connection.waitForClose()).toBe(true)
              expect(connection.responses.length).toBeGreaterThan(0)
              for (const response of connection.responses) {
                if (response.status >= 400 && response.body !== '') expectProblem(response, 400, 404, 405)
                statuses[response.status] = (statuses[response.status] ?? 0) + 1
              }
            }),
          )
        }
        return statuses
      }
      // A series appears with its first event, so cause each route, method and status once.
      for (const method of [...METHODS, 'NONSENSE']) {
        for (const path of [
          ...PATHS,
          '/unmatched',
          '/docs/none',
          '/analyze?key=none',
          '/analyze?wrong=1',
          '/history?key=none',
        ]) {
          await exchange(
            `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
          )
        }
      }
      const before = seriesOf(await target.scrape())
      const statuses = await shoot(() => randomRequest(random), 10_000)
      const after = seriesOf(await target.scrape())
      expect(after.filter(series => !before.includes(series))).toEqual([])
      return { seed, requests: 10_000, series: after.length, statuses }
    })
  })

  test('a client that has half-closed its connection gets its responses', async () => {
    using connection = await open()
    const body = '{"key":"half closed","value":1}'
    connection.send(`${withLength(body.length)}${body}GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    connection.socket.end()
    expect(await connection.waitForClose()).toBe(true)
    expect(connection.responses.map(({ status }) => status)).toEqual([202, 200])
  })

  test('nothing of an aborted upload is stored', async () => {
    await target.attack('aborted uploads', async () => {
      const lines = Array.from({ length: 1000 }, (_, i) => `{"key":"aborted ${i % 50}","value":${i}}\n`).join('')
      const head = 'POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n'
      const chunk = `${lines.length.toString(16)}\r\n${lines}\r\n`
      const uploads = [
        `${head}Content-Length: ${lines.length + 1}\r\n\r\n${lines}`,
        `${head}Content-Length: ${2 * lines.length}\r\n\r\n${lines}`,
        `${head}Transfer-Encoding: chunked\r\n\r\n${chunk}`,
        `${head}Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n`,
        `${head}Transfer-Encoding: chunked\r\n\r\n${chunk}xyz\r\n`,
      ]
      for (const upload of uploads) {
        for (const close of ['end', 'destroy', 'resetAndDestroy'] as const) {
          const connections = await openMany({ port: target.port }, 5)
          for (const connection of connections) {
            connection.send(upload)
            setTimeout(() => connection.socket[close](), 30)
          }
          for (const connection of connections) expect(await connection.waitForClose()).toBe(true)
          for (const { responses } of connections) for (const response of responses) expectProblem(response, 400)
        }
      }
      await waitUntilAnalysed()
      for (let i = 0; i < 50; i++) expect(await countOf(`aborted ${i}`)).toBe(0)
      return { uploads: uploads.length * 15 }
    })
  })

  test('nasty keys come back unchanged from every route, and forge no log line', async () => {
    await target.attack('nasty keys', async () => {
      const { client } = target
      const keys = NASTY_KEYS
      const before = seriesOf(await target.scrape())
      const { accepted, rejected } = await client.ingest(keys.map((key, value) => ({ key, value })))
      expect({ accepted, rejected }).toEqual({ accepted: keys.length, rejected: [] })
      // In NDJSON, and in a device body, where keys are names of members.
      const lines = keys.map((key, value) => JSON.stringify({ key, value: value + 1000 })).join('\n')
      expect((await client.ingest(lines, { headers: { 'Content-Type': 'application/x-ndjson' } })).accepted).toBe(
        keys.length,
      )
      const short = keys.filter(key => Buffer.byteLength(key) <= 190)
      const metrics = `{${short.map((key, value) => `${JSON.stringify(key)}:${value}`).join()}}`
      expect((await client.ingest(`{"device":"nasty","metrics":${metrics}}`)).accepted).toBe(short.length)
      await waitUntilAnalysed()

      for (const [value, key] of keys.entries()) {
        expect(await client.analysis(key)).toMatchObject({ key, value: value + 1000, count: 2 })
        const history = await client.get(`/history?${new URLSearchParams({ key })}`)
        expect(await history.json()).toMatchObject({ key, count: 2, values: [value, value + 1000] })
      }
      for (const [value, name] of short.entries()) {
        expect(await client.analysis(`nasty/${name}`)).toMatchObject({ key: `nasty/${name}`, value, count: 1 })
      }
      const found = new Set<string>()
      for (let cursor: string | null = ''; cursor !== null; ) {
        const query = new URLSearchParams({ limit: '1000', ...(cursor === '' ? {} : { cursor }) })
        const response = await client.get(`/analyze?${query}`)
        expect(response.status).toBe(200)
        const page = (await response.json()) as { analyses: { key: string }[]; cursor: string | null }
        for (const { key } of page.analyses) found.add(key)
        ;({ cursor } = page)
      }
      expect(keys.filter(key => !found.has(key))).toEqual([])
      expect(short.filter(key => !found.has(`nasty/${key}`))).toEqual([])
      for (const key of keys) {
        const prefixed = await client.get(`/analyze?${new URLSearchParams({ prefix: key, limit: '1000' })}`)
        expect(((await prefixed.json()) as { analyses: { key: string }[] }).analyses.map(one => one.key)).toContain(key)
      }
      expect(seriesOf(await target.scrape()).filter(series => !before.includes(series))).toEqual([])
      return { keys: keys.length }
    })
  })

  test('invalid keys are rejected with the violated rule, and their text is not logged', async () => {
    await target.attack('invalid keys', async () => {
      const forged = '{"level":"fatal","service":"gateway","msg":"forged"}'
      const bad = [
        '',
        `a\n${forged}`,
        `a\r\n${forged}`,
        '\0',
        '\x1b[2J',
        '\x7f',
        '\x85',
        '\ud800',
        'a'.repeat(201),
        '\u{1f600}'.repeat(51),
      ]
      for (const key of bad) {
        const response = await target.client.post(JSON.stringify({ key, value: 1 }))
        expect(response.status).toBe(400)
        expect(await response.text()).not.toContain('forged')
        // A URL cannot contain a lone surrogate.
        if (!key.isWellFormed()) continue
        for (const path of ['/analyze', '/history']) {
          expect((await target.client.get(`${path}?${new URLSearchParams({ key })}`)).status).toBe(400)
        }
      }
      expect(target.lines.filter(line => line.includes('forged'))).toEqual([])
      return { keys: bad.length }
    })
  })

  test('names of object prototypes pollute nothing', async () => {
    await target.attack('prototype pollution', async () => {
      const { client } = target
      const bodies = [
        '{"__proto__":{"key":"polluted","value":1}}',
        '{"key":"polluted","value":1,"__proto__":{"admin":true}}',
        '{"constructor":{"prototype":{"key":"polluted","value":1}}}',
        '{"device":"polluted","metrics":{"a":{"__proto__":1}}}',
        '{"__proto__":null,"key":"polluted"}',
        '[{"__proto__":{"value":1},"key":"polluted"}]',
      ]
      for (const body of bodies) expect([body, (await client.post(body)).status]).toEqual([body, 400])
      for (const path of [
        '/analyze?__proto__=x',
        '/analyze?__proto__[key]=x',
        '/analyze?constructor=x',
        '/analyze?key=polluted&__proto__=x',
        '/history?toString=x',
      ]) {
        const { status } = await client.get(path)
        expect([path, status < 500]).toEqual([path, true])
      }
      for (const path of ['/__proto__', '/constructor', '/docs/__proto__', '/docs/constructor', '/toString']) {
        expect([path, (await client.get(path)).status]).toEqual([path, 404])
      }
      // Objects have only the properties that they had before.
      expect(await countOf('polluted')).toBe(0)
      expect(await client.ingest({ key: 'clean', value: 1 })).toMatchObject({ accepted: 1, rejected: [] })
      expect((await client.post('{"key":"clean"}')).status).toBe(400)
      return { bodies: bodies.length }
    })
  })

  test('after all that, every log line is a JSON object of a service, and none is an error', () => {
    const objects = target.lines.map(line => JSON.parse(line) as Record<string, unknown>)
    const own = objects.filter(({ processId }) => processId === undefined)
    expect(own.filter(({ service }) => service !== 'gateway' && service !== 'analyzer')).toEqual([])
    expect(own.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([])
  })
})

/** The names and labels of all series except Node's own, which depend on its resources. */
function seriesOf(page: string): string[] {
  return page
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#') && !/^(nodejs|process)_/.test(line))
    .map(line => line.slice(0, line.lastIndexOf(' ')))
}
