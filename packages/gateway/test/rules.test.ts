import { EMPTY_DOCUMENT } from '@tidemark/shared/detection/rules/document'
import { ruleCountName } from '@tidemark/shared/detection/rules/rule-counts'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { Store } from '@tidemark/shared/store/ports/store'
import { toAnalysis, VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { eventually } from '@tidemark/testkit/eventually'
import { describe, expect, test } from 'vitest'
import type { z } from 'zod'
import {
  changesSchema,
  deletedSchema,
  explanationSchema,
  muteResponseSchema,
  reportSchema,
  ruleSchema,
  rulesSchema,
  stormResponseSchema,
} from '../src/rules/schemas.ts'
import { createTestClient } from './support/client.ts'
import { commitEffects, NOW, type TestAppOptions, windowOf } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const NOTE = { who: 'mira', why: 'only high values matter' }
const EDGE = { pattern: 'edge-*/cpu', direction: 'up', deviation_min: 5 }
const DELETION = 'who=mira&why=not+needed'

/** A client that can also put rules. */
function clientOf(options: TestAppOptions = {}) {
  const client = createTestClient(options)
  return {
    ...client,
    putRule: async (id: string, rule: unknown = EDGE, status = 201) =>
      client.read(await client.send('PUT', `/rules/${id}`, { rule, ...NOTE }), ruleSchema, status),
  }
}

describe('GET /rules', () => {
  test('returns the defaults at first', async () => {
    expect(await clientOf().get('/rules', rulesSchema)).toEqual({
      version: 0,
      rules: [],
      default: { counts: null },
      mutes: [],
      storm: { percent: 20, within: '1m', keys_min: 10 },
    })
  })

  test('returns each rule as written, its last change, and the counts of its newest version over all partitions', async () => {
    const store = createMemoryStore({ partitions: 3 })
    const { get, putRule } = clientOf({ store })
    await putRule('edge-cpu')
    await putRule('meters', { pattern: 'meter-*', detector: 'range' })
    await putRule('edge-cpu', { ...EDGE, deviation_min: 6 }, 200)
    const counts = (entries: Record<string, number>) => Object.entries(entries).map(([name, by]) => ({ name, by }))
    await commitEffects(store, 0, {
      counts: counts({
        [ruleCountName('edge-cpu', 1, 'judged')]: 1000,
        [ruleCountName('edge-cpu', 3, 'judged')]: 40,
        [ruleCountName('edge-cpu', 3, 'expected')]: 2_500_000,
        [ruleCountName('', 0, 'opened')]: 2,
        'written by hand': 7,
      }),
    })
    await commitEffects(store, 2, {
      counts: counts({
        [ruleCountName('edge-cpu', 3, 'judged')]: 2,
        [ruleCountName('edge-cpu', 3, 'flagged')]: 3,
        [ruleCountName('edge-cpu', 3, 'expected')]: 1,
        [ruleCountName('meters', 2, 'judged')]: 5,
        [ruleCountName('', 0, 'opened')]: 1,
      }),
    })
    const { version, rules, default: unmatched } = await get('/rules', rulesSchema)
    expect(version).toBe(3)
    expect(unmatched).toEqual({ counts: { judged: 0, flagged: 0, expected: null, opened: 3 } })
    expect(rules).toEqual([
      {
        rule: { id: 'meters', pattern: 'meter-*', detector: 'range' },
        version: 2,
        changed: { ...NOTE, at: NOW },
        counts: { judged: 5, flagged: 0, expected: null, opened: 0 },
      },
      {
        rule: { id: 'edge-cpu', ...EDGE, deviation_min: 6 },
        version: 3,
        changed: { ...NOTE, at: NOW },
        counts: { judged: 42, flagged: 3, expected: 2.500_001, opened: 0 },
      },
    ])
    expect(await get('/rules/meters', ruleSchema)).toEqual({ ...rules[0], rules_version: 3 })
  })
})

describe('PUT /rules/{id}', () => {
  test('adds a rule, then replaces it', async () => {
    const { putRule } = clientOf()
    const added = { rule: { id: 'edge-cpu', ...EDGE }, version: 1, changed: { ...NOTE, at: NOW }, counts: null }
    expect(await putRule('edge-cpu', EDGE, 201)).toEqual({ ...added, rules_version: 1 })
    expect(await putRule('edge-cpu', { id: 'edge-cpu', ...EDGE }, 200)).toEqual({
      ...added,
      version: 2,
      rules_version: 2,
    })
  })

  test.each(['mutes', 'storm', 'report', 'rules', 'constructor', 'toString', 'hasOwnProperty', 'a', 'Z'.repeat(64)])(
    'a rule may be called %s',
    async id => {
      const { get, send, read, putRule } = clientOf()
      await putRule(id)
      expect((await get(`/rules/${id}`, ruleSchema)).rule.id).toBe(id)
      expect((await get(`/rules/${id}/report`, reportSchema)).rule.id).toBe(id)
      expect((await get('/rules/explain?key=edge-1/cpu', explanationSchema)).rule).toBe(id)
      expect(await read(await send('DELETE', `/rules/${id}?${DELETION}`), deletedSchema)).toEqual({
        deleted: id,
        version: 2,
      })
      expect((await send('GET', `/rules/${id}`)).status).toBe(404)
    },
  )

  test.each([
    ['explain', { ...EDGE }, [{ field: 'rule.id', detail: 'is taken by the route /rules/explain' }]],
    ['changes', { ...EDGE }, [{ field: 'rule.id', detail: 'is taken by the route /rules/changes' }]],
    ['__proto__', { ...EDGE }, [{ field: 'rule.id', detail: expect.stringContaining('must be 1 to 64 letters') }]],
    ['a%2Fb', { ...EDGE }, [{ field: 'rule.id', detail: expect.stringContaining('must be 1 to 64 letters') }]],
    ['a%20b', { ...EDGE }, [{ field: 'rule.id', detail: expect.stringContaining('must be 1 to 64 letters') }]],
    ['%zz', { ...EDGE }, [{ field: 'rule.id', detail: expect.stringContaining('must be 1 to 64 letters') }]],
    ['%7B0%7D', { ...EDGE }, [{ field: 'rule.id', detail: expect.stringContaining('must be 1 to 64 letters') }]],
    ['x'.repeat(65), { ...EDGE }, [{ field: 'rule.id', detail: expect.stringContaining('must be 1 to 64 letters') }]],
    ['r', { id: 's', ...EDGE }, [{ field: 'rule.id', detail: 'must be absent, or equal to the id in the path' }]],
    ['r', null, [{ field: 'rule', detail: 'must be a JSON object' }]],
    ['r', [EDGE], [{ field: 'rule', detail: 'must be a JSON object' }]],
    ['r', 'edge-*', [{ field: 'rule', detail: 'must be a JSON object' }]],
    ['r', { pattern: '[z-a' }, [{ field: 'rule.pattern', detail: expect.any(String) }]],
    ['r', { pattern: '{a,{b}' }, [{ field: 'rule.pattern', detail: expect.any(String) }]],
    ['r', { pattern: 7 }, [{ field: 'rule.pattern', detail: 'must be a text' }]],
    ['r', { ...EDGE, budget: 'often' }, [{ field: 'rule.budget', detail: expect.stringContaining('must be like') }]],
    [
      'r',
      { ...EDGE, alert: { opne: 4 } },
      [{ field: 'rule.alert.opne', detail: 'unknown member; did you mean open?' }],
    ],
    [
      'r',
      { window: 5, late: 'x', tresholds: 1, constructor: 2 },
      expect.arrayContaining([
        { field: 'rule.pattern', detail: 'must be a text' },
        { field: 'rule.window', detail: 'must be an integer from 10 to 500' },
        { field: 'rule.late', detail: 'must be one of mark, refuse' },
        { field: 'rule.tresholds', detail: 'unknown member; did you mean threshold?' },
        { field: 'rule.constructor', detail: 'unknown member' },
      ]),
    ],
  ])('is 422 for %s with %o, and lists each error', async (id, rule, errors) => {
    const { send, get } = clientOf()
    const response = await send('PUT', `/rules/${id}`, { rule, ...NOTE })
    expect(response.status).toBe(422)
    expect(await problemOf(response)).toMatchObject({ type: 'urn:tidemark:problem:fields-invalid', errors })
    expect((await get('/rules', rulesSchema)).version).toBe(0)
  })

  test.each([
    ['{"rule":{"pattern":"*"}}', ['who', 'why']],
    [`{"rule":{"pattern":"*"},"who":"","why":${JSON.stringify('x'.repeat(501))}}`, ['who', 'why']],
    ['{"rule":{"pattern":"*"},"who":7,"why":null}', ['who', 'why']],
    ['{"who":"a","why":"b"}', ['rule']],
    ['{"pattern":"*","who":"a","why":"b"}', ['rule', 'pattern']],
    ['{"rule":{"pattern":"*","__proto__":{"shadow":true}},"who":"a","why":"b"}', ['rule.__proto__']],
    ['{"rule":{"pattern":"*"},"who":"a","why":"b","__proto__":{}}', ['__proto__']],
    ['[]', ['']],
    ['null', ['']],
    ['"rule"', ['']],
    ['7', ['']],
  ])('is 422 for the body %s', async (body, fields) => {
    const response = await clientOf().send('PUT', '/rules/r', body)
    expect(response.status).toBe(422)
    const { errors = [] } = await problemOf(response)
    expect(errors.map(({ field }) => field).toSorted()).toEqual(fields.toSorted())
  })

  test.each([
    [400, '', {}],
    [400, '{"rule":', {}],
    [400, '['.repeat(60_000), {}],
    [413, `{"who":"${'x'.repeat(65_536)}"}`, {}],
    [415, '{}', { 'Content-Type': 'application/x-ndjson' }],
    [415, '{}', { 'Content-Type': 'text/html' }],
    [415, '{}', { 'Content-Encoding': 'snappy' }],
    [400, '{}', { 'Content-Encoding': 'gzip' }],
  ])('is %i for other bodies', async (status, body, headers) => {
    const response = await clientOf().send('PUT', '/rules/r', body, headers as Record<string, string>)
    expect(response.status).toBe(status)
    await problemOf(response)
  })

  test('limits the number of listed errors', async () => {
    const madeUp = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`member ${i}`.padEnd(15), 1]))
    const response = await clientOf().send('PUT', '/rules/r', { rule: { pattern: '*', ...madeUp }, ...NOTE })
    const text = JSON.stringify(await problemOf(response))
    expect(response.status).toBe(422)
    expect(text.length).toBeLessThan(10_000)
    expect(text).toContain('and 2997 more')
  })

  test('rejects one rule too many', async () => {
    const store = createMemoryStore()
    const rules = Array.from({ length: 1000 }, (_, i) => {
      return { rule: { id: `r${i}`, pattern: `k${i}` }, version: 1, changed: { ...NOTE, at: NOW } }
    })
    const change = { version: 1, kind: 'rule_put', id: 'r', content: {}, ...NOTE, at: NOW } as const
    await store.rules.replace({ ...EMPTY_DOCUMENT, version: 1, rules }, change, '')
    const { send, putRule } = clientOf({ store })
    const response = await send('PUT', '/rules/one-more', { rule: EDGE, ...NOTE })
    expect(response.status).toBe(422)
    expect(await problemOf(response)).toMatchObject({
      errors: [{ field: '', detail: expect.stringContaining('1000') }],
    })
    await putRule('r999', EDGE, 200)
  })
})

