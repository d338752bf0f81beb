import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemClock } from '@tidemark/shared/runtime/clock'
import { freePort } from '@tidemark/testkit/redis-process'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createPost } from '../../src/notify/post.ts'

const TIMEOUT_MS = 300

/** Only ends a hang: a slow machine must respond within it. */
const LONG_MS = 60_000

/** Posts to a local server with this listener. */
async function postTo(listener: RequestListener, timeoutMs = LONG_MS) {
  const server = createServer(listener)
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const begin = performance.now()
  const delivery = await createPost({ clock: systemClock, timeoutMs })(`http://127.0.0.1:${port}/`, {}, '{}')
  return { delivery, tookMs: performance.now() - begin }
}

describe('a receiver', () => {
  test('that does not respond fails after the timeout', async () => {
    const { delivery, tookMs } = await postTo(() => undefined, TIMEOUT_MS)
    expect(delivery).toEqual({ kind: 'failed', reason: 'the receiver did not respond in time', retryAfterMs: 0 })
    expect(tookMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 10)
    expect(tookMs).toBeLessThan(TIMEOUT_MS * 100)
  })

  test('that closes the connection has failed', async () => {
    const { delivery } = await postTo(({ socket }) => socket.destroy())
    expect(delivery).toMatchObject({ kind: 'failed', reason: expect.stringMatching(/ECONNRESET|UND_ERR_SOCKET/) })
  })

  test('whose response has no end has responded', async () => {
    const { delivery } = await postTo((_, response) => {
      response.writeHead(200)
      const timer = setInterval(() => response.write('x'.repeat(1000)), 5)
      response.on('close', () => clearInterval(timer))
    })
    expect(delivery).toEqual({ kind: 'delivered' })
  })

  test('that redirects has failed, and the redirect is not followed', async () => {
    let requests = 0
    const { delivery } = await postTo((_, response) => {
      requests++
      response.writeHead(308, { location: '/elsewhere' }).end()
    })
    expect([delivery, requests]).toEqual([
      { kind: 'failed', reason: 'the receiver responded with status 308', retryAfterMs: 0, status: 308 },
      1,
    ])
  })

  test('whose port is closed has failed', async () => {
    const delivery = await createPost({ clock: systemClock })(`http://127.0.0.1:${await freePort()}/`, {}, '{}')
    expect(delivery).toEqual({ kind: 'failed', reason: 'ECONNREFUSED', retryAfterMs: 0 })
  })
})
