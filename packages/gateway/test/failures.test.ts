import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { createTestApp, type TestAppOptions } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const OUTAGE = new StoreError('no connection', { kind: 'refused' })
const BUG = new TypeError("Cannot read properties of undefined (reading 'secret')")

function createLoggedApp(options: TestAppOptions) {
  const lines: Record<string, unknown>[] = []
  const write = (text: string): void => {
    const line = JSON.parse(text) as Record<string, unknown>
    if (line.audit !== true) lines.push(line)
  }
  const log = pino({}, { write })
  return { ...createTestApp({ ...options, log }), lines }
}

/** Every method of a part of the store rejects. */
function rejecting<T extends object>(part: T, error: unknown): T {
  return Object.fromEntries(Object.keys(part).map(name => [name, () => Promise.reject(error)])) as T
}

function failing(error: unknown): TestAppOptions {
  const { gateway, rules, alerts, audit } = createMemoryStore()
  return {
    override: rejecting(gateway, error),
    overrideRules: rejecting(rules, error),
    overrideAlerts: rejecting(alerts, error),
    overrideAudit: rejecting({ list: audit.list }, error),
  }
}

const NOTE = { who: 'mira', why: 'a test' }
const REQUESTS: [string, string, unknown?, Record<string, string>?][] = [
  ['POST', '/ingest', { key: 'a', value: 1 }],
  ['POST', '/ingest', { key: 'a', value: 1 }, { 'Idempotency-Key': 'one' }],
  ['GET', '/analyze'],
  ['GET', '/analyze?key=a'],
  ['GET', '/analyze?after=0:1-0&wait=0'],
  ['GET', '/history?key=a'],
  ['GET', '/aggregates?key=a'],
  ['GET', '/alerts'],
  ['GET', '/alerts/groups'],
  ['GET', '/rules'],
  ['GET', '/rules/r'],
  ['GET', '/rules/r/report'],
  ['GET', '/rules/changes'],
  ['GET', '/rules/explain?key=a'],
  ['PUT', '/rules/r', { rule: { pattern: '*' }, ...NOTE }],
  ['DELETE', '/rules/r?who=mira&why=test'],
  ['PUT', '/mutes/m', { pattern: '*', until: '2h', ...NOTE }],
  ['GET', '/audit'],
  ['GET', '/dead'],
  ['POST', '/dead/0:1-0/put-back'],
  ['POST', '/dead/0:1-0/discard'],
]

function send(
  { app }: ReturnType<typeof createTestApp>,
  [method, path, body, headers = {}]: (typeof REQUESTS)[number],
): Promise<Response> {
  const type = body === undefined ? {} : { 'Content-Type': 'application/json' }
  const init = {
    method,
    headers: { ...type, ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }
  return Promise.resolve(app.request(path, init))
}

describe.each(REQUESTS.map(request => [request[0], request[1], request] as const))(
  '%s %s',
  (_method, _path, request) => {
    test('responds 503 to an outage of the store, which is a warning', async () => {
      const test = createLoggedApp(failing(OUTAGE))
      const response = await send(test, request)
      expect(response.status).toBe(503)
      await problemOf(response)
      expect(test.lines).toMatchObject([{ level: 40, kind: 'refused', err: { message: 'no connection' } }])
      const metrics = await test.registry.metrics()
      expect(metrics).toContain('gateway_store_failures_total{reason="refused"} 1\n')
      expect(metrics).toContain('gateway_internal_errors_total 0\n')
    })

    test('responds 500 to a bug, without its text, and the log has its stack', async () => {
      const test = createLoggedApp(failing(BUG))
      const response = await send(test, request)
      expect(response.status).toBe(500)
      const text = JSON.stringify(await problemOf(response))
      expect(text).not.toMatch(/secret|stack|\.ts/)
      expect(test.lines).toMatchObject([{ level: 50, err: { type: 'TypeError', stack: expect.any(String) } }])
      const metrics = await test.registry.metrics()
      expect(metrics).toContain('gateway_internal_errors_total 1\n')
      expect(metrics).toMatch(/gateway_store_failures_total\{reason="unknown"\} 0\n/)
    })
  },
)

test('samples that a bug kept from the store are counted as such', async () => {
  const test = createLoggedApp(failing(BUG))
  await test.post('[{"key":"a","value":1},{"key":"a","value":2}]')
  await test.post('{"key":"a","value":1}', { 'Idempotency-Key': 'x' })
  const metrics = await test.registry.metrics()
  expect(metrics).toContain('gateway_samples_rejected_total{reason="internal"} 3\n')
  expect(metrics).toContain('gateway_samples_rejected_total{reason="store"} 0\n')
  expect(metrics).toContain('gateway_flushes_failed_total{reason="internal"} 1\n')
})

test('the same failure of the store is logged once in a while, whatever the load, and always counted', async () => {
  const test = createLoggedApp({ override: { append: async batches => batches.map(() => ({ kind: 'no-memory' })) } })
  for (let i = 0; i < 50; i++) expect((await test.post('{"key":"a","value":1}')).status).toBe(503)
  expect(test.lines).toMatchObject([
    { msg: 'samples were not stored', err: { message: expect.stringContaining('memory') } },
  ])
  expect(await test.registry.metrics()).toContain('gateway_store_failures_total{reason="refused"} 50\n')
})