describe('a change', () => {
  test.each([
    ['"1"', 200],
    ['1', 200],
    ['"0"', 412],
    ['"2"', 412],
  ])('with If-Match %s is %i when the rules are at version 1', async (ifMatch, status) => {
    const { send, putRule } = clientOf()
    await putRule('r')
    const response = await send('PUT', '/rules/r', { rule: EDGE, ...NOTE }, { 'If-Match': ifMatch })
    expect(response.status).toBe(status)
    if (status === 412) {
      expect(await problemOf(response)).toMatchObject({ type: 'urn:tidemark:problem:version-changed', version: 1 })
    }
  })

  test.each(['*', 'W/"1"', '"one"', '', '-1', '1e3'])('with If-Match %s is 400', async ifMatch => {
    const response = await clientOf().send('PUT', '/rules/r', { rule: EDGE, ...NOTE }, { 'If-Match': ifMatch })
    expect(response.status).toBe(400)
    expect(await problemOf(response)).toMatchObject({ errors: [{ parameter: 'If-Match' }] })
  })

  test('with the ETag of the rules as If-Match applies to just those, not to others of their version', async () => {
    const store = createMemoryStore()
    const { send, putRule } = clientOf({ store })
    await putRule('r')
    const tag = (await send('GET', '/rules')).headers.get('ETag') ?? ''
    expect(tag).toMatch(/^"1-[0-9a-f]{12}"$/)
    expect((await send('GET', '/rules/r')).headers.get('ETag')).toBe(tag)
    // Redis loses the rules, and others are put.
    const { document } = await store.rules.load()
    const change = { ...NOTE, at: NOW, version: 1, kind: 'storm_put', id: null, content: {} } as const
    await store.rules.replace({ ...document, rules: [] }, change, await store.rules.digest())
    expect((await send('PUT', '/rules/s', { rule: EDGE, ...NOTE }, { 'If-Match': tag })).status).toBe(412)
    const current = (await send('GET', '/rules')).headers.get('ETag') ?? ''
    expect((await send('PUT', '/rules/s', { rule: EDGE, ...NOTE }, { 'If-Match': current })).status).toBe(201)
  })

  test('never reuses a version that the store knows, though it lost the rules that had it', async () => {
    const store = createMemoryStore()
    const load = async () => ({ ...(await store.rules.load()), newestVersion: 7 })
    const { putRule } = clientOf({ store, overrideRules: { load } })
    expect(await putRule('a', EDGE, 201)).toMatchObject({ version: 8, rules_version: 8 })
  })

  test('that went past this gateway is explained, whatever its version', async () => {
    const store = createMemoryStore()
    const { send, putRule } = clientOf({ store })
    await putRule('a', { pattern: 'a' })
    const { document: copy } = await store.rules.load()
    await putRule('b', { pattern: 'b' })
    const ruleOf = async (key: string): Promise<unknown> =>
      ((await (await send('GET', `/rules/explain?key=${key}`)).json()) as { rule: unknown }).rule
    expect([await ruleOf('a'), await ruleOf('b')]).toEqual(['a', 'b'])
    const change = { ...NOTE, at: NOW, version: 2, kind: 'storm_put', id: null, content: {} } as const
    await store.rules.replace({ ...copy, version: 2 }, change, await store.rules.digest())
    expect([await ruleOf('a'), await ruleOf('b')]).toEqual(['a', null])
  })

  test('does not undo a simultaneous change', async () => {
    const { get, send } = clientOf()
    const ids = Array.from({ length: 50 }, (_, i) => `r${i}`)
    const responses = await Promise.all(ids.map(id => send('PUT', `/rules/${id}`, { rule: EDGE, ...NOTE })))
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([201]))
    const { version, rules } = await get('/rules', rulesSchema)
    expect([version, rules.map(({ rule }) => rule.id).toSorted()]).toEqual([50, ids.toSorted()])
  })

  test('does not undo a simultaneous change through another gateway', async () => {
    const store = createMemoryStore()
    const clients = [clientOf({ store }), clientOf({ store }), clientOf({ store })]
    const responses = await Promise.all(
      clients.flatMap((client, n) => Array.from({ length: 10 }, (_, i) => client.putRule(`r${n}-${i}`))),
    )
    expect(responses).toHaveLength(30)
    expect((await clientOf({ store }).get('/rules', rulesSchema)).version).toBe(30)
  })

  test('is 503 when too many others are queued', async () => {
    const { promise: goOn, resolve } = Promise.withResolvers<void>()
    const store = createMemoryStore()
    const { send, registry } = clientOf({ store, overrideRules: { load: () => goOn.then(() => store.rules.load()) } })
    const body = { storm: { percent: 5, within: '1m', keys_min: 2 }, ...NOTE }
    const responses = Array.from({ length: 105 }, () => send('PUT', '/storm', body))
    // Those beyond the limit respond while the others wait.
    const limited = (line: string) => eventually(async () => expect(await registry.metrics()).toContain(line))
    await limited('gateway_limit_reached_total{limit="rule_changes"} 4\n')
    await limited('gateway_limit_used{limit="rule_changes"} 100\n')
    resolve()
    const statuses = (await Promise.all(responses)).map(({ status }) => status)
    expect([
      statuses.filter(status => status === 200).length,
      statuses.filter(status => status === 503).length,
    ]).toEqual([101, 4])
  })

  test('of one version succeeds once, however many are sent', async () => {
    const { send } = clientOf()
    const responses = await Promise.all(
      ['a', 'b', 'c'].map(id => send('PUT', `/rules/${id}`, { rule: EDGE, ...NOTE }, { 'If-Match': '0' })),
    )
    expect(responses.map(({ status }) => status).toSorted()).toEqual([201, 412, 412])
  })

  test('that makes no sense is 422 with the member of the body and what to do', async () => {
    const { send } = clientOf()
    for (const [path, body, field, detail] of [
      ['/rules/r', { rule: { pattern: '^edge-.*$' } }, 'rule.pattern', 'looks like a regular expression'],
      ['/rules/r', { rule: { pattern: 'a', silent: '0s' } }, 'rule.silent', 'must be at least "1s"'],
      ['/storm', { storm: { percent: 5, within: '0s', keys_min: 2 } }, 'storm.within', 'must be more than 0s'],
    ] as const) {
      const response = await send('PUT', path, { ...body, ...NOTE })
      expect(response.status).toBe(422)
      expect(await problemOf(response)).toMatchObject({ errors: [{ field, detail: expect.stringContaining(detail) }] })
    }
  })

  test('that makes all patterns too costly is 422 with the limit', async () => {
    const { send, putRule } = clientOf()
    const pattern = `*${'{?,[!b]}'.repeat(6)}${'?'.repeat(80)}[c]*`
    for (let i = 0; i < 8; i++) await putRule(`r${i}`, { pattern }, 201)
    const response = await send('PUT', '/rules/one-more', { rule: { pattern }, ...NOTE })
    expect(response.status).toBe(422)
    expect(await problemOf(response)).toMatchObject({
      errors: [{ field: 'rule.pattern', detail: expect.stringContaining('the limit is 50000. Use fewer') }],
    })
  })

  test('is 503 if other changes keep conflicting', async () => {
    let attempts = 0
    const replace = async (): Promise<boolean> => {
      attempts++
      return false
    }
    const response = await clientOf({ overrideRules: { replace } }).send('PUT', '/rules/r', { rule: EDGE, ...NOTE })
    expect(response.status).toBe(503)
    await problemOf(response)
    expect(attempts).toBe(10)
  })
})

