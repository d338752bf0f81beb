import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { eventually } from '@tidemark/testkit/eventually'
import { afterEach, describe, expect, test } from 'vitest'
import { storedSamples } from '../support/fixture.ts'
import { converse, post, send, start } from '../support/server.ts'

const SAMPLE = '{"key":"a","value":1}'

/** Returns a POST of a body, with more header lines and another target. */
function request(
  body: string,
  { target = '/ingest', lines = [] as readonly string[], host = 'Host: localhost', version = '1.1' } = {},
): string {
  const headers = [...(host === '' ? [] : [host]), `Content-Length: ${Buffer.byteLength(body)}`, ...lines]
  return `POST ${target} HTTP/${version}\r\n${headers.map(line => `${line}\r\n`).join('')}\r\n${body}`
}

const CLOSE = { lines: ['Connection: close'] }

/** The head of a body in chunks. */
const CHUNKED = 'POST /ingest HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n'

function statusesOf(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
}

/** Writes each byte as a packet of its own. */
async function writeBytewise(socket: Socket, text: string): Promise<void> {
  socket.setNoDelay(true)
  for (const byte of Buffer.from(text)) {
    if (socket.destroyed) return
    await new Promise<void>(resolve => socket.write(Buffer.of(byte), () => resolve()))
    // The kernel would join packets that are written in one turn.
    await new Promise(resolve => setImmediate(resolve))
  }
}

describe('slow and fragmented requests', () => {
  const body = JSON.stringify(Array.from({ length: 40 }, (_, i) => ({ key: `device-${i % 7}`, value: i / 8 })))

  test('are taken with one byte a packet', async () => {
    expect(body.length).toBeGreaterThan(1060)
    const gateway = await start()
    const text = await converse(gateway.port, socket => void writeBytewise(socket, request(body, CLOSE)))
    expect(statusesOf(text)).toEqual([202])
    expect(text).toContain('"accepted":40')
  })

  test('are taken with one byte a chunk', async () => {
    const gateway = await start()
    const chunks = [...body].map(byte => `1\r\n${byte}\r\n`).join('')
    const head = 'POST /ingest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n'
    const text = await converse(gateway.port, socket => socket.write(`${head}${chunks}0\r\n\r\n`))
    expect(text).toContain('"accepted":40')
  })

  test('are taken with chunk extensions and trailers', async () => {
    const gateway = await start()
    const head = 'POST /ingest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: Chunked\r\n\r\n'
    const chunk = `${SAMPLE.length.toString(16)};name="a value"\r\n${SAMPLE}\r\n0\r\nX-Checksum: 1\r\n\r\n`
    expect(statusesOf(await converse(gateway.port, socket => socket.write(head + chunk)))).toEqual([202])
  })

  test('get 413 for tens of thousands of chunks, and the reason', async () => {
    const gateway = await start()
    const head = 'POST /ingest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n'
    const text = await converse(gateway.port, socket => socket.write(head + '1\r\n \r\n'.repeat(40_000)))
    expect(statusesOf(text)).toEqual([413])
    expect(text).toContain('Collect it, and send larger chunks.')
  })

  test.each([
    ['its length is declared', request(SAMPLE).slice(0, -5)],
    ['it is chunked', `${CHUNKED}5\r\n{"`],
  ])('are given up when the connection ends within the body and %s', async (_, bytes) => {
    const gateway = await start()
    const socket = connect(gateway.port, '127.0.0.1')
    socket.write(bytes, () => socket.destroy())
    const counted = 'gateway_requests_refused_total{reason="body-incomplete"} 1\n'
    await eventually(async () => expect((await send(gateway.metricsPort, '/metrics')).body).toContain(counted))
  })

  test('leave a connection in use when the rest of a refused body arrives soon', async () => {
    const gateway = await start({ BODY_BYTES_MAX: '10000' })
    const chunk = `1000\r\n${' '.repeat(0x1000)}\r\n`
    const text = await converse(gateway.port, async socket => {
      socket.write(CHUNKED)
      for (let i = 0; i < 10; i++) {
        socket.write(chunk)
        await new Promise(resolve => setTimeout(resolve, 10))
      }
      socket.write(`0\r\n\r\n${request(SAMPLE, CLOSE)}`)
    })
    expect(statusesOf(text)).toEqual([413, 202])
  })

  // The server of the app drains what it takes for unread, and closes the connection after 500 ms.
  test.each([
    ['/ingest', SAMPLE, 202],
    ['/write?db=d', 'm value=1', 204],
  ])('leave a connection in use when the body to %s comes after the head', async (target, body, status) => {
    const gateway = await start()
    const [head = '', rest = ''] = request(body, { target }).split('\r\n\r\n')
    const text = await converse(gateway.port, async socket => {
      socket.write(`${head}\r\n\r\n`)
      await new Promise(resolve => setTimeout(resolve, 50))
      socket.write(rest)
      await new Promise(resolve => setTimeout(resolve, 1000))
      socket.write(request(body, { target, ...CLOSE }))
    })
    expect(statusesOf(text)).toEqual([status, status])
  })

  test('are read in order behind others, with bodies that are empty or long', async () => {
    const gateway = await start()
    const long = `[${Array.from({ length: 500 }, () => SAMPLE).join()}]`
    const bodies = Array.from({ length: 200 }, (_, i) => [SAMPLE, '', long][i % 3] as string)
    const text = await converse(gateway.port, socket => {
      for (const one of bodies) socket.write(request(one))
      socket.write(request(SAMPLE, CLOSE))
    })
    expect(statusesOf(text)).toEqual([...bodies.map(one => (one === '' ? 400 : 202)), 202])
  })

  test.each([
    ['headers', 'POST /ingest HTTP/1.1\r\nHost: localhost\r\n'],
    ['a body', 'POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"key"'],
    ['a chunk', 'POST /ingest HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"'],
  ])('get 408 for %s that never end', async (_, bytes) => {
    const gateway = await start({ HEADERS_TIMEOUT_MS: '200', REQUEST_TIMEOUT_MS: '400' })
    const text = await converse(gateway.port, socket => socket.write(bytes))
    expect(statusesOf(text)).toEqual([408])
  })

  test.each([
    ['a long target', `GET /analyze?key=${'a'.repeat(17_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`],
    ['a long header', `GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: ${'a'.repeat(17_000)}\r\n\r\n`],
    ['many headers', request(SAMPLE, { lines: Array<string>(60).fill('A: b') })],
  ])('get 431 for %s, with the limits', async (_, bytes) => {
    const gateway = await start()
    const text = await converse(gateway.port, socket => socket.write(bytes))
    expect(statusesOf(text)).toEqual([431])
    expect(text).toContain('50 headers, and 16 KiB')
  })
})

