import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from '../stack/client.ts'
import { Containers } from './containers.ts'
import type { CheckContext, Report } from './report.ts'
import { imageOf } from './service-images.ts'

const USER = '1000:1000'
/** A user that no image knows: some clusters give every deployment its own user. */
const OTHER_USER = '54321:0'

const REDIS_URL = 'redis://redis:6379'
// Not /data: a tmpfs over a folder of the image gets the owner of that folder, which may be root.
const DATA = '/redis'
const REDIS_COMMAND = ['redis-server', '--protected-mode', 'no', '--dir', DATA, '--appendonly', 'yes'] as const

const READY_LIMIT_MS = 20_000
const HEALTHY_LIMIT_MS = 40_000
const VERDICTS_LIMIT_MS = 20_000
/** A service that stops hands off its partitions and waits for nothing else. */
const STOP_LIMIT_MS = 5_000
const POLL_MS = 50

const KEYS = 200
const SAMPLES_PER_KEY = 60

/** Runs the pipeline in containers without privileges and sends samples to it from outside. */
export async function runPipeline({ docker, redisImage, report }: CheckContext): Promise<void> {
  await using containers = await Containers.inNetwork(docker, `tidemark-images-${process.pid}`)
  try {
    await checkPipeline(containers, redisImage, report)
  } catch (error) {
    throw new Error(await containers.logs(), { cause: error })
  }
}

async function checkPipeline(containers: Containers, redisImage: string, report: Report): Promise<void> {
  const start = () => startAll(containers, redisImage)
  const port = await report.step('the pipeline starts in containers', start, () => 'redis, gateway, 2 analyzers')
  const client = new Client(port)
  await report.step('a sample gets its verdict', () => checkVerdict(client))
  await report.step('/docs is complete', () => checkDocs(client))
  for (const name of ['gateway', 'analyzer-1']) {
    await report.step(`${name} is confined`, () => checkConfinement(containers, name))
  }
  await report.step('an analyzer stops under load', () => checkStop(containers, client))
  await report.step('any other user works too', () => checkOtherUser(containers, client))
  await report.step("the images' health checks succeed", async () => {
    for (const name of ['gateway', 'analyzer-3']) {
      await within(HEALTHY_LIMIT_MS, () => containers.checkHealth(name))
    }
    return 'gateway and analyzer healthy'
  })
  await report.step('the gateway stops', () => containers.stop('gateway', STOP_LIMIT_MS))
  await report.step('mqtt names the setting that it lacks', async () => {
    const output = await containers.failing({ image: imageOf('mqtt'), name: 'mqtt', user: USER })
    assert.match(output, /MQTT_URL/)
    return 'MQTT_URL'
  })
}

