import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { open, readFile, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Sample } from '@tidemark/shared/sample/sample'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { eventually } from '@tidemark/testkit/eventually'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { Random } from '@tidemark/testkit/random'
import { type RedisFixture, redisClusterAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { freePort } from '@tidemark/testkit/redis-process'
import { findProgram } from '@tidemark/tools/lib/packages'
import { ROOT, temporaryFolder } from '@tidemark/tools/lib/project'
import { Client } from '@tidemark/tools/stack/client'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { aofFile } from './chaos/append-only-file.ts'
import { readPartitionStates } from './chaos/partition-state.ts'
import { keys, PREFIX } from './chaos/redis-client.ts'

const PARTITIONS = 4
const KEYS = 12
const SETTINGS = { REDIS_PREFIX: PREFIX, PARTITIONS: String(PARTITIONS), LOG_LEVEL: 'info' }
const run = promisify(execFile)

const guide = await readFile(join(ROOT, 'docs', 'backup.md'), 'utf8')
const hasPrograms = ['redis-server', 'redis-cli', 'redis-check-aof', 'redis-check-rdb'].every(
  name => findProgram(name) !== undefined,
)
if (!hasPrograms) process.stderr.write('SKIPPED: docs/backup.md needs redis-server, redis-cli and redis-check-aof\n')

/** The commands of each indented block of a section, but for those of Kubernetes. */
function commandsOf(section: string): string[] {
  const text = guide.split(/^## /m).find(one => one.startsWith(`${section}\n`))
  if (text === undefined) throw new Error(`docs/backup.md has no section "${section}"`)
  const blocks = text.match(/(?:^ {4}.*\n)+/gm) ?? []
  return blocks.map(block => block.trim()).filter(block => block !== '' && !block.startsWith('kubectl'))
}

type Variables = Readonly<Record<'REDIS_URL' | 'PORT' | 'DATA' | 'BACKUP' | 'REPLICA_PORT', string>>

/** Runs the blocks of a section as a shell would; with a number only that block. */
async function follow(section: string, variables: Variables, only?: number): Promise<string> {
  const blocks = commandsOf(section)
  const chosen = only === undefined ? blocks : blocks.slice(only, only + 1)
  if (chosen.length === 0) throw new Error(`the section "${section}" has no commands`)
  let output = ''
  for (const block of chosen) {
    const env = { PATH: process.env.PATH, ...variables }
    const { stdout, stderr } = await run('sh', ['-eu', '-c', block], { env, timeout: 60_000 })
    output += stdout + stderr
  }
  return output
}

async function begin(stack: AsyncDisposableStack) {
  const redis = stack.use(await startRedis({ which: 'redis-server' }))
  const folder = stack.use(await temporaryFolder('backup'))
  const client = rawClient(redis.url)
  const [, data = ''] = (await client.config('GET', 'dir')) as string[]
  client.disconnect()
  const variables: Variables = {
    REDIS_URL: redis.url,
    PORT: String(redis.port),
    DATA: data,
    BACKUP: folder.path,
    REPLICA_PORT: String(await freePort()),
  }
  return { redis, variables }
}

const random = new Random(18)
const stored = new Map<string, Sample[]>()
const nextRound = (): Sample[] =>
  Array.from({ length: KEYS }, (_, i) => {
    const key = `edge-${i}/rps`
    const timestamp = 1_700_000_000_000 + 1000 * (stored.get(key)?.length ?? 0)
    const sample = { key, timestamp, value: random.uniform() < 0.03 ? 90 : 20 + random.uniform() }
    stored.set(key, [...(stored.get(key) ?? []), sample])
    return sample
  })

/** Starts services on a Redis, sends rounds of samples, and compares every key with the oracle. */
async function work(url: string, rounds: readonly (readonly Sample[])[], meanwhile?: () => Promise<unknown>) {
  const env = { ...SETTINGS, REDIS_URL: url }
  await using gateway = await startGateway(env)
  await using _analyzer = await startAnalyzer(env)
  const client = new Client(gateway.port)
  await sendAll(client, rounds)
  await expectVerdicts(client)
  await meanwhile?.()
  const { status } = await client.get('/rules/kept')
  return { hasRule: status === 200 }
}

async function sendAll(client: Client, rounds: readonly (readonly Sample[])[]): Promise<void> {
  for (const round of rounds) expect((await client.ingest(round)).accepted).toBe(round.length)
}

async function expectVerdicts(client: Client): Promise<void> {
  for (const [key, samples] of stored) {
    const expected = oracleAnalysis(key, samples, VERDICT_DEFAULTS)
    await eventually(async () => expect(await client.analysis(key)).toMatchObject(expected))
  }
}

function rounds(count: number): Sample[][] {
  return Array.from({ length: count }, nextRound)
}

async function putRule(url: string): Promise<void> {
  await using gateway = await startGateway({ ...SETTINGS, REDIS_URL: url })
  const body = JSON.stringify({ rule: { pattern: 'none/*' }, who: 'ada', why: 'test' })
  const client = new Client(gateway.port)
  const headers = { 'Content-Type': 'application/json' }
  expect((await client.request('PUT', '/rules/kept', { body, headers })).status).toBe(201)
}

/** The file of an append-only file that Redis writes at the end. */
async function newestFile(redis: RedisFixture): Promise<string> {
  const client = rawClient(redis.url)
  const file = await aofFile(client)
  client.disconnect()
  return file
}

describe.runIf(hasPrograms && (await redisClusterAvailable()))('the procedures of docs/backup.md', () => {
  test.each([
    ['an RDB file', 'Back up to an RDB file', 'Restore an RDB file'],
    ['the append-only file', 'Back up the append-only file', 'Restore the append-only file'],
  ])('with %s: the restored verdicts continue bit for bit', async (_, backUp, restore) => {
    stored.clear()
    await using stack = new AsyncDisposableStack()
    const { redis, variables } = await begin(stack)
    await putRule(redis.url)
    await work(redis.url, rounds(40), () => follow(backUp, variables))
    const since = rounds(25)
    await work(redis.url, since)
    const before = await totals(redis)

    await redis.kill()
    await rm(join(variables.DATA, 'appendonlydir'), { recursive: true })
    await follow(restore, variables)
    await redis.start()
    expect(await totals(redis)).toEqual({ accepted: 40 * KEYS, offset: 40 * KEYS })
    // What came after the backup is sent again from its source.
    expect(await work(redis.url, since)).toEqual({ hasRule: true })
    expect(await totals(redis)).toEqual(before)
    // A restart loads what the restored Redis has written itself.
    await redis.stop()
    await redis.start()
    expect(await work(redis.url, rounds(2))).toEqual({ hasRule: true })
  })

  test('with a replica: it takes over, and nothing is missing', async () => {
    stored.clear()
    await using stack = new AsyncDisposableStack()
    const { redis, variables } = await begin(stack)
    const section = 'Keep a replica, and let it take over'
    await work(redis.url, rounds(35))
    const url = `redis://127.0.0.1:${variables.REPLICA_PORT}`
    stack.defer(async () => void (await run('redis-cli', ['-u', url, 'SHUTDOWN', 'NOSAVE']).catch(() => {})))
    await follow(section, variables, 0)
    await work(redis.url, rounds(10))
    const before = await totals(redis)
    const primary = rawClient(redis.url)
    await primary.wait(1, 10_000)
    primary.disconnect()
    await redis.kill()
    await follow(section, variables, 1)
    expect(await totals({ url })).toEqual(before)
    await work(url, rounds(5))
  })

  test('a file that ends inside a transaction: repaired before the start, it brings nothing back later', async () => {
    stored.clear()
    await using stack = new AsyncDisposableStack()
    const { redis, variables } = await begin(stack)
    await work(redis.url, rounds(30))
    const file = await newestFile(redis)
    await redis.kill()
    // The last transaction that stores samples ends before it counts them.
    await truncate(file, (await readFile(file)).lastIndexOf(':accepted\r\n'))
    await follow('A damaged append-only file', variables)
    await redis.start()
    stored.clear()
    const before = await totals(redis)
    await work(redis.url, [[{ key: 'new', value: 1, timestamp: 1_700_000_000_000 }]], () =>
      eventually(async () => {
        const accepted = before.accepted + 1
        expect(await totals(redis)).toEqual({ accepted, offset: accepted })
      }),
    )
    const after = await entries(redis)
    await redis.stop()
    await redis.start()
    expect(await entries(redis)).toEqual(after)
  })

  test('bytes in the middle: Redis starts after the repair, with what was before the damage', async () => {
    stored.clear()
    await using stack = new AsyncDisposableStack()
    const { redis, variables } = await begin(stack)
    await work(redis.url, rounds(40))
    const { accepted } = await totals(redis)
    const file = await newestFile(redis)
    await redis.kill()
    const content = await readFile(file)
    const handle = await open(file, 'r+')
    await handle.write('damaged', content.indexOf('\r\n*', content.length / 2))
    await handle.close()
    expect(await follow('A damaged append-only file', variables)).toContain('Successfully truncated AOF')
    await redis.start()
    const left = await totals(redis)
    expect(left.accepted).toBeGreaterThan(0)
    expect(left.accepted).toBeLessThan(accepted)
    const states = await statesOf(redis)
    expect(states).toHaveLength(PARTITIONS)
  })
})

describe.runIf(await canMount())('a full disk', () => {
  test('refuses samples with 503, loses none that was accepted, and ends when there is room', async () => {
    await using stack = new AsyncDisposableStack()
    const folder = stack.use(await temporaryFolder('full'))
    await mount('size=8m', folder.path)
    stack.defer(async () => void (await run('umount', ['-l', folder.path])))
    const redis = stack.use(await startRedis({ which: 'redis-server', args: ['--dir', folder.path] }))
    const env = { ...SETTINGS, REDIS_URL: redis.url }
    await using gateway = await startGateway(env)
    await using _analyzer = await startAnalyzer(env)
    const client = new Client(gateway.port)
    let accepted = 0
    let refused: Response | undefined
    while (refused === undefined) {
      const body = Array.from({ length: 300 }, (_, i) => ({ key: `k${i % 40}`, value: accepted + i }))
      const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': randomUUID() }
      const response = await client.request('POST', '/ingest', { body: JSON.stringify(body), headers })
      const result = (await response.json()) as { accepted?: number }
      accepted += result.accepted ?? 0
      if (response.status !== 202) refused = response
    }
    expect(refused.status).toBe(503)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    await eventually(async () => expect((await client.get('/readyz')).status).toBe(503))

    await mount('remount,size=64m', folder.path)
    await eventually(async () => {
      await client.ingest({ key: 'k1', value: 1 })
      accepted++
    })
    await eventually(async () => expect(await totals(redis)).toEqual({ accepted, offset: accepted }))
    await redis.kill()
    await redis.start()
    expect(await totals(redis)).toEqual({ accepted, offset: accepted })
  })
})

async function mount(options: string, path: string): Promise<void> {
  await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path])
}

