import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Sample } from '@tidemark/shared/sample/sample'
import { keysUnder } from '@tidemark/shared/store/keys'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { eventually } from '@tidemark/testkit/eventually'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { Random } from '@tidemark/testkit/random'
import { redisAvailable, redisClusterAvailable, startRedis, startRedisCluster } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { ROOT } from '@tidemark/tools/lib/project'
import { Client } from '@tidemark/tools/stack/client'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { startReceiver } from './support/receiver.ts'

const KEYS = 300
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const names = Array.from({ length: KEYS }, (_, i) => `edge-${i % 30}/metric ${i} {é}`)
const ALARMED = names.slice(0, 4)

/** Samples of all keys, in the order of each key. */
class Source {
  readonly stored = new Map<string, Sample[]>()
  readonly #random = new Random(7)

  round(alarm = false): Sample[] {
    return names.map(key => {
      const known = this.stored.get(key) ?? []
      const value = alarm && ALARMED.includes(key) ? 500 : Math.round(20_000 + 1000 * this.#random.uniform()) / 1000
      const sample = { key, value, timestamp: 1_700_000_000_000 + 1000 * known.length }
      this.stored.set(key, [...known, sample])
      return sample
    })
  }
}

type Settings = Readonly<Record<string, string>>

/** Runs a gateway and an analyzer as long as `use` does. */
async function withServices<T>(env: Settings, use: (client: Client) => Promise<T>): Promise<T> {
  await using gateway = await startGateway(env)
  await using _analyzer = await startAnalyzer({ ...env, ANALYZER_ID: 'one' })
  return await use(new Client(gateway.port))
}

async function send(client: Client, rounds: readonly Sample[][]): Promise<string[]> {
  const receipts: string[] = []
  for (const round of rounds) receipts.push(...(await client.ingest(round)).receipts)
  return receipts
}

async function expectVerdicts(client: Client, source: Source): Promise<void> {
  for (const [key, samples] of source.stored) {
    const expected = oracleAnalysis(key, samples, VERDICT_DEFAULTS)
    await eventually(async () => expect(await client.analysis(key)).toMatchObject(expected))
  }
}

/** What users see, without what names a partition. */
async function seen(client: Client) {
  const json = async (path: string) => JSON.parse((await (await client.get(path)).text()).replaceAll(/"\d+[-:]/g, '"P'))
  const { rules } = (await json('/rules')) as { rules: unknown }
  // The overview is of a moment before, in which an alert may still have fired.
  const { alerts, keys } = await eventually(async () => {
    const { alerts } = (await json('/alerts?limit=200')) as { alerts: { key: string }[] }
    const { keys } = (await json('/overview')) as { keys: { total: number; alerting: number } }
    expect(keys.alerting).toBe(alerts.length)
    return { alerts, keys: keys.total }
  })
  const { anomalies } = (await json('/anomalies?limit=500')) as { anomalies: { key: string; timestamp: number }[] }
  const order = (a: { key: string }, b: { key: string }): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)
  return { alerts: alerts.toSorted(order), rules, keys, anomalies: anomalies.toSorted(order) }
}

interface Ended {
  readonly code: number | null
  readonly output: string
}

/** Runs the command; kills it after a time, or lets it end. */
async function command(env: Settings, partitions: number, killAfterMs?: number): Promise<Ended> {
  const main = join(ROOT, 'tools', 'repartition', 'main.ts')
  const child = spawn(process.execPath, [main, '--partitions', String(partitions)], {
    env: { PATH: process.env.PATH, ...env },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', text => (output += text))
  const closed = once(child, 'close')
  if (killAfterMs !== undefined) {
    await Promise.race([closed, pause(killAfterMs)])
    child.kill('SIGKILL')
  }
  await closed
  return { code: child.exitCode, output }
}

/** All of Redis, by the name and type of each key. */
async function keyNames(url: string): Promise<string[]> {
  const client = rawClient(url)
  const nodes = 'nodes' in client ? client.nodes('master') : [client]
  const found = (await Promise.all(nodes.map(node => node.keys('*')))).flat()
  client.disconnect()
  return found
}

/** Alerts end after so long a calm. */
async function putRule(client: Client, resolveAfter: string): Promise<void> {
  const rule = { pattern: '*', alert: { resolve_after: resolveAfter, close_after: 2 } }
  const body = JSON.stringify({ rule, who: 'ada', why: 'test' })
  const headers = { 'Content-Type': 'application/json' }
  expect((await client.request('PUT', '/rules/all', { body, headers })).ok).toBe(true)
}

async function story(url: string, isCluster: boolean): Promise<void> {
  await using receiver = await startReceiver()
  const common = { REDIS_URL: url, REDIS_CLUSTER: String(isCluster), LOG_LEVEL: 'info' }
  const analyzing = {
    ALERT_WAIT_MS: '0',
    WEBHOOK_URLS: `${receiver.url}/`,
    WEBHOOK_SECRET: SECRET,
    LEASE_TTL_MS: '1500',
    HEARTBEAT_MS: '100',
  }
  const env = (partitions: number) => ({ ...common, ...analyzing, PARTITIONS: String(partitions) })
  const source = new Source()
  const [first, ...rest] = [4, 7, 3, 4]

  let before = await withServices(env(first ?? 4), async client => {
    await putRule(client, '1h')
    await send(
      client,
      Array.from({ length: 60 }, () => source.round()),
    )
    await send(
      client,
      Array.from({ length: 4 }, () => source.round(true)),
    )
    await expectVerdicts(client, source)
    const alert = await eventually(async () => {
      const { alerts } = await client.alerts({ state: 'firing' })
      expect(alerts.map(({ key }) => key).toSorted()).toEqual(ALARMED.toSorted())
      return alerts[0]
    })
    // What the receiver took is part of what is compared.
    await eventually(async () => {
      const { alerts } = JSON.parse(await (await client.get('/alerts')).text()) as {
        alerts: { receivers: unknown[] }[]
      }
      expect(alerts.every(({ receivers }) => receivers.length > 0)).toBe(true)
    })
    await client.acknowledge(alert?.id ?? '', { who: 'ada', why: 'known' })
    return await seen(client)
  })
  expect(await command(env(first ?? 4), 9)).toMatchObject({ code: 0 })
  expect(await command(env(9), first ?? 4)).toMatchObject({ code: 0 })

  let receipts: string[] = []
  for (const [i, partitions] of rest.entries()) {
    const { PARTITIONS: _, ...settings } = env(partitions)
    // It is killed while it starts, copies or replaces, and repeated.
    for (const killAfterMs of [500, 700, 900, 1100]) await command(settings, partitions, killAfterMs)
    const { code, output } = await command(settings, partitions)
    expect([code, output]).toEqual([expect.toBeOneOf([0, 1]), expect.stringMatching(`partitions (are now|already)`)])
    expect((await keyNames(url)).filter(name => name.includes(':next:'))).toEqual([])
    before = await withServices(env(partitions), async client => {
      const now = await seen(client)
      expect(now).toEqual(before)
      await expectVerdicts(client, source)
      for (const receipt of receipts.slice(0, 20)) {
        const response = await client.get(`/analyze?after=${receipt}&wait=0`)
        expect([200, 400, 404]).toContain(response.status)
      }
      if (i === rest.length - 1) await putRule(client, '1s')
      receipts = await send(
        client,
        Array.from({ length: 3 }, () => source.round()),
      )
      await expectVerdicts(client, source)
      // The calm ends alerts of other partitions, under the ids that they have now.
      if (i === rest.length - 1) {
        await eventually(async () => {
          await send(client, [source.round()])
          expect((await client.alerts({ state: 'firing' })).alerts).toEqual([])
        })
      }
      expect(receipts.every(receipt => Number(receipt.split(':')[0]) < partitions)).toBe(true)
      for (const key of names.slice(0, 20)) {
        const { id } = (await client.analysis(key)) as unknown as { id: string }
        expect(Number(id.split(':')[0])).toBe(partitionOf(key, partitions))
      }
      if (i === rest.length - 1) {
        const { alerts } = await client.alerts({ state: 'resolved' })
        expect(alerts.map(({ key }) => key).toSorted()).toEqual(ALARMED.toSorted())
      }
      return await seen(client)
    })
  }
  const meta = rawClient(url)
  expect(await meta.hgetall(keysUnder('tm').meta)).toEqual({ format: '2', partitions: '4' })
  meta.disconnect()
}

describe.runIf(await redisAvailable())('npm run repartition', () => {
  test('forth and back, killed again and again: nothing is lost, and verdicts continue bit for bit', async () => {
    await using redis = await startRedis()
    await story(redis.url, false)
  })
})

describe.runIf(await redisClusterAvailable())('npm run repartition in a cluster', () => {
  test('forth and back, killed again and again: nothing is lost, and verdicts continue bit for bit', async () => {
    await using redis = await startRedisCluster()
    await story(redis.url, true)
  })
})
