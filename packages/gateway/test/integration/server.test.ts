import { once } from 'node:events'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { aborted } from '@tidemark/shared/runtime/lifecycle'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { LayoutMismatch } from '@tidemark/shared/store/ports/errors'
import type { Store } from '@tidemark/shared/store/ports/store'
import { eventually } from '@tidemark/testkit/eventually'
import { describe, expect, test } from 'vitest'
import { storedSamples } from '../support/fixture.ts'
import { converse, post, send, start } from '../support/server.ts'

/** A slow store, so that requests are in progress when the gateway stops. */
function slowed(store: MemoryStore, ms: number): Store {
  return {
    ...store,
    gateway: {
      ...store.gateway,
      async append(batches) {
        await new Promise(resolve => setTimeout(resolve, ms))
        return store.gateway.append(batches)
      },
    },
  }
}

describe('a running gateway', () => {
  test('accepts samples, and serves metrics and health on both ports', async () => {
    const gateway = await start()
    const answer = await post(gateway.port, '{"key":"a","value":1}')
    expect(answer.status).toBe(202)
    expect(answer.headers['content-length']).toBe(String(answer.body.length))
    for (const port of [gateway.port, gateway.metricsPort]) {
      expect((await send(port, '/metrics')).body).toContain('gateway_samples_accepted_total 1\n')
      expect((await send(port, '/readyz')).status).toBe(200)
    }
    expect((await send(gateway.metricsPort, '/analyze')).status).toBe(404)
  })

  test('responds 413 to an endless chunked body and closes the connection', async () => {
    // The time for requests must not be what ends it.
    const gateway = await start({ REQUEST_TIMEOUT_MS: '3600000' })
    const chunk = `10000\r\n${' '.repeat(0x1_0000)}\r\n`
    const text = await converse(gateway.port, socket => {
      socket.write('POST /ingest HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n')
      const timer = setInterval(() => socket.write(chunk), 1)
      socket.on('close', () => clearInterval(timer))
    })
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
    expect(text).toContain('urn:tidemark:problem:body-too-large')
  })

  test('responds 413 to a too large Content-Length before it reads the body', async () => {
    const gateway = await start()
    const text = await converse(gateway.port, socket => {
      socket.write('POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n')
    })
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
  })

  test('closes a connection whose headers do not arrive', async () => {
    const gateway = await start({ HEADERS_TIMEOUT_MS: '300', REQUEST_TIMEOUT_MS: '60000' })
    const text = await converse(gateway.port, socket => socket.write('POST /ingest HTTP/1.1\r\nHost: localhost\r\n'))
    expect(text).toMatch(/^HTTP\/1\.1 408 /)
  })

  test('closes a connection whose body does not arrive', async () => {
    const gateway = await start({ HEADERS_TIMEOUT_MS: '300', REQUEST_TIMEOUT_MS: '600' })
    const text = await converse(gateway.port, socket => {
      socket.write('POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"key"')
    })
    expect(text).toMatch(/^HTTP\/1\.1 408 /)
    expect((await post(gateway.port, '{"key":"a","value":1}')).status).toBe(202)
  })

  test.each([
    [400, 'GET /livez HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n'],
    [400, 'GET http://[ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'],
    [400, 'GET \\ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'],
    [400, 'GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: y\r\nConnection: close\r\n\r\n'],
    [400, 'nonsense\r\n\r\n'],
    [400, '\x16\x03\x01\r\n\r\n'],
  ])('responds %d to %j and goes on', async (status, junk) => {
    const gateway = await start()
    const text = await converse(gateway.port, socket => socket.write(junk))
    expect(text.slice(0, 12)).toBe(`HTTP/1.1 ${status}`)
    expect((await send(gateway.port, '/livez')).status).toBe(200)
  })

  test('keeps the order of pipelined requests', async () => {
    const store = createMemoryStore()
    const gateway = await start({}, async () => store)
    const count = 300
    await converse(gateway.port, socket => {
      for (let value = 0; value < count; value++) {
        const body = JSON.stringify({ key: 'a', value })
        const close = value === count - 1 ? 'Connection: close\r\n' : ''
        socket.write(
          `POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n${close}\r\n${body}`,
        )
      }
    })
    expect((await storedSamples(store)).map(({ value }) => value)).toEqual(Array.from({ length: count }, (_, i) => i))
  })
})

