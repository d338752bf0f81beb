import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { freePort } from '@tidemark/testkit/redis-process'
import { Client } from '@tidemark/tools/stack/client'
import {
  runService,
  type Service,
  startAnalyzer,
  startBridge,
  startGateway,
} from '@tidemark/tools/stack/service-process'
import mqtt, { type MqttClient } from 'mqtt'
import { get } from 'sparkplug-payload'
import { describe, expect, test } from 'vitest'
import { Broker, mosquittoAvailable } from './support/broker.ts'

async function connect(broker: Broker): Promise<MqttClient & AsyncDisposable> {
  const client = await mqtt.connectAsync(broker.url, { reconnectPeriod: 200 })
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.endAsync(true) })
}

async function publish(client: MqttClient, from: number, to: number): Promise<void> {
  const numbers = Array.from({ length: to - from }, (_, i) => from + i)
  await Promise.all(numbers.map(n => client.publishAsync(`fleet/device-${n}/load`, String(n), { qos: 1 })))
}

/** Kills `broker` once it has saved what it acknowledged: that is before it reads a next packet. */
async function killSaved(broker: Broker, client: MqttClient): Promise<void> {
  await client.publishAsync('other', 'acknowledged: what came before is saved', { qos: 1 })
  await broker.kill()
}

/** The samples that were analysed, by key. */
async function analysed(client: Client): Promise<Map<string, { count: number; value: number }>> {
  const found = new Map<string, { count: number; value: number }>()
  for (let cursor = ''; ; ) {
    const response = await client.get(`/analyze?limit=1000${cursor === '' ? '' : `&cursor=${cursor}`}`)
    const page = (await response.json()) as {
      analyses: { key: string; count: number; value: number }[]
      cursor: string | null
    }
    for (const { key, count, value } of page.analyses) found.set(key, { count, value })
    if (page.cursor === null) return found
    cursor = page.cursor
  }
}

const SERVICE = { MQTT_TOPICS: 'fleet/#,home/#,spBv1.0/#', BATCH_SAMPLES_MAX: '50' }

