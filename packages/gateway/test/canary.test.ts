import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { readConfig } from '@tidemark/shared/runtime/config'
import { createLogger } from '@tidemark/shared/runtime/logger'
import { createCertificate } from '@tidemark/testkit/certificates'
import { eventually } from '@tidemark/testkit/eventually'
import { describe, expect, test } from 'vitest'
import { startCanary } from '../src/canary/canary.ts'
import { canarySettings } from '../src/canary/config.ts'
import { certificateExpiry, probe } from '../src/canary/probe.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

async function serve(handler: Handler): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer(handler)
  await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(closed => server.close(closed))
    },
  }
}

const respond = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

const STORED = { accepted: 1, rejected: [], receipts: ['3:17-0'] }

const isIngest = ({ url }: IncomingMessage): boolean => url === '/ingest'

/** A gateway that responds to a sample and to the request of its verdict. */
function gateway(ingest: readonly [number, unknown], analyze: readonly [number, unknown]): Handler {
  return (request, response) => {
    request.resume()
    respond(response, ...(isIngest(request) ? ingest : analyze))
  }
}

const CASES: readonly (readonly [what: string, handler: Handler, result: string])[] = [
  ['the verdict is on its sample', gateway([202, STORED], [200, { id: '3:17-0', value: 1 }]), 'ok'],
  ['the verdict is on another sample', gateway([202, STORED], [200, { id: '3:16-0', value: 1 }]), 'no_verdict'],
  ['the verdict is on another value', gateway([202, STORED], [200, { id: '3:17-0', value: 2 }]), 'no_verdict'],
  ['no analyzer works', gateway([202, STORED], [503, {}]), 'no_verdict'],
  [
    'the connection ends before the verdict',
    (request, response) => {
      if (isIngest(request)) gateway([202, STORED], [200, {}])(request, response)
      else request.destroy()
    },
    'no_verdict',
  ],
  ['Redis is unavailable', gateway([503, {}], [200, {}]), 'refused'],
  ['the API key is refused', gateway([401, {}], [200, {}]), 'refused'],
  ['a proxy shows a page', (_, response) => void response.writeHead(200).end('<html>'), 'refused'],
  ['a proxy redirects', (_, response) => void response.writeHead(301, { location: '/' }).end(), 'refused'],
  ['the connection ends without a response', request => void request.destroy(), 'unreachable'],
]

const OPTIONS = { key: 'tidemark/canary', apiKey: 'secret', timeoutMs: 20_000, stop: new AbortController().signal }

describe('a probe', () => {
  test.each(CASES)('if %s', async (_, handler, result) => {
    await using server = await serve(handler)
    expect(await probe({ url: server.url, ...OPTIONS })).toMatchObject({ result })
  })

  test('fails if there is no server, and if one does not respond in time', async () => {
    const server = await serve(() => undefined)
    await using _ = server
    expect(await probe({ url: server.url, ...OPTIONS, timeoutMs: 100 })).toMatchObject({ result: 'unreachable' })
    expect(await probe({ url: 'http://127.0.0.1:1', ...OPTIONS })).toMatchObject({ result: 'unreachable' })
  })

  test('sends its API key with both requests, below a path too', async () => {
    const seen: (string | undefined)[] = []
    await using server = await serve((request, response) => {
      seen.push(request.url, request.headers.authorization)
      request.resume()
      respond(response, 202, STORED)
    })
    await probe({ url: `${server.url}/metrics-in`, ...OPTIONS })
    expect(seen).toEqual([
      '/metrics-in/ingest',
      'Bearer secret',
      '/metrics-in/analyze?key=tidemark%2Fcanary&after=3%3A17-0',
      'Bearer secret',
    ])
  })
})

test('the expiry of a certificate is known even if no client trusts it; without TLS there is none', async () => {
  const { key, cert } = await createCertificate()
  const server = createTlsServer({ key, cert }, (_, response) => void response.end())
  await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as AddressInfo
  const expiry = await certificateExpiry(`https://127.0.0.1:${port}`, 20_000)
  expect(expiry).toBeGreaterThan(Date.now())
  expect(await certificateExpiry(`http://127.0.0.1:${port}`, 20_000)).toBeUndefined()
  server.closeAllConnections()
  await new Promise(closed => server.close(closed))
  expect(await certificateExpiry(`https://127.0.0.1:${port}`, 20_000)).toBeUndefined()
})

test('a canary goes on after failures, and exports when a sample last got its verdict', async () => {
  let isDown = true
  await using server = await serve((request, response) =>
    gateway(isDown ? [503, {}] : [202, STORED], [200, { id: '3:17-0', value: 1 }])(request, response),
  )
  const config = readConfig(canarySettings, {
    ...{ CANARY_URL: server.url, CANARY_INTERVAL_MS: '100', METRICS_HOST: '127.0.0.1', METRICS_PORT: '0' },
  })
  await using canary = await startCanary(config, createLogger('canary', 'silent'))
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${canary.port}/metrics`)).text()
    return Number(
      text
        .split('\n')
        .find(line => line.startsWith(`${name} `))
        ?.split(' ')[1],
    )
  }
  await eventually(async () => expect(await metric('canary_probes_total{result="refused"}')).toBeGreaterThan(1))
  const before = await metric('canary_last_success_timestamp_seconds')
  isDown = false
  await eventually(async () => expect(await metric('canary_probes_total{result="ok"}')).toBeGreaterThan(0))
  expect(await metric('canary_last_success_timestamp_seconds')).toBeGreaterThan(before)
  expect(await metric('canary_probe_seconds_count')).toBeGreaterThan(0)
})

test.each([
  [{}, 'CANARY_URL'],
  [{ CANARY_URL: 'tidemark.example.com' }, 'must be http:// or https://'],
])('settings %j are refused', (env, message) => {
  expect(() => readConfig(canarySettings, env)).toThrow(message)
})

test('a missing API key file is an error at the start', async () => {
  const config = readConfig(canarySettings, { CANARY_URL: 'http://127.0.0.1:1', API_KEY_FILE: '/missing' })
  await expect(startCanary(config, createLogger('canary', 'silent'))).rejects.toThrow('API_KEY_FILE: /missing')
})