describe('DELETE /rules/{id}', () => {
  test.each([
    ['', ['who', 'why']],
    ['?who=mira', ['why']],
    ['?who=&why=x', ['who']],
    ['?who=mira&why=x&force=true', ['force']],
  ])('%s is 400: who and why are required', async (query, parameters) => {
    const { send, putRule, get } = clientOf()
    await putRule('r')
    const response = await send('DELETE', `/rules/r${query}`)
    expect(response.status).toBe(400)
    expect((await problemOf(response)).errors?.map(({ parameter }) => parameter)).toEqual(parameters)
    expect((await get('/rules', rulesSchema)).version).toBe(1)
  })

  test('of an unknown rule is 404', async () => {
    for (const id of ['r', '__proto__', '%00', '%2F', 'explain']) {
      const response = await clientOf().send('DELETE', `/rules/${id}?${DELETION}`)
      expect(response.status).toBe(404)
      expect((await problemOf(response)).type).toBe('urn:tidemark:problem:rule-unknown')
    }
  })

  test('respects its If-Match', async () => {
    const { send, putRule } = clientOf()
    await putRule('r')
    expect((await send('DELETE', `/rules/r?${DELETION}`, undefined, { 'If-Match': '7' })).status).toBe(412)
    expect((await send('DELETE', `/rules/r?${DELETION}`, undefined, { 'If-Match': '1' })).status).toBe(200)
  })
})

