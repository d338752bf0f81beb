import { configSchema } from '@tidemark/gateway/config'
import { startGateway } from '@tidemark/gateway/gateway'
import { readConfig } from '@tidemark/shared/runtime/config'
import { createLogger } from '@tidemark/shared/runtime/logger'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import type { AppendOutcome } from '@tidemark/shared/store/ports/gateway'
import type { Store } from '@tidemark/shared/store/ports/store'
import { Registry } from 'prom-client'

/** The gateway with a store that keeps nothing: measures HTTP, formats and packing. */
const memory = createMemoryStore({ partitions: 16 })
let next = 0
const append = async (batches: readonly unknown[]): Promise<AppendOutcome[]> =>
  batches.map(() => ({ kind: 'stored', id: `1700000000000-${next++}` }))
const store: Store = { ...memory, gateway: { ...memory.gateway, append } }

const config = readConfig(configSchema, { HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0', REDIS_URL: 'redis://none' })
const gateway = await startGateway({
  config,
  openStore: async () => store,
  log: createLogger('bench', 'error'),
  registry: new Registry(),
})
process.stdout.write(`${JSON.stringify({ port: gateway.port, pid: process.pid })}\n`)