describe.runIf(mosquittoAvailable() && (await redisAvailable()))('the MQTT bridge', () => {
  test('makes samples of plain numbers, JSON and Sparkplug, in their order', async () => {
    await using redis = await startRedis()
    await using broker = await Broker.start()
    await using gateway = await startGateway({ REDIS_URL: redis.url })
    await using _analyzer = await startAnalyzer({ REDIS_URL: redis.url })
    const env = { ...SERVICE, MQTT_URL: broker.url, GATEWAY_URL: `http://127.0.0.1:${gateway.port}` }
    await using bridge = await startBridge(env)
    await using device = await connect(broker)
    const operator = new Client(gateway.port)

    const birth = { timestamp: Date.now(), metrics: [{ name: 'rpm', alias: 4, type: 'Double' as const, value: 900 }] }
    const data = { timestamp: Date.now(), metrics: [{ alias: 4, type: 'Double' as const, value: 950 }] }
    const sparkplug = get('spBv1.0') as NonNullable<ReturnType<typeof get>>
    const publishBytes = (topic: string, bytes: Uint8Array) =>
      device.publishAsync(topic, Buffer.from(bytes), { qos: 1 })
    for (let n = 0; n < 60; n++) await device.publishAsync('fleet/a/cpu', String(n), { qos: n % 2 === 0 ? 1 : 0 })
    await device.publishAsync('home/kitchen', '{"temperature":21.5,"occupancy":true,"linkquality":"good"}', { qos: 1 })
    await publishBytes('spBv1.0/plant/NBIRTH/pump', sparkplug.encodePayload(birth))
    await publishBytes('spBv1.0/plant/NDATA/pump', sparkplug.encodePayload(data))

    await eventually(async () => {
      expect(Object.fromEntries(await analysed(operator))).toEqual({
        'fleet/a/cpu': { count: 60, value: 59 },
        'home/kitchen/temperature': { count: 1, value: 21.5 },
        'home/kitchen/occupancy': { count: 1, value: 1 },
        'spBv1.0/plant/pump/rpm': { count: 2, value: 950 },
      })
    })
    const history = (await (await operator.get('/history?key=fleet/a/cpu')).json()) as { values: number[] }
    expect(history.values).toEqual(Array.from({ length: 50 }, (_, n) => n + 10))
    const metrics = await (await fetch(`http://127.0.0.1:${bridge.metricsPort}/metrics`)).text()
    expect(metrics).toContain('mqtt_values_skipped_total{reason="no_number"} 1')
    expect(metrics).toContain('mqtt_samples_accepted_total 64')
  })

  test('asks a Sparkplug node that it does not know for its birth certificate', async () => {
    await using redis = await startRedis()
    await using broker = await Broker.start()
    await using gateway = await startGateway({ REDIS_URL: redis.url })
    const env = { ...SERVICE, MQTT_URL: broker.url, GATEWAY_URL: `http://127.0.0.1:${gateway.port}` }
    await using _bridge = await startBridge(env)
    await using node = await connect(broker)
    const commands: string[] = []
    node.on('message', topic => commands.push(topic))
    await node.subscribeAsync('spBv1.0/plant/NCMD/pump')
    const sparkplug = get('spBv1.0') as NonNullable<ReturnType<typeof get>>
    const data = { timestamp: Date.now(), metrics: [{ alias: 4, type: 'Double' as const, value: 950 }] }
    for (let n = 0; n < 3; n++) {
      await node.publishAsync('spBv1.0/plant/NDATA/pump', Buffer.from(sparkplug.encodePayload(data)), { qos: 1 })
    }
    await eventually(() => expect(commands).toEqual(['spBv1.0/plant/NCMD/pump']))
  })

  test('loses and repeats nothing of QoS 1 while broker and gateway are killed', async () => {
    await using redis = await startRedis()
    await using broker = await Broker.start()
    await using _analyzer = await startAnalyzer({ REDIS_URL: redis.url })
    const port = await freePort()
    const gatewayEnv = { REDIS_URL: redis.url, PORT: String(port) }
    const first = await startGateway(gatewayEnv)
    const env = { ...SERVICE, MQTT_URL: broker.url, GATEWAY_URL: `http://127.0.0.1:${port}` }
    await using _bridge = await startBridge(env)
    await using device = await connect(broker)
    await publish(device, 0, 200)

    // The gateway is gone: what comes now stays with the broker, and outlives it.
    first.child.kill()
    await first.child.exited
    await publish(device, 200, 400)
    await killSaved(broker, device)
    await broker.run()
    await eventually(() => expect(device.connected).toBe(true))
    await publish(device, 400, 500)

    await using _second = await startGateway(gatewayEnv)
    await publish(device, 500, 600)
    await killSaved(broker, device)
    await broker.run()
    const operator = new Client(port)
    await eventually(async () => expect((await analysed(operator)).size).toBe(600))
    for (const [key, { count, value }] of await analysed(operator)) {
      expect({ key, count }).toEqual({ key: `fleet/device-${value}/load`, count: 1 })
    }
  })

  test('loses nothing of QoS 1 when it is killed with messages that the gateway has not stored', async () => {
    await using redis = await startRedis()
    await using broker = await Broker.start()
    await using _analyzer = await startAnalyzer({ REDIS_URL: redis.url })
    const port = await freePort()
    const env = { ...SERVICE, MQTT_URL: broker.url, GATEWAY_URL: `http://127.0.0.1:${port}` }
    await using device = await connect(broker)
    const received = async (bridge: Service): Promise<number> => {
      const text = await (await fetch(`http://127.0.0.1:${bridge.metricsPort}/metrics`)).text()
      return Number(/^mqtt_messages_total (\d+)$/m.exec(text)?.[1])
    }
    for (let round = 0; round < 2; round++) {
      const bridge = await startBridge(env)
      const before = await received(bridge)
      await publish(device, round * 200, round * 200 + 150)
      await eventually(async () => expect(await received(bridge)).toBeGreaterThan(before))
      bridge.child.kill()
      await bridge.child.exited
      await publish(device, round * 200 + 150, (round + 1) * 200)
    }
    await using gateway = await startGateway({ REDIS_URL: redis.url, PORT: String(port) })
    await using _bridge = await startBridge(env)
    const operator = new Client(gateway.port)
    await eventually(async () => expect((await analysed(operator)).size).toBe(400))
  })

  test('says which setting is wrong', async () => {
    const env = { ...SERVICE, MQTT_URL: 'broker', GATEWAY_URL: 'http://127.0.0.1:9', MQTT_TOPICS: 'fleet/#/load' }
    const start = startBridge({ ...env, MQTT_KEY: '{level}', API_KEY: 'a', API_KEY_FILE: 'b' })
    await expect(start).rejects.toThrow(
      /MQTT_URL: must be mqtt:[\s\S]+"fleet\/#\/load" has a #[\s\S]+MQTT_KEY: has \{level\}: there are/,
    )
  })

  test('is not ready while the broker is not there, and says so', async () => {
    const env = { ...SERVICE, MQTT_URL: 'mqtt://127.0.0.1:9', GATEWAY_URL: 'http://127.0.0.1:9' }
    const { child, ready } = runService('mqtt', 'the bridge', env, undefined, ['listening'])
    const { metricsPort } = await ready
    const response = await fetch(`http://127.0.0.1:${metricsPort}/readyz`)
    expect(response.status).toBe(503)
    expect(await response.json()).toMatchObject({ reason: expect.stringContaining('the broker') })
    await child.stop()
    expect((await child.exited).code).toBe(0)
  })
})