describe('mutes', () => {
  const MUTE = { pattern: 'edge-*', until: '2h', who: 'mira', why: 'new firmware' }

  test('are put, replaced and deleted', async () => {
    const { send, read, get } = clientOf()
    const added = await read(await send('PUT', '/mutes/storm', MUTE), muteResponseSchema, 201)
    const mute = { id: 'storm', ...MUTE, until: new Date(NOW + 7_200_000).toISOString() }
    expect(added).toEqual({ mute, version: 1 })
    const until = '2023-12-01T12:00:00+01:00'
    const replaced = await read(await send('PUT', '/mutes/storm', { ...MUTE, until }), muteResponseSchema, 200)
    expect(replaced.mute.until).toBe('2023-12-01T11:00:00.000Z')
    expect((await get('/rules', rulesSchema)).mutes).toEqual([replaced.mute])
    expect((await get('/rules/explain?key=edge-1/rps', explanationSchema)).muted).toEqual({
      until: Date.parse(until),
      who: 'mira',
      why: 'new firmware',
    })
    expect(await read(await send('DELETE', `/mutes/storm?${DELETION}`), deletedSchema)).toEqual({
      deleted: 'storm',
      version: 3,
    })
    const again = await send('DELETE', `/mutes/storm?${DELETION}`)
    expect(again.status).toBe(404)
    expect((await problemOf(again)).type).toBe('urn:tidemark:problem:mute-unknown')
  })

  test.each([
    [{ until: '2023-11-14T22:13:20Z' }, 'until', 'must be in the future'],
    [{ until: '0s' }, 'until', 'must be in the future'],
    [{ until: '31d' }, 'until', expect.stringContaining('at most 30d')],
    [{ until: 'tomorrow' }, 'until', expect.stringContaining('must be a time with its zone, like')],
    [{ until: '2024-01-01T00:00:00' }, 'until', expect.stringContaining('with its zone')],
    [{ until: NOW + 1000 }, 'until', expect.stringContaining('must be a time with its zone, like')],
    [{ pattern: undefined }, 'pattern', 'must be a text'],
    [{ pattern: '{' }, 'pattern', expect.any(String)],
    [{ who: undefined }, 'who', 'must be a text'],
    [{ why: '' }, 'why', 'must not be empty'],
    [{ id: 'm' }, 'id', 'unknown member'],
  ])('are 422 with %o', async (wrong, field, detail) => {
    const response = await clientOf().send('PUT', '/mutes/m', { ...MUTE, ...wrong })
    expect(response.status).toBe(422)
    expect(await problemOf(response)).toMatchObject({ errors: [{ field, detail }] })
  })

  test.each(['__proto__', '%7B1%7D', 'a%2Fb', '%'])('are 422 under the id %s', async id => {
    const response = await clientOf().send('PUT', `/mutes/${id}`, MUTE)
    expect(response.status).toBe(422)
    expect(await problemOf(response)).toMatchObject({ errors: [{ field: 'id' }] })
  })
})

