import { once } from 'node:events'
import { connect } from 'node:net'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import type { GatewayStore } from '@tidemark/shared/store/ports/gateway'
import type { Store } from '@tidemark/shared/store/ports/store'
import { describe, expect, test } from 'vitest'
import { analyseAll } from '../support/fixture.ts'
import { post, send, start } from '../support/server.ts'

const SAMPLE = '{"key":"a","value":1}'

async function receiptOf(port: number): Promise<string> {
  return JSON.parse((await post(port, SAMPLE)).body).receipts[0]
}

function withGateway(store: Store, override: Partial<GatewayStore>): Store {
  return { ...store, gateway: { ...store.gateway, ...override } }
}

/** Moves the id of a receipt by milliseconds. */
function moved(receipt: string, ms: number): string {
  return receipt.replace(/:(\d+)-/, (_, time) => `:${Number(time) + ms}-`)
}

describe('GET /analyze with wait=0', () => {
  test('returns the verdict if it is there', async () => {
    const store = createMemoryStore()
    const gateway = await start({}, async () => store)
    const receipt = await receiptOf(gateway.port)
    await analyseAll(store)
    for (const query of [`key=a&after=${receipt}`, `after=${receipt}`]) {
      expect((await send(gateway.port, `/analyze?${query}&wait=0`)).status).toBe(200)
    }
  })

  test('says that the sample is not analysed yet, with the backlog, however slow the store is', async () => {
    const store = createMemoryStore()
    const slow = withGateway(store, {
      async progress(partitions) {
        await new Promise(resolve => setTimeout(resolve, 50))
        return store.gateway.progress(partitions)
      },
    })
    const gateway = await start({}, async () => slow)
    const { status, headers, body } = await send(
      gateway.port,
      `/analyze?key=a&after=${await receiptOf(gateway.port)}&wait=0`,
    )
    expect([status, headers['retry-after']]).toEqual([503, '1'])
    expect(JSON.parse(body)).toMatchObject({ type: 'urn:tidemark:problem:not-analysed-yet', backlog: 1 })
  })

  test.each(['0', '5000'])('says that the store does not respond (wait=%s)', async wait => {
    const store = withGateway(createMemoryStore(), { progress: () => new Promise(() => {}) })
    const gateway = await start({ STORE_TIMEOUT_MS: '100' }, async () => store)
    const receipt = await receiptOf(gateway.port)
    const { status, headers, body } = await send(gateway.port, `/analyze?key=a&after=${receipt}&wait=${wait}`)
    expect([status, JSON.parse(body).type]).toEqual([503, 'urn:tidemark:problem:store-unavailable'])
    expect(Number(headers['retry-after'])).toBeGreaterThan(0)
    expect(JSON.parse(body)).not.toHaveProperty('backlog')
  })
})

describe('a receipt that cannot exist', () => {
  test.each([
    ['of the future', (receipt: string) => moved(receipt, 3_600_000)],
    ['of the next millisecond', (receipt: string) => moved(receipt, 1)],
    ['of the next entry', (receipt: string) => receipt.replace(/-\d+$/, '-1')],
  ])('%s is refused at once', async (_, change) => {
    const gateway = await start()
    const receipt = change(await receiptOf(gateway.port))
    const begin = performance.now()
    for (const query of [`key=a&after=${receipt}`, `after=${receipt}`]) {
      const { status, body } = await send(gateway.port, `/analyze?${query}&wait=10000`)
      expect([status, JSON.parse(body).errors[0].parameter]).toEqual([400, 'after'])
    }
    // Two waits of 10 s each would take longer.
    expect(performance.now() - begin).toBeLessThan(15_000)
  })

  test.each(['16:1-0', '9999:1-0', '-1:1-0', '1:1', '1:1-', 'x'])('%s is refused', async receipt => {
    const gateway = await start()
    expect((await send(gateway.port, `/analyze?after=${receipt}&wait=0`)).status).toBe(400)
  })

  test('is not mistaken for one whose entry was analysed and trimmed between two looks', async () => {
    const store = createMemoryStore()
    const gateway = await start({}, async () =>
      withGateway(store, {
        async hasEntryFrom() {
          await analyseAll(store)
          return false
        },
      }),
    )
    const receipt = await receiptOf(gateway.port)
    expect((await send(gateway.port, `/analyze?key=a&after=${receipt}`)).status).toBe(200)
  })
})

describe('a request that waits for a verdict', () => {
  test('frees its place at once when its client hangs up', async () => {
    const gateway = await start({ ANALYZE_WAITERS_MAX: '2', ANALYZE_WAIT_MAX_MS: '60000' })
    const receipt = await receiptOf(gateway.port)
    const path = `/analyze?key=a&after=${receipt}`
    const clients = [connect(gateway.port, '127.0.0.1'), connect(gateway.port, '127.0.0.1')]
    for (const client of clients) {
      await once(client, 'connect')
      // Longer than `expect.poll` waits.
      client.write(`GET ${path}&wait=60000 HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    }
    const typeOf = async (): Promise<string> => JSON.parse((await send(gateway.port, `${path}&wait=0`)).body).type
    await expect.poll(typeOf).toBe('urn:tidemark:problem:overloaded')
    const metrics = await send(gateway.metricsPort, '/metrics')
    expect(metrics.body).toMatch(/^gateway_limit_reached_total\{limit="waiters"\} [1-9]/m)
    expect(metrics.body).toContain('gateway_limit_used{limit="waiters"} 2\n')
    // One is closed, the other reset.
    clients[0]?.destroy()
    clients[1]?.resetAndDestroy()
    await expect.poll(typeOf).toBe('urn:tidemark:problem:not-analysed-yet')
    await expect
      .poll(async () => (await send(gateway.metricsPort, '/metrics')).body)
      .toContain('gateway_limit_used{limit="waiters"} 0\n')
  })
})