/** Starts everything; returns the port of the gateway on this computer. */
async function startAll(containers: Containers, redisImage: string): Promise<number> {
  const data = ['--tmpfs', `${DATA}:mode=1777`]
  await containers.start({ image: redisImage, name: 'redis', user: USER, options: data, command: REDIS_COMMAND })
  await startService(containers, 'gateway', USER, ['--publish', '127.0.0.1::8080'])
  for (const name of ['analyzer-1', 'analyzer-2']) await startService(containers, name, USER)
  const port = await containers.port('gateway', 8080)
  await within(READY_LIMIT_MS, async () => {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`)
    assert.equal(response.status, 200, `GET /readyz: ${response.status} ${await response.text()}`)
  })
  return port
}

function startService(containers: Containers, name: string, user: string, options: readonly string[] = []) {
  const service = name === 'gateway' ? 'gateway' : 'analyzer'
  // The port is published on loopback only.
  const env = service === 'gateway' ? { REDIS_URL, AUTH: 'off' } : { REDIS_URL }
  return containers.start({ image: imageOf(service), name, user, env, options })
}

async function checkVerdict(client: Client): Promise<string> {
  const usual = Array.from({ length: 50 }, (_, i) => ({ key: 'edge-1/temperature', value: 20 + (i % 5) }))
  await client.ingest(usual)
  const { receipts } = await client.ingest({ key: 'edge-1/temperature', value: 90 })
  const begin = performance.now()
  const { id, count, state, z } = await client.analysis('edge-1/temperature', receipts[0])
  const waitedMs = performance.now() - begin
  assert.deepEqual({ id, count, state }, { id: receipts[0], count: 51, state: 'anomalous' })
  return `${state}, z ${z?.toFixed(1)}, by receipt in ${waitedMs.toFixed(0)} ms`
}

async function checkDocs(client: Client): Promise<string> {
  const sizes: number[] = []
  for (const path of ['/docs', '/docs/swagger-ui.css', '/docs/swagger-ui-bundle.js', '/openapi.json']) {
    const response = await client.get(path)
    assert.equal(response.status, 200, `GET ${path}`)
    sizes.push((await response.arrayBuffer()).byteLength)
  }
  return `${sizes.length} files, ${(sizes.reduce((sum, size) => sum + size, 0) / 1e6).toFixed(1)} MB`
}

/** Prints the identity and the privileges of a process in the container, as JSON. */
const PROBE = `
const { readFileSync, writeFileSync } = require('node:fs')
const status = readFileSync('/proc/self/status', 'utf8')
const field = name => new RegExp('^' + name + ':\\\\s*(\\\\S+)', 'm').exec(status)[1]
const write = path => { try { writeFileSync(path, ''); return 'written' } catch (error) { return error.code } }
const root = readFileSync('/proc/mounts', 'utf8').split('\\n').map(line => line.split(' ')).find(([, at]) => at === '/')
console.log(JSON.stringify({
  uid: process.getuid(), capabilities: field('CapEff'), noNewPrivileges: field('NoNewPrivs'),
  root: root[3].split(',')[0], writes: ['/probe', '/app/probe'].map(write),
}))`

async function checkConfinement(containers: Containers, name: string): Promise<string> {
  const found: unknown = JSON.parse(await containers.evaluate(name, PROBE))
  const { uid, capabilities, noNewPrivileges, root, writes } = found as Record<string, unknown> & { writes: string[] }
  assert.notEqual(uid, 0)
  assert.match(String(capabilities), /^0+$/)
  assert.equal(noNewPrivileges, '1')
  assert.equal(root, 'ro')
  for (const outcome of writes) assert.match(outcome, /^(EROFS|EACCES)$/)
  return `uid ${uid}, no capabilities, writing: ${[...new Set(writes)].join(', ')}`
}

/** Stops an analyzer while samples arrive: the other one must lose and repeat none. */
async function checkStop(containers: Containers, client: Client): Promise<string> {
  const posting = postAll(client, 'stop')
  const stopped = await containers.stop('analyzer-1', STOP_LIMIT_MS)
  await posting
  await allAnalysed(client, 'stop')
  return `${stopped}, ${KEYS * SAMPLES_PER_KEY} of ${KEYS * SAMPLES_PER_KEY} analysed`
}

async function checkOtherUser(containers: Containers, client: Client): Promise<string> {
  await startService(containers, 'analyzer-3', OTHER_USER)
  const stopped = await containers.stop('analyzer-2', STOP_LIMIT_MS)
  await postAll(client, 'other')
  await allAnalysed(client, 'other')
  assert.equal(await containers.evaluate('analyzer-3', 'console.log(process.getuid())'), OTHER_USER.split(':')[0])
  return `uid ${OTHER_USER.split(':')[0]} alone; before it ${stopped}`
}

async function postAll(client: Client, prefix: string): Promise<void> {
  for (let n = 0; n < SAMPLES_PER_KEY; n += 10) {
    const samples = keysOf(prefix).flatMap(key => Array.from({ length: 10 }, (_, i) => ({ key, value: (n + i) % 7 })))
    const { accepted } = await client.ingest(samples)
    assert.equal(accepted, samples.length)
  }
}

async function allAnalysed(client: Client, prefix: string): Promise<void> {
  for (const key of keysOf(prefix)) {
    await within(VERDICTS_LIMIT_MS, async () => {
      assert.equal((await client.analysis(key)).count, SAMPLES_PER_KEY, `samples of ${key} that were analysed`)
    })
  }
}

function keysOf(prefix: string): string[] {
  return Array.from({ length: KEYS }, (_, i) => `${prefix}/${i}`)
}

async function within(limitMs: number, holds: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + limitMs
  for (;;) {
    try {
      return await holds()
    } catch (error) {
      if (performance.now() > deadline) throw error
      await pause(POLL_MS)
    }
  }
}