describe('PUT /storm', () => {
  const storm = { percent: 30, within: '2m', keys_min: 5 }

  test('sets when alerts become an alert storm', async () => {
    const { send, read, get } = clientOf()
    expect(await read(await send('PUT', '/storm', { storm, ...NOTE }), stormResponseSchema)).toEqual({
      storm,
      version: 1,
    })
    expect((await get('/rules', rulesSchema)).storm).toEqual(storm)
  })

  test('is 422 if invalid', async () => {
    const wrong = { storm: { percent: 0, within: '2x', keys: 5 }, why: 'x' }
    const response = await clientOf().send('PUT', '/storm', wrong)
    expect(response.status).toBe(422)
    const { errors = [] } = await problemOf(response)
    expect(errors.map(({ field }) => field).toSorted()).toEqual([
      'storm.keys',
      'storm.keys_min',
      'storm.percent',
      'storm.within',
      'who',
    ])
  })
})

describe('GET /rules/explain', () => {
  test('returns the default policy in the members of a rule', async () => {
    expect(await clientOf().get('/rules/explain?key=a', explanationSchema)).toEqual({
      key: 'a',
      version: 0,
      rule: null,
      reason: 'no rule matches; the default policy applies',
      shadow: null,
      others: [],
      muted: null,
      policy: {
        detector: 'zscore',
        threshold: 2,
        budget: null,
        window: 50,
        samples_min: 30,
        direction: 'both',
        deviation_min: 0,
        deviation_min_relative: 0,
        influence: 'full',
        level_shift_after: null,
        guard: true,
        alert: {
          open: 1.5,
          samples: 2,
          of: 2,
          sides: 'same',
          instant: 3,
          sustained: 3.25,
          close: 0.75,
          close_after: 5,
          hold: '0s',
          resolve_after: '10m',
          severity: 'warning',
        },
        silent: null,
        late: 'mark',
        duplicates: 'keep',
      },
      hint: null,
    })
  })

  test("returns the deployment's defaults", async () => {
    const { get } = clientOf({ settings: { WINDOW: '20', THRESHOLD: '2.5', WINDOW_MIN: '5' } })
    const { policy } = await get('/rules/explain?key=a', explanationSchema)
    expect(policy).toMatchObject({ window: 20, threshold: 2.5, samples_min: 5 })
  })

  test('returns all members of a rule, as written', async () => {
    const { get, putRule } = clientOf()
    const rule = {
      pattern: 'meter-*',
      budget: '1 per key per week',
      window: 100,
      samples_min: 20,
      direction: 'down',
      deviation_min: 1,
      deviation_min_relative: 0.1,
      influence: 'held',
      level_shift_after: 20,
      alert: { samples: 4, of: 6, sustained: 'off', hold: '90s', resolve_after: '1.5h', severity: 'critical' },
      silent: '5m',
      late: 'refuse',
      duplicates: 'drop',
      min: 0,
      max: 99.5,
      unit: 'kWh',
      ignore: [999.9, -1],
    }
    await putRule('meters', rule)
    const { policy } = await get('/rules/explain?key=meter-7', explanationSchema)
    const { pattern, alert, ...members } = rule
    expect(policy).toMatchObject({ ...members, threshold: null })
    expect(policy.alert).toMatchObject({ ...alert, resolve_after: '90m' })
    await putRule('meters', { pattern, silent: 'learned' }, 200)
    expect((await get('/rules/explain?key=meter-7', explanationSchema)).policy.silent).toBe('learned')
  })

  describe('the hint for a counter', () => {
    /** A client with a store whose window of every key has these values, a second apart. */
    const hintsOf = (values: readonly number[], timestamps = values.map((_, n) => NOW + 1000 * n)) =>
      clientOf({ override: { window: async () => windowOf(values, timestamps) } })
    const counts = Array.from({ length: 30 }, (_, n) => 1e6 + 7 * n * n)
    const hintOf = async ({ get }: ReturnType<typeof hintsOf>, key = 'edge-17/rx') =>
      (await get(`/rules/explain?key=${encodeURIComponent(key)}`, explanationSchema)).hint

    test('has the rule to put, which then is in force, and ends the hint', async () => {
      const client = hintsOf(counts)
      const hint = await hintOf(client)
      expect(hint).toEqual({
        kind: 'counter',
        reason: '29 of 29 steps in its window rise, and none falls',
        rule: { id: 'counter-edge-17-rx', pattern: 'edge-17/rx', counter: true },
      })
      await client.putRule(hint?.rule.id ?? '', hint?.rule)
      const explained = await client.get('/rules/explain?key=edge-17/rx', explanationSchema)
      expect(explained).toMatchObject({ rule: 'counter-edge-17-rx', policy: { counter: true }, hint: null })
    })

    test('keeps what the rule in force says of rates too, and replaces a rule of this key alone', async () => {
      const client = hintsOf(counts)
      const written = {
        pattern: 'edge-*',
        threshold: 3,
        min: 5,
        deviation_min: 2,
        unit: 'B',
        silent: '5m',
        window: 100,
      }
      await client.putRule('edge', { ...written, influence: 'held', level_shift_after: 9 })
      await client.putRule('counter-edge-17-rx', { pattern: 'other' })
      const kept = { threshold: 3, unit: 'B', silent: '5m', window: 100, level_shift_after: 9, counter: true }
      const hint = await hintOf(client)
      expect(hint?.rule).toEqual({ id: 'counter-edge-17-rx-2', pattern: 'edge-17/rx', ...kept })
      await client.putRule('own', { pattern: 'edge-17/rx', unit: 'packets' })
      expect((await hintOf(client))?.rule).toEqual({ id: 'own', pattern: 'edge-17/rx', unit: 'packets', counter: true })
    })

    test.each(['a*b{c}', '^key$', '{1}', '☃'.repeat(60), '-', '__proto__'])(
      'has a valid rule for the key %s',
      async key => {
        const client = hintsOf(counts)
        const hint = await hintOf(client, key)
        await client.putRule(hint?.rule.id ?? '', hint?.rule)
        expect((await client.get(`/rules/explain?key=${encodeURIComponent(key)}`, explanationSchema)).rule).toBe(
          hint?.rule.id,
        )
      },
    )

    test('allows idle times, restarts and late samples', async () => {
      const idle = counts.flatMap(count => [count, count])
      expect((await hintOf(hintsOf(idle.slice(0, 50))))?.reason).toBe(
        '24 of 49 steps in its window rise, and none falls',
      )
      const restarted = [...counts.slice(0, 20), 0, 7, 9, 30]
      expect((await hintOf(hintsOf(restarted)))?.reason).toContain('; it started again once')
      const late = [...counts.slice(0, 19), counts[20] ?? 0, counts[19] ?? 0]
      const times = [...late.keys()]
        .map(n => NOW + 1000 * n)
        .with(19, NOW + 20_000)
        .with(20, NOW + 19_000)
      expect((await hintOf(hintsOf(late, times)))?.reason).toContain('20 of 20')
    })

    test.each([
      ['noise', counts.map((_, n) => (n * 37) % 11)],
      ['a flat key', counts.map(() => 5)],
      ['few samples', counts.slice(0, 19)],
      ['a rise with one fall', [...counts.slice(0, 20), (counts[19] ?? 0) - 1, ...counts.slice(20)]],
      ['a sawtooth', counts.map((_, n) => n % 5)],
      ['a falling key', counts.toReversed()],
    ])('is null for %s', async (_, values) => {
      expect(await hintOf(hintsOf(values))).toBeNull()
    })
  })

  test('returns why a rule is in force and which others match', async () => {
    const { get, putRule } = clientOf()
    await putRule('all', { pattern: '*', mute: { until: '2023-12-01T00:00:00Z', who: 'ole', why: 'noisy' } })
    await putRule('edge')
    await putRule('tried', { pattern: 'edge-*', detector: 'novelty', shadow: true })
    const explained = await get('/rules/explain?key=edge-17/cpu', explanationSchema)
    expect(explained).toMatchObject({
      version: 3,
      rule: 'edge',
      reason: expect.stringContaining('edge-*/cpu matches; it '),
      shadow: 'tried',
      others: [
        { rule: 'all', pattern: '*', shadow: false },
        { rule: 'tried', pattern: 'edge-*', shadow: true },
      ],
      muted: null,
    })
    expect((await get('/rules/explain?key=x', explanationSchema)).muted).toMatchObject({ who: 'ole' })
  })

  test('uses the newest rules, even if another gateway changed them', async () => {
    const store = createMemoryStore()
    const [one, other] = [clientOf({ store }), clientOf({ store })]
    expect((await one.get('/rules/explain?key=edge-1/cpu', explanationSchema)).rule).toBeNull()
    await other.putRule('r')
    expect((await one.get('/rules/explain?key=edge-1/cpu', explanationSchema)).rule).toBe('r')
  })

  test.each(['__proto__', 'constructor', '{0}', 'a/b', '100%', '%2F', 'ä', '\u{1f600}', '*', '[a]', ' '])(
    'supports the key %s',
    async key => {
      const { get, putRule } = clientOf()
      await putRule('r', { pattern: key.replaceAll(/[*?[\]{}\\]/g, '\\$&') })
      const explained = await get(`/rules/explain?key=${encodeURIComponent(key)}`, explanationSchema)
      expect(explained).toMatchObject({ key, rule: 'r' })
    },
  )

  test.each(['', '?key=', `?key=${'x'.repeat(201)}`, '?key=%00', '?key=a&at=5'])('%s is 400', async query => {
    const response = await clientOf().send('GET', `/rules/explain${query}`)
    expect(response.status).toBe(400)
    await problemOf(response)
  })
})

