import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Forwarder, type Sent } from './forwarder.ts'
import { createGatewayClient } from './gateway.ts'

type Reply = readonly [status: number, body?: unknown, headers?: Record<string, string>] | 'cut'
type Respond = (values: readonly number[]) => Reply | Promise<Reply>

let close: () => void = () => undefined
afterEach(() => close())

const stored = (values: readonly number[]): Reply => [202, { accepted: values.length, rejected: [] }]
const problem = (kind: string, more = {}) => ({ type: `urn:tidemark:problem:${kind}`, detail: 'no', ...more })

/** A gateway that replies to each request in turn; the last way of replying is repeated. */
async function serve(...replies: readonly (Reply | Respond)[]) {
  const requests: { headers: IncomingMessage['headers']; values: number[] }[] = []
  const server = createServer(async (request, response) => {
    const samples = JSON.parse(Buffer.concat(await request.toArray()).toString()) as { value: number }[]
    const values = samples.map(({ value }) => value)
    requests.push({ headers: request.headers, values })
    const next = replies[Math.min(requests.length, replies.length) - 1] as Reply | Respond
    const reply = typeof next === 'function' ? await next(values) : next
    if (reply === 'cut') return void request.socket.destroy()
    const [status, content = '', more = {}] = reply
    response.writeHead(status, more).end(typeof content === 'string' ? content : JSON.stringify(content))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  close = () => void server.close()
  const failures: string[] = []
  const sent: Sent[] = []
  const settled: string[] = []
  const { port } = server.address() as AddressInfo
  const create = (samplesMax = 3, backlogMax = 100) => {
    const forwarder = new Forwarder({
      gateway: createGatewayClient(`http://127.0.0.1:${port}/`, () => 'tmk_1_2'),
      samplesMax,
      backlogMax,
      onFailure: reason => failures.push(reason),
      onSent: result => sent.push(result),
    })
    const offer = (name: string, values: readonly number[], hasRoom: () => void = () => {}) => {
      const samples = values.map(value => ({ key: 'k', value }))
      forwarder.offer({ samples, settle: () => void settled.push(name) }, hasRoom)
    }
    return { forwarder, offer }
  }
  return { requests, failures, sent, settled, create, batches: () => requests.map(({ values }) => values) }
}

/** A response that the test releases. */
function held(): { respond: Respond; release: () => void } {
  const gate = Promise.withResolvers<void>()
  return { respond: values => gate.promise.then(() => stored(values)), release: gate.resolve }
}

describe('the forwarder', () => {
  test('sends what arrived meanwhile together, in order, and settles it afterwards', async () => {
    const first = held()
    const { create, batches, settled, requests } = await serve(first.respond, stored)
    const { forwarder, offer } = create()
    offer('a', [1])
    await vi.waitFor(() => expect(batches()).toEqual([[1]]))
    expect(requests[0]?.headers).toMatchObject({ authorization: 'Bearer tmk_1_2', 'user-agent': 'tidemark-mqtt' })
    offer('b', [2])
    offer('c', [3, 4])
    offer('d', [5])
    expect([settled, forwarder.backlog]).toEqual([[], 5])
    first.release()
    await vi.waitFor(() => expect(settled).toEqual(['a', 'b', 'c', 'd']))
    expect(batches()).toEqual([[1], [2, 3, 4], [5]])
    expect(forwarder.backlog).toBe(0)
  })

  test('settles a message when the last of its samples is stored, also if they need several requests', async () => {
    const second = held()
    const { create, batches, settled } = await serve(stored, second.respond)
    const { offer } = create()
    offer('a', [1, 2, 3, 4])
    await vi.waitFor(() => expect(batches()).toEqual([[1, 2, 3], [4]]))
    expect(settled).toEqual([])
    second.release()
    await vi.waitFor(() => expect(settled).toEqual(['a']))
  })

  test('settles messages without samples in their order, without a request', async () => {
    const first = held()
    const { create, batches, settled } = await serve(first.respond)
    const { offer } = create()
    offer('a', [])
    expect(settled).toEqual(['a'])
    offer('b', [1])
    offer('c', [])
    await vi.waitFor(() => expect(batches()).toEqual([[1]]))
    expect(settled).toEqual(['a'])
    first.release()
    await vi.waitFor(() => expect(settled).toEqual(['a', 'b', 'c']))
  })

  test('reads no more messages while the backlog is full', async () => {
    const first = held()
    const { create, batches } = await serve(first.respond, stored)
    const { offer } = create(10, 2)
    const room = vi.fn()
    offer('a', [1], room)
    await vi.waitFor(() => expect(batches()).toEqual([[1]]))
    offer('b', [2], room)
    await vi.waitFor(() => expect(room).toHaveBeenCalledTimes(2))
    offer('c', [3], room)
    await new Promise(resolve => setImmediate(resolve))
    expect(room).toHaveBeenCalledTimes(2)
    first.release()
    await vi.waitFor(() => expect(room).toHaveBeenCalledTimes(3))
  })

  test('repeats a request, with the same key, until it is certain', async () => {
    const { create, requests, failures, settled } = await serve('cut', [202, 'a proxy'], [202, {}], stored)
    create().offer('a', [1])
    await vi.waitFor(() => expect(settled).toEqual(['a']), 60_000)
    expect(failures).toHaveLength(3)
    expect(failures.join()).toMatch(/no response.*not JSON.*not a gateway's: is the URL right/s)
    expect(new Set(requests.map(({ headers }) => headers['idempotency-key'])).size).toBe(1)
  })

  test('counts and settles samples that the gateway refuses', async () => {
    const { create, sent, settled, failures } = await serve(
      [202, { accepted: 1, rejected: [{ index: 1, reason: 'too long' }] }],
      [400, problem('samples-invalid', { rejected: [{ index: 0, reason: 'x' }] })],
      [403, problem('keys-limit-reached')],
    )
    const { offer } = create(2)
    for (const [name, values] of Object.entries({ a: [1, 2], b: [3, 4], c: [5] })) offer(name, values)
    await vi.waitFor(() => expect(settled).toEqual(['a', 'b', 'c']))
    expect(sent).toEqual([
      { accepted: 1, rejected: 1, reason: 'too long' },
      { accepted: 0, rejected: 2, reason: 'x' },
      { accepted: 0, rejected: 1, reason: 'POST /ingest: 403: no' },
    ])
    expect(failures).toEqual([])
  })

  test('sends a request that is too large in parts', async () => {
    const isLarge: Respond = values => (values.length > 1 || values[0] === 2 ? [413] : stored(values))
    const { create, batches, sent, settled } = await serve(isLarge)
    create().offer('a', [1, 2, 3])
    await vi.waitFor(() => expect(settled).toEqual(['a']))
    expect(batches()).toEqual([[1, 2, 3], [1, 2], [1], [2], [3]])
    expect(sent.map(({ accepted, rejected }) => [accepted, rejected])).toEqual([
      [1, 0],
      [0, 1],
      [1, 0],
    ])
  })

  test('stores what waits before it stops', async () => {
    const first = held()
    const { create, batches, settled } = await serve(first.respond, stored)
    const { forwarder, offer } = create()
    offer('a', [1])
    await vi.waitFor(() => expect(batches()).toHaveLength(1))
    offer('b', [2])
    const stopped = forwarder.stop()
    offer('c', [3])
    first.release()
    await stopped
    expect(settled).toEqual(['a', 'b'])
  })

  test('settles nothing that is not stored when it stops', async () => {
    const { create, settled, failures } = await serve([503, {}, { 'Retry-After': '60' }])
    const { forwarder, offer } = create()
    offer('a', [1])
    await vi.waitFor(() => expect(failures).toHaveLength(1))
    offer('b', [2])
    await forwarder.stop()
    expect(settled).toEqual([])
    expect(forwarder.backlog).toBe(2)
  })
})