describe('the host', () => {
  test.each([
    '[0:0:0:0:0:0:0:1]:8080',
    '[::1]',
    '[::ffff:127.0.0.1]:8080',
    '[FE80::1%25eth0]:80',
    '127.1',
    '0x7f.1:8080',
    'EXAMPLE.com.:443',
    'example.com:',
    'xn--hhe-sna.example',
    'under_score',
    '%41.example',
    '',
  ])('may be written as %j', async host => {
    const gateway = await start({
      ALLOWED_HOSTS: 'example.com,xn--hhe-sna.example,under_score,a.example,other.example',
    })
    for (const target of ['/ingest', '/ingest?from=device', 'http://other.example/ingest']) {
      const text = await converse(gateway.port, socket =>
        socket.write(request(SAMPLE, { host: `Host: ${host}`, target, ...CLOSE })),
      )
      expect([target, ...statusesOf(text)]).toEqual([target, 202])
    }
  })

  test('may be absent in HTTP/1.0', async () => {
    const gateway = await start()
    for (const target of ['/ingest', '/ingest?a=b']) {
      const text = await converse(gateway.port, socket =>
        socket.write(request(SAMPLE, { host: '', version: '1.0', target })),
      )
      expect(statusesOf(text)).toEqual([202])
    }
  })

  test.each([
    ['a b', 'its Host header is not a host and a port'],
    ['a@b', 'its Host header is not a host and a port'],
    ['x/../y', 'its Host header is not a host and a port'],
    ['[::1', 'its Host header is not a host and a port'],
    ['x:80:80', 'its Host header is not a host and a port'],
    ['x\r\nHost: y', 'it has several Host headers'],
    [undefined, 'it has no Host header'],
  ])('%j is refused with the reason', async (host, reason) => {
    const gateway = await start()
    const line = host === undefined ? '' : `Host: ${host}`
    const text = await converse(gateway.port, socket => socket.write(request(SAMPLE, { host: line })))
    expect(statusesOf(text)).toEqual([400])
    expect(text).toContain(reason)
  })
})