describe('GET /rules/changes', () => {
  test('lists every change, newest first, by page', async () => {
    const { get, send, putRule } = clientOf()
    await putRule('r')
    await send('PUT', '/mutes/m', { pattern: '*', until: '1h', who: 'ole', why: 'works' })
    await send('PUT', '/storm', { storm: { percent: 5, within: '1m', keys_min: 2 }, ...NOTE })
    await send('DELETE', `/mutes/m?${DELETION}`)
    await send('DELETE', `/rules/r?${DELETION}`)
    const all = await get('/rules/changes', changesSchema)
    expect(all.cursor).toBeNull()
    expect(all.changes.map(({ version, kind, id, who }) => [version, kind, id, who])).toEqual([
      [5, 'rule_deleted', 'r', 'mira'],
      [4, 'mute_deleted', 'm', 'mira'],
      [3, 'storm_put', null, 'mira'],
      [2, 'mute_put', 'm', 'ole'],
      [1, 'rule_put', 'r', 'mira'],
    ])
    expect(all.changes[0]).toMatchObject({ content: null, why: 'not needed', at: NOW })
    expect(all.changes[4]).toMatchObject({ content: { id: 'r', ...EDGE } })
    for (const limit of [1, 2, 5]) {
      const paged = []
      for (let cursor: string | null = '100'; cursor !== null; ) {
        const page: z.output<typeof changesSchema> = await get(
          `/rules/changes?limit=${limit}&cursor=${cursor}`,
          changesSchema,
        )
        paged.push(...page.changes)
        cursor = page.cursor
      }
      expect(paged).toEqual(all.changes)
    }
  })

  test.each(['?limit=0', '?limit=501', '?cursor=-1', '?cursor=x', '?cursor=1.5', '?page=2'])(
    '%s is 400',
    async query => {
      const response = await clientOf().send('GET', `/rules/changes${query}`)
      expect(response.status).toBe(400)
      await problemOf(response)
    },
  )
})

