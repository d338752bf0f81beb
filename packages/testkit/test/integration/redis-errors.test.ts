import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { StoreErrorKind } from '@tidemark/shared/store/ports/errors'
import { mapErrors } from '@tidemark/shared/store/redis/errors'
import { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'

/** Connects a client to a server that sends `respond(...)` for whatever it receives. */
async function errorFrom(respond: (socket: Socket) => void): Promise<unknown> {
  await using server = createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', () => respond(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = new Redis({
    port,
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    protocol: 2,
    maxRetriesPerRequest: 0,
    commandTimeout: 200,
    retryStrategy: () => null,
  })
  client.on('error', () => {})
  await client.connect()
  try {
    return await mapErrors(() => client.get('k')).catch((error: unknown) => error)
  } finally {
    client.disconnect()
  }
}

describe('what ioredis rejects with is recognised', () => {
  test.each<[string, StoreErrorKind, (socket: Socket) => void]>([
    ['an error reply', 'refused', socket => socket.write('-LOADING Redis is loading\r\n')],
    ['an unreadable reply', 'unknown', socket => socket.write('garbage\r\n')],
    ['a connection that is reset', 'unknown', socket => socket.resetAndDestroy()],
    ['a connection that ends', 'unknown', socket => socket.end()],
    ['no reply', 'unknown', () => {}],
  ])('%s', async (_, kind, respond) => {
    expect(await errorFrom(respond)).toMatchObject({ name: 'StoreError', kind })
  })
})