/** Whether a small file system can be mounted: only for root, and not in every container. */
async function canMount(): Promise<boolean> {
  if (!hasPrograms) return false
  await using folder = await temporaryFolder('mount')
  try {
    await mount('size=1m', folder.path)
    await run('umount', [folder.path])
    return true
  } catch {
    process.stderr.write('SKIPPED: a full disk needs the right to mount a file system\n')
    return false
  }
}

async function statesOf({ url }: { readonly url: string }) {
  const client = rawClient(url)
  try {
    return await readPartitionStates(client, PARTITIONS)
  } finally {
    client.disconnect()
  }
}

/** The ids of all entries, applied ones too. */
async function entries({ url }: { readonly url: string }): Promise<string[]> {
  const client = rawClient(url)
  const streams = Array.from({ length: PARTITIONS }, (_, i) => client.xrange(keys.partition(i).samples, '-', '+'))
  const ids = (await Promise.all(streams)).flatMap((stream, i) => stream.map(([id]) => `${i}:${id}`))
  client.disconnect()
  return ids
}

async function totals(redis: { readonly url: string }): Promise<{ accepted: number; offset: number }> {
  const states = await statesOf(redis)
  return {
    accepted: states.reduce((sum, { accepted }) => sum + accepted, 0),
    offset: states.reduce((sum, { offset }) => sum + offset, 0),
  }
}