describe('an unavailable store', () => {
  test('is waited for: the gateway responds 503 until the store is open', async () => {
    const { promise: opened, resolve: open } = Promise.withResolvers<Store>()
    const gateway = await start({}, () => opened)
    expect((await send(gateway.port, '/livez')).status).toBe(200)
    expect((await send(gateway.port, '/readyz')).status).toBe(503)
    const refused = await post(gateway.port, '{"key":"a","value":1}')
    expect(refused.status).toBe(503)
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1)
    open(createMemoryStore())
    await expect.poll(async () => (await send(gateway.port, '/readyz')).status).toBe(200)
    expect((await post(gateway.port, '{"key":"a","value":1}')).status).toBe(202)
  })

  test('does not prevent the gateway from stopping', async () => {
    const gateway = await start({}, async signal => {
      await aborted(signal)
      return undefined
    })
    await gateway[Symbol.asyncDispose]()
    await expect(send(gateway.port, '/livez')).rejects.toThrow('ECONNREFUSED')
  })

  test('with another layout stops the gateway with a message', async () => {
    const sentence = 'this Redis holds a deployment of 4 partitions, and PARTITIONS is 16'
    const gateway = await start({}, () => Promise.reject(new LayoutMismatch(sentence)))
    await expect(gateway.failed).rejects.toThrow(sentence)
    expect((await send(gateway.port, '/readyz')).status).toBe(503)
  })
})

describe('a graceful stop', () => {
  test('stores every sample that got a 202 exactly once', async () => {
    const store = createMemoryStore()
    const gateway = await start({}, async () => slowed(store, 20))
    const agent = new Agent({ keepAlive: true, maxSockets: 200 })
    const accepted: number[] = []
    let next = 0
    let isStopped = false
    const clients = Array.from({ length: 200 }, async () => {
      while (!isStopped) {
        const value = next++
        try {
          const answer = await post(gateway.port, JSON.stringify({ key: `k${value % 50}`, value }), agent)
          expect([202, 503]).toContain(answer.status)
          if (answer.status === 202) accepted.push(value)
        } catch {
          // The gateway no longer listens, or closed the connection before it read the request.
          return
        }
      }
    })
    await expect.poll(() => accepted.length).toBeGreaterThan(0)
    const before = accepted.length
    await gateway[Symbol.asyncDispose]()
    isStopped = true
    await Promise.all(clients)
    agent.destroy()
    expect(accepted.length).toBeGreaterThan(before)
    const stored = (await storedSamples(store)).map(({ value }) => value)
    expect(new Set(stored).size).toBe(stored.length)
    expect(accepted.filter(value => !stored.includes(value))).toEqual([])
  })

  test('stores samples whose client has disconnected before it closes the store', async () => {
    const events: string[] = []
    const store = createMemoryStore()
    const slow = slowed(store, 200)
    const { promise: isStoring, resolve: storing } = Promise.withResolvers<void>()
    const gateway = await start({}, async () => ({
      ...slow,
      gateway: {
        ...slow.gateway,
        append(batches) {
          storing()
          return slow.gateway.append(batches).finally(() => events.push('stored'))
        },
      },
      [Symbol.asyncDispose]: async () => {
        events.push('closed')
      },
    }))
    const socket = connect(gateway.port, '127.0.0.1')
    socket.write('POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 21\r\n\r\n{"key":"a","value":1}')
    await isStoring
    socket.destroy()
    await new Promise(resolve => setTimeout(resolve, 20))
    await gateway[Symbol.asyncDispose]()
    expect(events).toEqual(['stored', 'closed'])
  })

  test('becomes not ready, responds with Connection: close, and then stops listening', async () => {
    const gateway = await start({ DRAIN_DELAY_MS: '300' })
    const stopped = gateway[Symbol.asyncDispose]()
    expect((await send(gateway.port, '/readyz')).status).toBe(503)
    const answer = await post(gateway.port, '{"key":"a","value":1}', new Agent({ keepAlive: true }))
    expect(answer.status).toBe(202)
    expect(answer.headers.connection).toBe('close')
    await stopped
    await expect(send(gateway.port, '/livez')).rejects.toThrow('ECONNREFUSED')
  })

  test('waits neither for verdicts nor for idle connections', async () => {
    const store = createMemoryStore()
    let reads = 0
    const gateway = await start({}, async () => ({
      ...store,
      gateway: {
        ...store.gateway,
        progress(partitions) {
          reads++
          return store.gateway.progress(partitions)
        },
      },
    }))
    const agent = new Agent({ keepAlive: true })
    const { receipts } = JSON.parse((await post(gateway.port, '{"key":"a","value":1}', agent)).body)
    const waiting = send(gateway.port, `/analyze?key=a&after=${receipts[0]}&wait=10000`)
    // The second read is made only by a request that waits.
    await eventually(() => expect(reads).toBeGreaterThanOrEqual(2))
    const begin = performance.now()
    await gateway[Symbol.asyncDispose]()
    expect(performance.now() - begin).toBeLessThan(9000)
    expect((await waiting).status).toBe(503)
    agent.destroy()
  })
})

