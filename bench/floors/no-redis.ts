import { readConfig } from '@tidemark/shared/config'
import { createLogger } from '@tidemark/shared/logger'
import { createMemoryStore } from '@tidemark/shared/store/memory'
import type { AppendOutcome, Store } from '@tidemark/shared/store/ports'
import { Registry } from 'prom-client'
import { configSchema } from '../../packages/gateway/src/config.ts'
import { startGateway } from '../../packages/gateway/src/gateway.ts'

/** The gateway itself over a store that takes everything and keeps nothing: what is left is HTTP, formats and packing. */
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
process.stdout.write(`${JSON.stringify({ port: gateway.port })}\n`)
