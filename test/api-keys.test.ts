import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { runService, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'

const run = promisify(execFile)
const PROGRAM = fileURLToPath(new URL('../tools/keys/main.ts', import.meta.url))

/** Runs `npm run keys`; returns what it wrote to stdout. */
async function keys(args: readonly string[], token?: string): Promise<string> {
  const env = { PATH: process.env.PATH, ...(token !== undefined && { TIDEMARK_API_KEY: token }) }
  return (await run(process.execPath, [PROGRAM, ...args], { env })).stdout.trim()
}

async function statusOf(port: number, token?: string): Promise<number> {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` }
  const response = await fetch(`http://127.0.0.1:${port}/rules`, { headers })
  await response.arrayBuffer()
  return response.status
}

describe.skipIf(!(await redisAvailable()))('API keys', () => {
  test('a deployment gets its first from a file, others from the command, and each gateway knows them', async () => {
    await using stack = new AsyncDisposableStack()
    const { url } = stack.use(await startRedis())
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-keys-'))
    stack.defer(() => rm(folder, { recursive: true }))
    const file = join(folder, 'keys.json')
    const admin = await keys(['create', '--name', 'admin', '--scopes', 'admin,read', '--file', file])
    const env = { REDIS_URL: url, HOST: '0.0.0.0', API_KEYS_FILE: file }
    const one = stack.use(await startGateway(env))
    const other = stack.use(await startGateway(env))
    expect([await statusOf(one.port), await statusOf(one.port, admin)]).toEqual([401, 200])

    const at = (port: number): string[] => ['--url', `http://127.0.0.1:${port}`]
    const device = await keys(['create', '--name', 'edge', '--scopes', 'read', ...at(one.port)], admin)
    await eventually(async () => expect(await statusOf(other.port, device)).toBe(200))
    const [, id = ''] = device.split('_')
    expect(await keys(['list', ...at(other.port)], admin)).toContain(id)
    await expect(keys(['list', ...at(other.port)], device)).rejects.toThrow('403')
    await expect(keys(['list', ...at(other.port)], `${device.slice(0, -1)}-`)).rejects.toThrow('begin with tmk_')
    await expect(keys(['list', ...at(other.port)])).rejects.toThrow('401')

    await keys(['revoke', id, ...at(other.port)], admin)
    expect(await statusOf(other.port, device)).toBe(401)
    await eventually(async () => expect(await statusOf(one.port, device)).toBe(401))

    await keys(['revoke', admin.split('_')[1] ?? '', '--file', file])
    await eventually(async () => expect(await statusOf(one.port, admin)).toBe(401))
    expect(await statusOf(one.port)).toBe(401)
  })

  test('a gateway that others can reach ends without any, with a sentence', async () => {
    await using redis = await startRedis()
    const { child, ready } = runService('gateway', 'the gateway', {
      REDIS_URL: redis.url,
      HOST: '0.0.0.0',
      PORT: '0',
      METRICS_PORT: '0',
    })
    ready.catch(() => undefined)
    expect((await child.exited).code).toBe(1)
    expect(child.lines.join('\n')).toContain('HOST is 0.0.0.0 and there is no API key: create one with')
  })
})
