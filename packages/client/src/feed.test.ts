import { describe, expect, test } from 'vitest'
import { Client } from './client.ts'
import type { TidemarkError } from './error.ts'
import type { FeedStatus } from './feed.ts'

const OK = { status: 200, headers: { 'Content-Type': 'text/event-stream' } }

/** A client of a gateway with the given connections, and what it requested. */
function createGateway(connections: readonly ((signal?: AbortSignal | null) => Response)[]) {
  const headers: Headers[] = []
  const urls: string[] = []
  const client = new Client({
    url: 'http://gateway/',
    apiKey: 'k',
    async fetch(input, init) {
      urls.push(String(input))
      headers.push(new Headers(init?.headers))
      const response = connections[headers.length - 1]?.(init?.signal)
      if (response === undefined) throw new Error('no more connections')
      return response
    },
  })
  return { client, headers, urls }
}

function stream(chunks: readonly string[], isOpen = false) {
  return (signal?: AbortSignal | null) => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
        if (!isOpen) controller.close()
        // As the body of a fetch does.
        else signal?.addEventListener('abort', () => controller.error(signal.reason))
      },
    })
    return new Response(body, OK)
  }
}

async function take(gateway: ReturnType<typeof createGateway>, count: number, onStatus = (_: FeedStatus) => {}) {
  const events = []
  for await (const event of gateway.client.events({ prefix: 'a b' }, { onStatus })) {
    events.push(event)
    if (events.length === count) break
  }
  return events
}

describe('the feed', () => {
  test('resumes after the last event on the next connection', async () => {
    const gateway = createGateway([
      stream(['retry: 1\n\n', ': heartbeat\n\nid: 1-0\nevent: analysis\ndata: {"value":', '1}\n\nid: 1-1\nda']),
      stream(['id: 2-0\nevent: gap\ndata: {}\n\n'], true),
    ])
    expect(await take(gateway, 2)).toEqual([
      { id: '1-0', event: 'analysis', data: { value: 1 } },
      { id: '2-0', event: 'gap', data: {} },
    ])
    expect(gateway.urls[0]).toBe('http://gateway/events?prefix=a+b')
    expect(gateway.headers.map(headers => headers.get('Last-Event-ID'))).toEqual([null, '1-0'])
    expect(gateway.headers[0]?.get('Authorization')).toBe('Bearer k')
  })

  test('reads every line end, data of several lines, and characters cut in two', async () => {
    const bytes = new TextEncoder().encode('id: 1\r\ndata: {"a":\r\ndata: "é"}\r\rdata:[2]\n\n')
    const cut = bytes.indexOf(0xc3) + 1
    const body = () => {
      const parts = [bytes.slice(0, 6), bytes.slice(6, cut), bytes.slice(cut)]
      return new Response(
        new ReadableStream({ pull: c => (parts.length > 0 ? c.enqueue(parts.shift()) : c.close()) }),
        OK,
      )
    }
    expect((await take(createGateway([body]), 2)).map(({ data }) => data)).toEqual([{ a: 'é' }, [2]])
  })

  test('waits as long as the gateway asks for, and says so', async () => {
    const busy = () =>
      Response.json({ type: 'urn:tidemark:problem:overloaded' }, { status: 503, headers: { 'Retry-After': '0.01' } })
    const statuses: FeedStatus[] = []
    await take(createGateway([busy, stream(['data: 1\n\n'], true)]), 1, status => statuses.push(status))
    expect(statuses).toEqual([
      { kind: 'waiting', error: expect.objectContaining({ status: 503, kind: 'overloaded' }), retryMs: 10 },
      { kind: 'open' },
    ])
  })

  test('ends with an error that a retry cannot repair', async () => {
    const refused = () =>
      Response.json({ type: 'urn:tidemark:problem:unauthenticated', detail: 'no API key' }, { status: 401 })
    const error = await take(createGateway([refused]), 1).catch((reason: TidemarkError) => reason)
    expect(error).toMatchObject({ status: 401, kind: 'unauthenticated', message: 'GET /events: 401: no API key' })
  })

  test('leaves a connection that is silent', async () => {
    const gateway = createGateway([stream([], true), stream(['data: 1\n\n'], true)])
    const events = gateway.client.events({}, { silenceMs: 20 })
    expect((await events.next()).value).toMatchObject({ data: 1 })
    await events.return(undefined)
    expect(gateway.headers).toHaveLength(2)
  })

  test('ends by the signal, also while it waits', async () => {
    const stop = new AbortController()
    const busy = () => Response.json({}, { status: 503, headers: { 'Retry-After': '3600' } })
    const { client } = createGateway([busy])
    const onStatus = (): void => stop.abort()
    for await (const _ of client.events({}, { signal: stop.signal, onStatus })) throw new Error('no event is there')
  })
})
