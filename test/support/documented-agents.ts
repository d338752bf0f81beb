import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createApiKey } from '@tidemark/shared/access/api-key'
import { formatKeyFile } from '@tidemark/shared/access/key-file'
import { startRedis } from '@tidemark/testkit/redis-fixture'
import { freePort } from '@tidemark/testkit/redis-process'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { expect } from 'vitest'

const PAGE = fileURLToPath(new URL('../../docs/agents.md', import.meta.url))

/** Returns the first block of code under a heading of docs/agents.md, without its indentation. */
async function blockUnder(heading: string): Promise<string> {
  const lines = (await readFile(PAGE, 'utf8')).split('\n')
  const begin = lines.indexOf(heading)
  const first = lines.findIndex((line, i) => i > begin && line.startsWith('    '))
  const end = lines.findIndex((line, i) => i > first && line !== '' && !line.startsWith('    '))
  expect([heading, begin >= 0, first > begin]).toEqual([heading, true, true])
  return lines
    .slice(first, end)
    .map(line => line.slice(4))
    .join('\n')
}

/** A gateway that needs an API key, and what configurations say of both in the document. */
export async function startTidemark(stack: AsyncDisposableStack) {
  const { url: REDIS_URL } = stack.use(await startRedis())
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-agents-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const fields = { key_prefix: '', limits: {}, expires_at: null, created_at: 1_700_000_000_000, created_by: 'a test' }
  const writer = createApiKey({ ...fields, name: 'agent', scopes: ['ingest'] })
  const reader = createApiKey({ ...fields, name: 'reader', scopes: ['read'] })
  const API_KEYS_FILE = join(folder, 'keys.json')
  await writeFile(API_KEYS_FILE, formatKeyFile([writer.record, reader.record]))
  const port = await freePort()
  const start = () => startGateway({ REDIS_URL, API_KEYS_FILE, PORT: String(port) })
  let gateway = await start()
  stack.defer(() => gateway[Symbol.asyncDispose]())
  stack.use(await startAnalyzer({ REDIS_URL }))
  const headers = { Authorization: `Bearer ${reader.token}` }
  return {
    folder,
    url: `http://127.0.0.1:${port}`,
    apiKey: writer.token,
    async stopGateway() {
      await gateway[Symbol.asyncDispose]()
    },
    async startGateway() {
      gateway = await start()
    },
    /** The block under a heading, with the address and the API key of this gateway. */
    configuration: async (heading: string) =>
      (await blockUnder(heading))
        .replaceAll('http://tidemark:8080', `http://127.0.0.1:${port}`)
        .replaceAll('tmk_...', writer.token),
    async historyOf(key: string) {
      const response = await fetch(`http://127.0.0.1:${port}/history?key=${encodeURIComponent(key)}`, { headers })
      expect([key, response.status]).toEqual([key, 200])
      return (await response.json()) as { count: number; values: number[]; timestamps: number[] }
    },
    async keys() {
      const response = await fetch(`http://127.0.0.1:${port}/analyze?limit=1000`, { headers })
      return ((await response.json()) as { analyses: { key: string }[] }).analyses.map(({ key }) => key)
    },
  }
}