describe('input that is not a request', () => {
  const problem =
    /^HTTP\/1\.1 (\d{3}) [\s\S]*\r\nContent-Type: application\/problem\+json\r\n[\s\S]*\r\n\r\n\{"type":"urn:/i
  const statusOf = (text: string): string | undefined => problem.exec(text)?.[1]

  test.each([
    ['400', 'nonsense\r\n\r\n'],
    ['400', 'GET /livez HTTP/1.1\r\n\r\n'],
    ['400', 'GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: y\r\n\r\n'],
    ['405', 'CONNECT x:80 HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['417', 'POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: the moon\r\n\r\n[]'],
    ['431', `GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: ${'a'.repeat(17_000)}\r\n\r\n`],
    ['431', `GET /livez HTTP/1.1\r\nHost: localhost\r\n${'A: b\r\n'.repeat(50)}\r\n`],
  ])('gets a problem with status %s, is counted, and its connection is closed: %j', async (status, bytes) => {
    const gateway = await start()
    const text = await converse(gateway.port, socket => socket.write(bytes))
    expect([statusOf(text), text]).toEqual([status, text])
    expect((await send(gateway.port, '/metrics')).body).toContain(
      `gateway_http_requests_total{route="unmatched",method="other",status="${status}"} 1\n`,
    )
  })

  test('gets its response after those of the requests before it', async () => {
    const gateway = await start()
    const body = '{"key":"a","value":1}'
    const text = await converse(gateway.port, socket => {
      socket.write(
        `POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}nonsense\r\n\r\n`,
      )
    })
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 202', 'HTTP/1.1 400'])
  })
})

describe('a client', () => {
  test('that closes its side of the connection gets its response', async () => {
    const store = createMemoryStore()
    const gateway = await start({}, async () => slowed(store, 50))
    // The store responds after the client has closed its side.
    const body = '{"key":"a","value":1}'
    const text = await converse(gateway.port, socket => {
      socket.end(`POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    })
    expect(text).toMatch(/^HTTP\/1\.1 202 /)
  })

  test('gets nosniff, so that a browser does not treat JSON as a page', async () => {
    const gateway = await start()
    for (const path of ['/livez', '/analyze?key=none', '/nowhere', '/openapi.json']) {
      expect((await send(gateway.port, path)).headers['x-content-type-options']).toBe('nosniff')
    }
  })

  test('beyond the limit of connections is rejected and counted', async () => {
    const gateway = await start({ CONNECTIONS_MAX: '1' })
    const first = connect(gateway.port, '127.0.0.1')
    await once(first, 'connect')
    expect(await converse(gateway.port, () => {})).toBe('')
    first.destroy()
    await once(first, 'close')
    const metrics = await send(gateway.metricsPort, '/metrics')
    expect(metrics.body).toContain('gateway_connections_dropped_total 1\n')
  })

  test('that does not read its responses is disconnected when too many bytes are unread', async () => {
    const gateway = await start({ BODIES_BYTES_MAX: String(1024 * 1024) })
    const script = 'GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n'
    const count = 30
    const deaf = connect(gateway.port, '127.0.0.1')
    deaf.on('error', () => {})
    await once(deaf, 'connect')
    deaf.write(script.repeat(count))
    const cut = 'gateway_connections_unread_total 1\n'
    await expect.poll(async () => (await send(gateway.metricsPort, '/metrics')).body).toContain(cut)
    const agent = new Agent({ keepAlive: true })
    for (let i = 0; i < count; i++) {
      expect((await send(gateway.port, '/docs/swagger-ui-bundle.js', { agent })).body.length).toBeGreaterThan(1_000_000)
    }
    agent.destroy()
    deaf.destroy()
    expect((await send(gateway.metricsPort, '/metrics')).body).toContain(cut)
  })
})