describe('what is not a request names the reason and the remedy', () => {
  test.each([
    [
      'a body longer than its Content-Length',
      `${request('', { target: '/ingest' })}rest\r\n\r\n`,
      'longer than its Content-Length',
    ],
    ['a TLS handshake', '\x16\x03\x01\x00\xc8', 'this is TLS'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'HTTP/2 is not supported'],
    ['a space in the target', 'POST /in gest HTTP/1.1\r\nHost: localhost\r\n\r\n', 'write %20'],
    [
      'a body that ends early',
      'POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{',
      'Send it again',
    ],
    [
      'a body without its length',
      'POST /ingest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
      'Content-Length is missing',
    ],
  ])('%s', async (_, text, remedy) => {
    const gateway = await start()
    const received = await converse(gateway.port, socket => socket.end(Buffer.from(text, 'latin1')))
    expect(statusesOf(received).at(-1)).toBe(400)
    expect(received).toContain(remedy)
  })
})

describe('a path', () => {
  test.each([
    ...['/ingest/', '//ingest', '//ingest//', '/%69ngest', '/./ingest', '/x/../ingest', '/ingest?', '/ingest/?a'],
    ...['http://other.example/ingest', 'HTTP://OTHER.EXAMPLE:8080//ingest/?a', 'https://[fe80::1%25eth0]/ingest'],
  ])('of POST /ingest may be written as %s', async target => {
    const gateway = await start({ ALLOWED_HOSTS: 'other.example' })
    const text = await converse(gateway.port, socket => socket.write(request(SAMPLE, { target, ...CLOSE })))
    expect(statusesOf(text)).toEqual([202])
  })

  test.each([
    ['/Ingest', 'POST /ingest'],
    ['/api/v1/ingest', 'POST /ingest'],
    ['/ingest%2F', 'POST /ingest'],
    ['/ingest;v=1', 'POST /ingest'],
    ['/ingest%20', 'POST /ingest'],
    ['/ingest.json', 'POST /ingest'],
    ['/ANALYZE/', 'GET, HEAD /analyze'],
    ['/v1/rules/edge-cpu', 'GET, HEAD, PUT, DELETE /rules/{id}'],
  ])('%s gets the route that was meant', async (path, meant) => {
    const gateway = await start()
    const { status, body } = await send(gateway.port, path, { method: 'POST', body: SAMPLE })
    expect([status, JSON.parse(body).detail]).toEqual([404, expect.stringContaining(`Did you mean ${meant}?`)])
  })

  test('that resembles none gets no hint', async () => {
    const gateway = await start()
    const { detail } = JSON.parse((await send(gateway.port, '/xmlrpc?db=x')).body)
    expect(detail).toBe('No route has this path. /openapi.json lists all routes.')
  })

  test('of each route may end in a slash, and says which methods it has', async () => {
    const gateway = await start()
    const { paths } = JSON.parse((await send(gateway.port, '/openapi.json')).body) as {
      paths: Record<string, Record<string, unknown>>
    }
    for (const [template, operations] of Object.entries(paths)) {
      const documented = Object.keys(operations).map(method => method.toUpperCase())
      const allow = [...documented, ...(documented.includes('GET') ? ['HEAD'] : [])].toSorted()
      const path = template.replaceAll(/\{\w+\}/g, 'some-id')
      for (const written of [path, `${path}/`, `/${path}`]) {
        const options = await send(gateway.port, written, { method: 'OPTIONS' })
        expect([written, options.status, options.headers.allow?.split(', ').toSorted()]).toEqual([written, 204, allow])
        const unsupported = ['PATCH', 'PUT', 'DELETE'].find(method => !documented.includes(method)) ?? ''
        const other = await send(gateway.port, written, { method: unsupported })
        expect([written, other.status, other.headers.allow?.split(', ').toSorted()]).toEqual([written, 405, allow])
        if (!documented.includes('GET')) continue
        const head = await send(gateway.port, written, { method: 'HEAD' })
        // A live feed has no end.
        const got = await fetch(`http://127.0.0.1:${gateway.port}${written}`)
        await got.body?.cancel()
        expect([written, head.status, head.body]).toEqual([written, got.status, ''])
      }
    }
  })
})

