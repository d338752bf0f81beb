import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable } from '@tidemark/testkit/redis-fixture'
import { findNodeRed } from '@tidemark/tools/lib/node-red'
import { Child } from '@tidemark/tools/stack/child'
import { describe, expect, test } from 'vitest'
import { Broker, mosquittoAvailable } from './support/broker.ts'
import { startTidemark } from './support/documented-agents.ts'

const NODE_RED = fileURLToPath(new URL('support/node-red-main.ts', import.meta.url))
const BRIDGE = fileURLToPath(new URL('../tools/mqtt/main.ts', import.meta.url))

const { PATH } = process.env

/** Runs flows of the document. */
async function startNodeRed(stack: AsyncDisposableStack, folder: string, flows: string) {
  const flowFile = join(folder, 'flows.json')
  const record = join(folder, 'record')
  await writeFile(flowFile, flows)
  await writeFile(record, '')
  const args = [NODE_RED, findNodeRed() ?? 'Node-RED is not installed', flowFile, record]
  const nodeRed = stack.use(new Child({ name: 'Node-RED', file: process.execPath, args, env: { PATH } }))
  return {
    stop: () => nodeRed.stop(),
    /** The payloads that have reached a node. */
    async payloadsAt(node: string): Promise<unknown[]> {
      const lines = (await readFile(record, 'utf8')).split('\n').filter(line => line !== '')
      return lines
        .map(line => JSON.parse(line) as [string, unknown])
        .flatMap(([id, payload]) => (id === node ? [payload] : []))
    },
  }
}

const isAvailable = findNodeRed() !== undefined || process.env.CI === 'true'

describe.runIf(isAvailable && (await redisAvailable()))('the flows of Node-RED in docs/agents.md', () => {
  test('by HTTP: each message is stored once, with its time, also if the gateway is unavailable meanwhile', async () => {
    await using stack = new AsyncDisposableStack()
    const tidemark = await startTidemark(stack)
    const nodeRed = await startNodeRed(stack, tidemark.folder, await tidemark.configuration('### Node-RED'))
    const count = async (node: string) => (await nodeRed.payloadsAt(node)).length
    await eventually(async () => expect(await count('is it stored?')).toBeGreaterThan(1))
    await tidemark.stopGateway()
    await eventually(async () => expect(await count('pause')).toBeGreaterThan(1))
    await tidemark.startGateway()
    const sent = await nodeRed.payloadsAt('sample')
    // Those that waited are sent again, while others follow.
    const history = await eventually(async () => {
      const found = await tidemark.historyOf('room/temperature.value')
      expect(sent.filter(value => !found.values.includes(value as number))).toEqual([])
      return found
    })
    expect(new Set(history.values).size).toBe(history.count)
    const measured = history.values.map((value, i) => ({ value, at: history.timestamps[i] ?? 0 }))
    const byTime = measured.toSorted((a, b) => a.at - b.at).map(({ value }) => value)
    expect(byTime.slice(0, sent.length)).toEqual(sent)
  })

  test.runIf(mosquittoAvailable())('by MQTT: each message is stored once, in order', async () => {
    await using stack = new AsyncDisposableStack()
    const tidemark = await startTidemark(stack)
    const broker = stack.use(await Broker.start())
    const keyFile = join(tidemark.folder, 'key')
    await writeFile(keyFile, tidemark.apiKey)
    const options = { broker: broker.url, topic: 'sensors/#', gateway: tidemark.url, 'token-file': keyFile }
    const args = [BRIDGE, ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])]
    const bridge = stack.use(new Child({ name: 'the bridge', file: process.execPath, args, env: { PATH } }))
    await bridge.ready(line => line.includes('subscribed'), 60_000)
    const flows = (await tidemark.configuration('### Node-RED by MQTT')).replace('1883', String(broker.port))
    const nodeRed = await startNodeRed(stack, tidemark.folder, flows)
    await eventually(async () => expect((await nodeRed.payloadsAt('publish')).length).toBeGreaterThan(1))
    await tidemark.stopGateway()
    const before = (await nodeRed.payloadsAt('publish')).length
    await eventually(async () => expect((await nodeRed.payloadsAt('publish')).length).toBeGreaterThan(before + 1))
    await tidemark.startGateway()
    await nodeRed.stop()
    const published = await nodeRed.payloadsAt('publish')
    await eventually(async () => {
      const { values } = await tidemark.historyOf('sensors/room/temperature')
      // Node-RED discards what it publishes before it is connected.
      expect(values).toEqual(published.slice(published.indexOf(values[0])))
    })
  })
})
