import { describe, expect, test, vi } from 'vitest'
import { Client } from './client.ts'
import { retryAfterOf, TidemarkError } from './error.ts'
import type { Item } from './types.ts'

const STORED = { accepted: 1, rejected: [], receipts: ['1:1-0'], durability: 'disk' }
const SAMPLE = { key: 'a', value: 1 }

const stored = () => Response.json(STORED, { status: 202 })
const busy = (retryAfter = '0') =>
  Response.json(
    { type: 'urn:tidemark:problem:overloaded', title: 'Busy' },
    { status: 503, headers: { 'Retry-After': retryAfter } },
  )
const broken = () => {
  throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })
}

function createClient(responses: readonly (() => Response)[], retryForMs = 60_000) {
  const requests: Request[] = []
  const client = new Client({
    url: 'http://gateway',
    retryForMs,
    async fetch(input, init) {
      requests.push(new Request(input, init))
      return responses[Math.min(requests.length, responses.length) - 1]?.() ?? broken()
    },
  })
  return { client, requests }
}

describe('ingest', () => {
  test('repeats a request under one Idempotency-Key until it is stored', async () => {
    const { client, requests } = createClient([busy, broken, () => busy('0.001'), stored])
    expect(await client.ingest(SAMPLE)).toEqual(STORED)
    expect(requests).toHaveLength(4)
    const keys = requests.map(request => request.headers.get('Idempotency-Key'))
    expect(new Set(keys).size).toBe(1)
    expect(keys[0]).toMatch(/^"[0-9a-f]{32}"$/)
    expect(await requests[3]?.json()).toEqual(SAMPLE)
    await client.ingest(SAMPLE)
    expect(requests[4]?.headers.get('Idempotency-Key')).not.toBe(keys[0])
  })

  test('does not repeat what can never succeed, and says why', async () => {
    const body = { type: 'urn:tidemark:problem:samples-invalid', title: 'No', detail: 'value must be finite' }
    const { client, requests } = createClient([() => Response.json(body, { status: 400 })])
    const error = await client.ingest(SAMPLE).catch((reason: TidemarkError) => reason)
    expect(error).toBeInstanceOf(TidemarkError)
    expect(error).toMatchObject({ status: 400, kind: 'samples-invalid', isTemporary: false })
    expect(String(error)).toContain('POST /ingest: 400: value must be finite')
    expect(requests).toHaveLength(1)
  })

  test('gives up when the gateway asks for a longer wait than the caller has', async () => {
    const { client, requests } = createClient([() => busy('120')], 1000)
    await expect(client.ingest(SAMPLE)).rejects.toMatchObject({ status: 503, retryAfterMs: 120_000, isTemporary: true })
    expect(requests).toHaveLength(1)
  })

  test('ends by the signal of the caller, with its reason', async () => {
    const { client } = createClient([() => busy('30')])
    const reason = new Error('the page is closed')
    await expect(client.ingest(SAMPLE, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const stop = new AbortController()
    const waiting = client.ingest(SAMPLE, { signal: stop.signal })
    setTimeout(() => stop.abort(reason), 5)
    await expect(waiting).rejects.toBe(reason)
  })
})

test('only what a gateway stores is stored: a proxy may respond in its place', async () => {
  const { client } = createClient([() => Response.json({}, { status: 202 })])
  await expect(client.ingest(SAMPLE)).rejects.toThrow("the response with 202 is not a gateway's: is the URL right?")
})

test('the caller may decide what is retried, and when', async () => {
  const { client, requests } = createClient([() => new Response('', { status: 401 }), broken, stored], 0)
  const retry = vi.fn(() => 0)
  await client.ingest(SAMPLE, { retry })
  expect(requests).toHaveLength(3)
  expect(retry.mock.calls).toEqual([
    [expect.objectContaining({ status: 401 }), 0],
    [expect.objectContaining({ status: 0 }), 1],
  ])
  await expect(createClient([busy]).client.ingest(SAMPLE, { retry: () => undefined })).rejects.toThrow('503')
})

test('an API key that is rotated is read for each request', async () => {
  const keys = ['old', 'new', undefined]
  const sent: (string | null)[] = []
  const client = new Client({
    url: 'http://gateway',
    apiKey: () => keys[sent.length],
    async fetch(input, init) {
      sent.push(new Request(input, init).headers.get('Authorization'))
      return Response.json({})
    },
  })
  for (const _ of keys) await client.overview()
  expect(sent).toEqual(['Bearer old', 'Bearer new', null])
})

test('a change without an Idempotency-Key is repeated only if nothing was done', async () => {
  const lost = createClient([broken, () => Response.json({})])
  await expect(lost.client.call('POST', '/alerts/1/acknowledge')).rejects.toMatchObject({ status: 0 })
  expect(lost.requests).toHaveLength(1)
  const refused = createClient([busy, () => Response.json({})])
  await refused.client.call('POST', '/alerts/1/acknowledge')
  expect(refused.requests).toHaveLength(2)
})

test('a verdict is awaited by requests that each wait a while', async () => {
  const { client, requests } = createClient([busy, () => Response.json({ analyses: [] })])
  expect(await client.verdicts('1:1-0', { waitForMs: 60_000 })).toEqual([])
  expect(requests.map(({ url }) => url)).toEqual(Array(2).fill('http://gateway/analyze?after=1%3A1-0&wait=5000'))
})

test('Retry-After is read as seconds and as a date', () => {
  expect(retryAfterOf('2')).toBe(2000)
  expect(retryAfterOf('Thu, 01 Jan 1970 00:00:05 GMT', 2000)).toBe(3000)
  expect([retryAfterOf(null), retryAfterOf(' '), retryAfterOf('soon')]).toEqual([undefined, undefined, undefined])
})

describe('the sender', () => {
  const items = (count: number): Item[] => Array.from({ length: count }, (_, i) => ({ key: 'a', value: i }))

  test('sends in order, in batches that grow while a request is in flight', async () => {
    const bodies: Item[][] = []
    const first = Promise.withResolvers<void>()
    const client = new Client({
      async fetch(_, init) {
        bodies.push(JSON.parse(String(init?.body)))
        if (bodies.length === 1) await first.promise
        return stored()
      },
    })
    const onFailed = vi.fn()
    await using sender = client.sender({ batchMax: 4, delayMs: 0, onFailed })
    const [head, ...rest] = items(8)
    if (head !== undefined) await sender.add(head)
    await vi.waitFor(() => expect(bodies).toHaveLength(1))
    for (const item of rest) await sender.add(item)
    first.resolve()
    await sender.flush()
    expect(bodies.map(({ length }) => length)).toEqual([1, 4, 3])
    expect(bodies.flat()).toEqual(items(8))
    expect([sender.waiting, onFailed.mock.calls]).toEqual([0, []])
  })

  test('holds its caller back when too much waits', async () => {
    const gate = Promise.withResolvers<void>()
    const client = new Client({ fetch: () => gate.promise.then(stored) })
    const sender = client.sender({ batchMax: 2, waitingMax: 3, onFailed: vi.fn() })
    let added = 0
    const adding = (async () => {
      for (const item of items(9)) {
        await sender.add(item)
        added++
      }
    })()
    await vi.waitFor(() => expect(sender.waiting).toBe(3))
    expect(added).toBeLessThan(6)
    gate.resolve()
    await adding
    await sender.close()
    expect(added).toBe(9)
  })

  test('sends a batch that is larger than the gateway takes in parts', async () => {
    const bodies: Item[][] = []
    const client = new Client({
      async fetch(_, init) {
        const body = JSON.parse(String(init?.body)) as Item[]
        bodies.push(body)
        return body.length > 2 ? new Response('', { status: 413 }) : stored()
      },
    })
    const onFailed = vi.fn()
    const sender = client.sender({ delayMs: 0, onFailed })
    await sender.add(items(5))
    await sender.close()
    expect(bodies.map(({ length }) => length)).toEqual([5, 3, 2, 1, 2])
    expect(bodies.filter(({ length }) => length <= 2).flat()).toEqual(items(5))
    expect(onFailed).not.toHaveBeenCalled()
  })

  test('hands over what was not stored, and goes on', async () => {
    let isDown = true
    const client = new Client({ retryForMs: 0, fetch: async () => (isDown ? busy() : stored()) })
    const onFailed = vi.fn()
    const onSent = vi.fn()
    const sender = client.sender({ delayMs: 0, onFailed, onSent })
    await sender.add(SAMPLE)
    await sender.flush()
    expect(onFailed).toHaveBeenCalledWith([SAMPLE], expect.objectContaining({ status: 503 }))
    isDown = false
    await sender.add(SAMPLE)
    await sender.close()
    expect(onSent).toHaveBeenCalledWith([SAMPLE], STORED)
    await expect(sender.add(SAMPLE)).rejects.toThrow('closed')
  })
})
