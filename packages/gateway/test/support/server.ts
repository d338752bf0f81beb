import { once } from 'node:events'
import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { readConfig } from '@tidemark/shared/runtime/config'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import type { Store } from '@tidemark/shared/store/ports/store'
import { type Logger, pino } from 'pino'
import { Registry } from 'prom-client'
import { afterEach } from 'vitest'
import { gatewaySchema } from '../../src/config.ts'
import { type Gateway, startGateway } from '../../src/gateway.ts'

const resources = new Set<AsyncDisposable>()

afterEach(async () => {
  for (const resource of resources) await resource[Symbol.asyncDispose]()
  resources.clear()
})

/** Starts a gateway that the end of the test stops. Empty settings count as unset. */
export async function start(
  settings: Readonly<Record<string, string>> = {},
  openStore: (signal: AbortSignal) => Promise<Store | undefined> = async () => createMemoryStore(),
  log: Logger = pino({ level: 'silent' }),
): Promise<Gateway> {
  const gateway = await startGateway({
    config: readConfig(gatewaySchema, { HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0', ...settings }),
    openStore,
    log,
    registry: new Registry(),
  })
  resources.add(gateway)
  return gateway
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Sends a request and returns its response. */
export function send(
  port: number,
  path: string,
  { method = 'GET', body = '', agent = new Agent() } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method, agent }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }))
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

export const post = (port: number, body: string, agent = new Agent()): Promise<Answer> =>
  send(port, '/ingest', { method: 'POST', body, agent })

/** Opens a connection, writes, and returns what it received until the server closed it. */
export async function converse(port: number, write: (socket: Socket) => unknown): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.setEncoding('utf8')
  socket.on('data', chunk => {
    text += chunk
  })
  // The server may also reset the connection.
  socket.on('error', () => {})
  const closed = new Promise(resolve => socket.on('close', resolve))
  await once(socket, 'connect')
  write(socket)
  await closed
  return text
}