describe('GET /rules/{id}/report', () => {
  const flaggedAt = (analyzedAt: number, key: string) => {
    const numbers = { value: 9, timestamp: NOW, mean: 1, deviation: 1, meanRest: 0, count: 60, window: 50 }
    const finding = { key, ...numbers, judged: null }
    return JSON.stringify(toAnalysis(finding, { partition: 0, id: '1-0', analyzedAt, ...VERDICT_DEFAULTS }))
  }

  test('lists what a shadow rule would have flagged in all partitions, newest first', async () => {
    const store = createMemoryStore({ partitions: 2 })
    const { get, putRule } = clientOf({ store })
    await putRule('tried', { pattern: '*', detector: 'novelty', shadow: true })
    await commitEffects(store, 0, {
      shadowed: [
        { rule: 'tried', analysis: flaggedAt(10, 'a') },
        { rule: 'other', analysis: flaggedAt(15, 'x') },
        { rule: 'tried', analysis: flaggedAt(30, 'c') },
      ],
    })
    await commitEffects(store, 1, { shadowed: [{ rule: 'tried', analysis: flaggedAt(20, 'b') }] })
    const report = await get('/rules/tried/report', reportSchema)
    expect(report).toMatchObject({ shadow: true, counts: null, version: 1 })
    expect(report.would_have_flagged?.map(({ key }) => key)).toEqual(['c', 'b', 'a'])
    const newest = await get('/rules/tried/report?limit=2', reportSchema)
    expect(newest.would_have_flagged?.map(({ key }) => key)).toEqual(['c', 'b'])
  })

  test('leaves out corrupt samples, which hide no other', async () => {
    const store = createMemoryStore({ partitions: 1 })
    const { get, putRule } = clientOf({
      store,
      override: { shadowed: async () => ['{', flaggedAt(1, 'a'), '{"analyzed_at":9}', flaggedAt(2, 'b')] },
    })
    await putRule('tried', { pattern: '*', detector: 'novelty', shadow: true })
    const report = await get('/rules/tried/report', reportSchema)
    expect(report.would_have_flagged?.map(({ key }) => key)).toEqual(['b', 'a'])
  })

  test('of a rule in force has its counts', async () => {
    const { get, putRule } = clientOf()
    await putRule('r')
    expect(await get('/rules/r/report', reportSchema)).toMatchObject({ shadow: false, would_have_flagged: null })
  })

  test('of an unknown rule is 404', async () => {
    expect((await clientOf().send('GET', '/rules/r/report')).status).toBe(404)
  })
})

