import { alertId } from '@tidemark/shared/detection/alerts/openings'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { packSamples } from '@tidemark/testkit/samples'
import { PAGE, SCRIPT } from '../../src/http/assets.ts'
import { readDocs } from '../../src/http/docs.ts'
import { testKey } from './api-keys.ts'
import { addDeadLetters, addDeadNotifications, analyseAll, commitEffects, createTestApp, NOW } from './fixture.ts'

const PARTITIONS = 2
const KEY = 'edge-17/rps'
const DOCS = readDocs()

/** Stands for the files that the build of the console makes. */
const CONSOLE = new Map([
  ['index.html', { body: '<!doctype html>', type: PAGE }],
  ['start.js', { body: 'start()', type: SCRIPT }],
])

/** The API key of the file. */
export const FILED = testKey({ name: 'of the file' })

/**
 * Creates an app with something in every place that a route reads: analysed samples, a rule, a
 * shadow rule, a mute, a firing alert, a dead letter and
 * API keys.
 */
export async function createWorld() {
  const store = createMemoryStore({ partitions: PARTITIONS, now: () => NOW })
  const test = createTestApp({ store, docs: DOCS, console: CONSOLE, keys: [FILED.record], auth: 'off' })
  const partition = partitionOf(KEY, PARTITIONS)

  const ingested = await test.post(JSON.stringify({ key: KEY, value: 420 }))
  const { receipts } = (await ingested.json()) as { receipts: string[] }
  await test.post('{"timestamp":1700000000,"rps":420}')
  await analyseAll(store)

  const note = { who: 'mira', why: 'only high values matter' }
  const put = (path: string, body: unknown) =>
    test.app.request(path, {
      method: 'PUT',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
  await put('/rules/edge-cpu', { rule: { pattern: 'edge-*' }, ...note })
  await put('/rules/tried', { rule: { pattern: 'edge-*', shadow: true }, ...note })
  await put('/mutes/night-shift', { pattern: 'edge-*', until: '2h', ...note })

  const analysis = JSON.stringify(await (await test.app.request(`/analyze?key=${KEY}`)).json())
  const alert = alertId({ partition, kind: 'level_shift', key: KEY, count: 1, time: NOW })
  const opening = {
    id: alert,
    key: KEY,
    rule: 'edge-cpu',
    severity: 'warning',
    opened_at: NOW,
    cause: { kind: 'level_shift', value: 420, samples: 20 },
  } as const
  await commitEffects(store, partition, {
    alerts: { opened: [{ opening, openedBefore: 0, notifyAfterMs: 0 }], ended: [] },
    shadowed: [{ rule: 'tried', analysis }],
  })
  const samples = packSamples([{ key: KEY, value: 1, timestamp: 2 }])
  const [dead = '', unreadable = ''] = await addDeadLetters(store, [samples, 'not JSON'], partition)
  const [letter = '', letterOfNone = ''] = await addDeadNotifications(store, [alert, `${partition}-abc`], partition)
  const apiKey = testKey().record
  await store.apiKeys.add(apiKey)
  const unanalysed = (await (await test.post('{"key":"later","value":1}')).json()) as { receipts: string[] }
  const [pending = ''] = unanalysed.receipts
  const receipt = receipts[0] ?? ''
  return {
    ...test,
    store,
    key: KEY,
    receipt,
    pending,
    alert,
    dead,
    unreadable,
    letter,
    letterOfNone,
    apiKey: apiKey.id,
    filed: FILED.record.id,
  }
}

export type World = Awaited<ReturnType<typeof createWorld>>
