import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemClock } from '@tidemark/shared/runtime/clock'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Gateway } from './gateway.ts'

type Reply = readonly [status: number, body?: unknown, headers?: Record<string, string>] | 'cut'

let close: () => void = () => undefined
afterEach(() => close())

/** A gateway that replies as listed; the last reply is repeated. */
async function serve(replies: readonly Reply[]) {
  const requests: { key: string | undefined; authorization: string | undefined; samples: unknown[] }[] = []
  const server = createServer(async (request: IncomingMessage, response) => {
    const body = Buffer.concat(await request.toArray()).toString()
    const { headers } = request
    requests.push({
      key: headers['idempotency-key'] as string | undefined,
      authorization: headers.authorization,
      samples: JSON.parse(body),
    })
    const reply = replies[Math.min(requests.length, replies.length) - 1] as Reply
    if (reply === 'cut') return void request.socket.destroy()
    const [status, content = '', more = {}] = reply
    response.writeHead(status, more).end(typeof content === 'string' ? content : JSON.stringify(content))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  close = () => void server.close()
  const stop = new AbortController()
  const onFailure = vi.fn<(reason: string) => void>()
  const pause = vi.fn(async (_ms: number) => undefined)
  const gateway = new Gateway({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    apiKey: () => 'tmk_1_2',
    clock: { ...systemClock, pause },
    onFailure,
    stop: stop.signal,
  })
  return { gateway, requests, onFailure, pause, stop }
}

const OK: Reply = [202, { accepted: 2, rejected: [] }]
const SAMPLES = [
  { key: 'a', value: 1 },
  { key: 'b', value: 2 },
]

describe('the gateway of the bridge', () => {
  test('takes samples with the API key', async () => {
    const { gateway, requests } = await serve([OK])
    expect(await gateway.send(SAMPLES)).toEqual({ accepted: 2, rejected: [] })
    expect(requests).toMatchObject([{ authorization: 'Bearer tmk_1_2', samples: SAMPLES }])
  })

  test('is sent the same request again, with the same key, until it is certain', async () => {
    const unsure: Reply[] = [[503, {}, { 'Retry-After': '7' }], 'cut', [500], [429], [401], [202, 'a proxy']]
    const { gateway, requests, onFailure, pause } = await serve([...unsure, OK])
    expect(await gateway.send(SAMPLES)).toEqual({ accepted: 2, rejected: [] })
    expect(requests).toHaveLength(unsure.length + 1)
    expect(new Set(requests.map(({ key }) => key)).size).toBe(1)
    expect(onFailure).toHaveBeenCalledTimes(unsure.length)
    expect(pause.mock.calls[0]?.[0]).toBe(7000)
  })

  test('names each sample that it refuses for good', async () => {
    const { gateway } = await serve([[202, { accepted: 1, rejected: [{ index: 1, reason: 'sample 1: too long' }] }]])
    expect(await gateway.send(SAMPLES)).toEqual({ accepted: 1, rejected: ['sample 1: too long'] })
  })

  test.each([
    [400, { type: '/docs/problems/samples-invalid', detail: 'no', rejected: [{ reason: 'x' }, { reason: 'y' }] }],
    [403, { type: 'about/keys-limit-reached', detail: 'full', rejected: [{ reason: 'x' }, { reason: 'y' }] }],
  ])('gives up on samples with %i', async (status, body) => {
    const { gateway } = await serve([[status, body]])
    expect(await gateway.send(SAMPLES)).toEqual({ accepted: 0, rejected: ['x', 'y'] })
  })

  test('takes a request that is too large in parts', async () => {
    const { gateway, requests } = await serve([[413], [202, { accepted: 1 }], [202, { accepted: 1 }]])
    expect(await gateway.send(SAMPLES)).toEqual({ accepted: 2, rejected: [] })
    expect(requests.map(({ samples }) => samples.length)).toEqual([2, 1, 1])
    expect(new Set(requests.map(({ key }) => key)).size).toBe(3)
  })

  test('ends a request and its repetitions when it is stopped', async () => {
    const { gateway, stop, onFailure } = await serve([[503]])
    onFailure.mockImplementation(() => stop.abort(new Error('stopped')))
    await expect(gateway.send(SAMPLES)).rejects.toThrow('stopped')
  })
})