describe('a query', () => {
  test.each([
    ['GET', '/analyze?key=a&key=b', 'key'],
    ['GET', '/analyze?key=a&key=a', 'key'],
    ['GET', '/analyze?limit=1&LIMIT=2&limit=3', 'limit'],
    ['GET', '/analyze?%6bey=a&key=b', 'key'],
    ['GET', '/history?key=a&key=b', 'key'],
    ['GET', '/rules/explain?key=a&key=b', 'key'],
    ['GET', '/rules/changes?limit=1&limit=1', 'limit'],
    ['GET', '/alerts?prefix=a&prefix=b', 'prefix'],
    ['GET', '/dead?limit=1&limit=2', 'limit'],
    ['GET', '/livez?a=1&a=2', 'a'],
    ['DELETE', '/rules/x?who=a&who=b&why=c', 'who'],
    ['DELETE', '/mutes/x?who=a&why=b&why=c', 'why'],
    ['POST', '/ingest?device=a&device=b', 'device'],
  ])('%s %s is refused: a parameter is given twice', async (method, path, parameter) => {
    const gateway = await start()
    const { status, body } = await send(gateway.port, path, { method, body: method === 'POST' ? SAMPLE : '' })
    expect([status, JSON.parse(body).errors]).toEqual([400, [{ parameter, detail: 'must be given only once' }]])
  })

  test.each(['/analyze?key=%', '/analyze?key=%zz', '/history?key=100%', '/analyze?key=%ff', '/analyze?prefix=%c3%28'])(
    '%s is refused: its escape is invalid',
    async path => {
      const gateway = await start()
      const { status, body } = await send(gateway.port, path)
      expect([status, JSON.parse(body).detail]).toEqual([400, expect.stringContaining('write % as %25')])
    },
  )

  test('with UTF-8 that is not escaped is refused with the remedy', async () => {
    const gateway = await start()
    const target = '/rules/explain?key=H\u00f6he/\u6e29'
    const text = await converse(gateway.port, socket =>
      socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`),
    )
    expect(statusesOf(text)).toEqual([400])
    expect(text).toContain('other characters as %XX')
    expect((await send(gateway.port, encodeURI(target))).status).toBe(200)
  })

  test('may be as long as the longest key in escapes', async () => {
    const gateway = await start({ KEY_BYTES_MAX: '1024' })
    expect((await send(gateway.port, `/history?key=${'%C3%A9'.repeat(512)}`)).status).toBe(404)
  })
})

describe('a connection', () => {
  test('closes after its last request, and nothing behind it is served', async () => {
    const store = createMemoryStore()
    const gateway = await start({ REQUESTS_PER_CONNECTION_MAX: '10' }, async () => store)
    const requests = Array.from({ length: 15 }, (_, value) => request(JSON.stringify({ key: 'a', value })))
    const begin = performance.now()
    const text = await converse(gateway.port, socket => socket.write(requests.join('')))
    // An idle connection is kept for 65 s.
    expect(performance.now() - begin).toBeLessThan(30_000)
    expect(statusesOf(text)).toEqual(Array(10).fill(202))
    expect(text.match(/\r\nConnection: [\w-]+/gi)?.map(line => line.slice(14))).toEqual([
      ...Array(9).fill('keep-alive'),
      'close',
    ])
    expect(await storedSamples(store)).toHaveLength(10)
  })

  test('closes after its last request while the client goes on sending', async () => {
    const gateway = await start({ REQUESTS_PER_CONNECTION_MAX: '3' })
    const text = await converse(gateway.port, socket => {
      const timer = setInterval(() => socket.write(request(SAMPLE)), 1)
      socket.on('close', () => clearInterval(timer))
    })
    expect(statusesOf(text)).toEqual([202, 202, 202])
  })

  test.each([
    ['at once', 64 * 1024, 0],
    ['slowly', 64 * 1024, 30],
  ])('lets a client that ignores 100-continue and writes 2 MiB %s see its 413', async (_, step, pauseMs) => {
    const gateway = await start()
    const errors: unknown[] = []
    const text = await converse(gateway.port, async (socket): Promise<void> => {
      socket.on('error', error => errors.push(error))
      // Like a client that reads only after it has written all.
      socket.pause()
      socket.write(
        `POST /ingest HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: ${2 ** 21}\r\n\r\n`,
      )
      for (let sent = 0; sent < 2 ** 21; sent += step) {
        await new Promise(resolve => socket.write(Buffer.alloc(step, ' '), resolve))
        await new Promise(resolve => setTimeout(resolve, pauseMs))
      }
      socket.resume()
    })
    expect([errors, statusesOf(text)]).toEqual([[], [413]])
  })

  test('lets a client that writes 2 MiB see why its request was refused', async () => {
    const gateway = await start()
    const errors: unknown[] = []
    const text = await converse(gateway.port, async (socket): Promise<void> => {
      socket.on('error', error => errors.push(error))
      socket.pause()
      socket.write(`POST /ingest HTTP/1.1\r\nHost: localhost\r\nExpect: magic\r\nContent-Length: ${2 ** 21}\r\n\r\n`)
      await new Promise(resolve => socket.write(Buffer.alloc(2 ** 21, ' '), resolve))
      socket.resume()
    })
    expect([errors, statusesOf(text)]).toEqual([[], [417]])
  })

  test.each(['100-continue', '100-Continue'])('sends 100 for Expect: %s, then the response', async expectation => {
    const gateway = await start()
    const text = await converse(gateway.port, socket => {
      const [head = '', body = ''] = request(SAMPLE, {
        lines: ['Connection: close', `Expect: ${expectation}`],
      }).split('\r\n\r\n')
      socket.write(`${head}\r\n\r\n`)
      socket.once('data', () => socket.write(body))
    })
    expect(statusesOf(text)).toEqual([100, 202])
  })

  test('sends no 100 for a request that is refused anyway', async () => {
    const gateway = await start()
    const text = await converse(gateway.port, socket =>
      socket.write('POST /ingest HTTP/1.1\r\nHost: a b\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n'),
    )
    expect(statusesOf(text)).toEqual([400])
  })

  test('serves the requests after a GET with a body', async () => {
    const gateway = await start()
    const text = await converse(gateway.port, socket =>
      socket.write(request('{"ignored":true}').replace('POST /ingest', 'GET /livez') + request(SAMPLE, CLOSE)),
    )
    expect(statusesOf(text)).toEqual([200, 202])
  })

  test.each([
    ['several lengths', 'Content-Length: 3\r\nContent-Length: 21'],
    ['a length and chunks', 'Content-Length: 3\r\nTransfer-Encoding: chunked'],
    ['chunks and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 3'],
    ['a coding after chunked', 'Transfer-Encoding: chunked, gzip'],
    ['a coding before chunked', 'Transfer-Encoding: gzip, chunked'],
    ['identity before chunked', 'Transfer-Encoding: identity, chunked'],
    ['two codings', 'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked'],
  ])('ends at a request with %s, and says so', async (_, lines) => {
    const store = createMemoryStore()
    const gateway = await start({}, async () => store)
    const smuggled = `POST /ingest HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n\r\n0\r\n\r\n${request(SAMPLE)}`
    const text = await converse(gateway.port, socket => socket.write(request(SAMPLE) + smuggled))
    expect(statusesOf(text)).toEqual([202, 400])
    expect(text).toMatch(/"detail":"Not a valid HTTP\/1\.1 request: .+"/)
    expect(await storedSamples(store)).toHaveLength(1)
  })

  test('whose client hung up in its request counts as no success', async () => {
    const gateway = await start()
    const socket = connect(gateway.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write('POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"key"')
    socket.destroy()
    expect((await post(gateway.port, SAMPLE)).status).toBe(202)
  })
})

describe('listening', () => {
  const sockets: Socket[] = []
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy()
  })

  test('is on IPv4 and IPv6, on both ports, unless HOST is set', async () => {
    const gateway = await start({ HOST: '', AUTH: 'off' })
    for (const port of [gateway.port, gateway.metricsPort]) {
      for (const host of ['127.0.0.1', '::1']) {
        const socket = connect(port, host)
        sockets.push(socket)
        await once(socket, 'connect')
        socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
        const [chunk] = await once(socket, 'data')
        expect(String(chunk)).toMatch(/^HTTP\/1\.1 200 /)
      }
    }
  })
})