describe('the routes of the rules', () => {
  const requests: [string, string, unknown?][] = [
    ['GET', '/rules'],
    ['GET', '/rules/r'],
    ['PUT', '/rules/r', { rule: EDGE, ...NOTE }],
    ['DELETE', `/rules/r?${DELETION}`],
    ['GET', '/rules/explain?key=a'],
    ['GET', '/rules/changes'],
    ['GET', '/rules/r/report'],
    ['PUT', '/mutes/m', { pattern: '*', until: '1h', ...NOTE }],
    ['DELETE', `/mutes/m?${DELETION}`],
    ['PUT', '/storm', { storm: { percent: 5, within: '1m', keys_min: 2 }, ...NOTE }],
  ]

  test.each(requests)('%s %s is 503 without a cause while the store is unavailable', async (method, path, body) => {
    const unavailable = (): Promise<never> => Promise.reject(new StoreError('secret', { kind: 'unknown' }))
    const overrideRules = { digest: unavailable, load: unavailable, replace: unavailable, changes: unavailable }
    for (const options of [
      { isStoreOpen: false },
      { overrideRules },
      { override: { ruleCounts: unavailable }, overrideRules },
    ]) {
      const response = await clientOf(options).send(method, path, body)
      expect(response.status).toBe(503)
      expect(JSON.stringify(await problemOf(response))).not.toContain('secret')
    }
  })

  test.each([
    ['POST', '/rules', 'GET, HEAD'],
    ['DELETE', '/rules', 'GET, HEAD'],
    ['POST', '/rules/r', 'GET, HEAD, PUT, DELETE'],
    ['PATCH', '/rules/r', 'GET, HEAD, PUT, DELETE'],
    ['PATCH', '/rules/explain', 'GET, HEAD'],
    ['PUT', '/rules/r/report', 'GET, HEAD'],
    ['GET', '/mutes/m', 'PUT, DELETE'],
    ['GET', '/storm', 'PUT'],
  ])('%s %s is 405', async (method, path, allow) => {
    const response = await clientOf().send(method, path)
    expect(response.status).toBe(405)
    expect(response.headers.get('Allow')).toBe(allow)
    await problemOf(response)
  })

  test('are few metric labels, whatever ids clients invent', async () => {
    const { send, registry } = clientOf()
    for (let i = 0; i < 50; i++) {
      await send('GET', `/rules/r${i}`)
      await send('GET', `/rules/%2F${i}/report`)
      await send('GET', `/mutes/${i}`)
      await send('GET', `/rules/${i}/x`)
    }
    const text = await registry.metrics()
    const routes = new Set([...text.matchAll(/gateway_http_requests_total\{route="([^"]+)"/g)].map(match => match[1]))
    expect([...routes].toSorted()).toEqual(['/mutes/:id', '/rules/:id', '/rules/:id/report', 'unmatched'])
  })

  test('a corrupt document is 500, not an error of the client', async () => {
    const store: Store = createMemoryStore()
    const rules = [{ rule: { id: 'r', pattern: '{' }, version: 1, changed: { ...NOTE, at: NOW } }]
    const change = { version: 1, kind: 'rule_put', id: 'r', content: {}, ...NOTE, at: NOW } as const
    await store.rules.replace({ ...EMPTY_DOCUMENT, version: 1, rules }, change, '')
    const response = await clientOf({ store }).send('GET', '/rules/explain?key=a')
    expect(response.status).toBe(500)
    await problemOf(response)
  })
})
