import { KeyTemplate, METRIC_NAMES, METRIC_TEMPLATE } from '@tidemark/shared/sample/key-template'
import { fuzzRuns } from '@tidemark/testkit/fuzz-runs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Batch } from './batch.ts'
import { readJson } from './json.ts'
import { readNdjson } from './ndjson.ts'

const NOW = 1_700_000_000_000
const LIMITS = { samplesMax: 10_000, keyBytesMax: 200, valueAbsMax: 1e100, futureMaxMs: 86_400_000 }

/** Reads a body; samples as `key=value@index`. */
function read(body: unknown, reader = readJson, template = METRIC_TEMPLATE) {
  const batch = new Batch({ ...LIMITS, template: new KeyTemplate(template, METRIC_NAMES) }, NOW)
  const fault = reader(typeof body === 'string' ? body : JSON.stringify(body), batch)
  return {
    fault,
    samples: batch.samples.map(({ key, value }, i) => `${key}=${value}@${batch.indexes[i]}`),
    times: [...new Set(batch.samples.map(({ timestamp }) => timestamp))],
    reasons: batch.rejections.map(({ reason }) => reason),
    skipped: Object.fromEntries(batch.skipped),
  }
}

const CPU = {
  name: 'cpu',
  tags: { host: 'web1.example.com', cpu: 'cpu0' },
  fields: { usage_idle: 93.5, n: 3, up: true, state: 'ok', gone: null },
  timestamp: 1_700_000_000,
}
const CPU_SAMPLES = ['usage_idle=93.5', 'n=3', 'up=1'].map(end => `cpu,cpu=cpu0,host=web1.example.com.${end}`)

const COLLECTD = {
  values: [1901474177, null, 5.5],
  dstypes: ['derive', 'derive', 'gauge'],
  dsnames: ['read', 'write', 'value'],
  time: 1_700_000_000.25,
  interval: 10,
  host: 'web1',
  plugin: 'disk',
  plugin_instance: 'sda',
  type: 'disk_octets',
  type_instance: '',
  meta: { 'network:received': true },
}

const STATE = {
  entity_id: 'sensor.kitchen_temperature',
  state: '21.5',
  attributes: { unit_of_measurement: '°C', battery: 80, options: [1], charging: false },
  last_changed: '2023-11-14T22:00:00.000000+00:00',
  last_updated: '2023-11-14T22:13:20.123456+00:00',
  context: { id: 'x', parent_id: null, user_id: null },
}
const STATE_SAMPLES = ['state=21.5', 'battery=80', 'charging=0'].map(end => `sensor.kitchen_temperature.${end}`)

interface Read {
  readonly samples: readonly string[]
  readonly times?: readonly number[]
  readonly skipped?: object
}

describe('the format of', () => {
  test.each<[string, unknown, Read]>([
    ['Telegraf, alone', CPU, { samples: CPU_SAMPLES, skipped: { text: 1, null: 1 } }],
    ['Telegraf, a batch', { metrics: [CPU] }, { samples: CPU_SAMPLES, skipped: { text: 1, null: 1 } }],
    [
      'Telegraf without tags, in milliseconds',
      { name: 'm', fields: { v: 1 }, timestamp: 1_700_000_000_123 },
      { samples: ['m.v=1'], times: [NOW + 123] },
    ],
    ['an empty batch of Telegraf', { metrics: [] }, { samples: [], times: [] }],
    [
      'collectd (write_http)',
      [COLLECTD],
      {
        samples: ['read=1901474177', 'value=5.5'].map(end => `disk,host=web1,instance=sda,type=disk_octets.${end}`),
        times: [NOW + 250],
        skipped: { null: 1 },
      },
    ],
    [
      'Fluent Bit (cpu)',
      [
        {
          date: 1_700_000_000.5,
          cpu_p: 1.25,
          'cpu0.p_cpu': 2,
          hostname: 'web1',
          ok: true,
          nested: { a: 1 },
          none: null,
        },
      ],
      {
        samples: ['cpu_p=1.25', 'cpu0%2Ep_cpu=2', 'ok=1'].map(end => `fluentbit,hostname=web1.${end}`),
        times: [NOW + 500],
        skipped: { nested: 1, null: 1 },
      },
    ],
    [
      'Fluent Bit, iso8601',
      { date: '2023-11-14T22:13:20.123456Z', v: 1 },
      { samples: ['fluentbit.v=1'], times: [NOW + 123] },
    ],
    ['Fluent Bit, a log', { date: 1_700_000_000, log: 'a line' }, { samples: [], times: [], skipped: { text: 1 } }],
    [
      'Vector, a gauge',
      [
        {
          name: 'load1',
          namespace: 'host',
          tags: { host: 'a' },
          timestamp: '2023-11-14T22:13:20Z',
          gauge: { value: 0.5 },
        },
      ],
      { samples: ['host_load1,host=a.value=0.5'] },
    ],
    [
      'Vector, counters',
      [
        { name: 'n', tags: null, timestamp: 1_700_000_000, kind: 'incremental', counter: { value: 3 } },
        { name: 'h', timestamp: 1_700_000_000, aggregated_histogram: { count: 1 } },
      ],
      { samples: ['n.value=3'], skipped: { unsupported: 1 } },
    ],
    ['Home Assistant, a state', STATE, { samples: STATE_SAMPLES, times: [NOW + 123], skipped: { text: 1, nested: 1 } }],
    [
      'Home Assistant, an event',
      { event_type: 'state_changed', data: { entity_id: STATE.entity_id, old_state: null, new_state: STATE } },
      { samples: STATE_SAMPLES, times: [NOW + 123], skipped: { text: 1, nested: 1 } },
    ],
    [
      'Home Assistant, other events',
      [
        { event_type: 'state_changed', data: { entity_id: 'a.b', new_state: null } },
        { event_type: 'call_service', data: {} },
        { event_type: 'state_reported', data: { new_state: STATE } },
      ],
      { samples: [], times: [], skipped: { null: 1, unsupported: 2 } },
    ],
    [
      'Home Assistant, states that are one of two, and none',
      ['on', 'Off', 'open', 'not_home', 'unavailable', 'unknown'].map(state => ({
        entity_id: `x.${state}`,
        state,
        last_changed: 1_700_000_000,
      })),
      { samples: ['x.on.state=1', 'x.Off.state=0', 'x.open.state=1', 'x.not_home.state=0'], skipped: { text: 2 } },
    ],
    [
      'Node-RED',
      [
        { topic: 'sensors/kitchen', payload: 21.5, _msgid: 'a', qos: 1, timestamp: NOW },
        { topic: 'sensors/hall', payload: '19.25', timestamp: NOW },
        { topic: 'sensors/door', payload: true, timestamp: NOW },
        { topic: 'sensors/yard', payload: { temperature: 4, humidity: 81, name: 'x' }, timestamp: NOW },
        { topic: 'sensors/text', payload: 'open the door', timestamp: NOW },
      ],
      {
        samples: [
          'sensors/kitchen.value=21.5',
          'sensors/hall.value=19.25',
          'sensors/door.value=1',
          'sensors/yard.temperature=4',
          'sensors/yard.humidity=81',
        ],
        skipped: { text: 2 },
      },
    ],
  ])('%s', (_, body, { samples, times = [NOW], skipped = {} }) => {
    const found = read(body)
    expect(found).toMatchObject({ fault: undefined, times, reasons: [], skipped })
    expect(found.samples.map(sample => sample.replace(/@\d+$/, ''))).toEqual(samples)
  })

  test('each is read as an array, as lines, and as objects in sequence', () => {
    const items = [CPU, COLLECTD, STATE, { date: 1, v: 1 }, { topic: 't', payload: 1 }, { key: 'own', value: 1 }]
    const { samples, skipped } = read(items)
    expect(samples.length).toBe(3 + 2 + 3 + 1 + 1 + 1)
    for (const between of ['\n', '', ' ', ',\n']) {
      const text = items.map(item => JSON.stringify(item)).join(between)
      expect(read(text)).toMatchObject({ fault: undefined, samples, skipped, reasons: [] })
    }
    const lines = items.map(item => JSON.stringify(item)).join('\r\n')
    expect(read(lines, readNdjson)).toMatchObject({ fault: undefined, samples, skipped, reasons: [] })
  })

  test('a metric is under the keys of INFLUX_KEY, and rejected where that has no place for a tag', () => {
    expect(read(CPU, readJson, '{host}/{measurement}{tags}.{field}').samples[0]).toBe(
      'web1.example.com/cpu,cpu=cpu0.usage_idle=93.5@0',
    )
    expect(read([CPU, { topic: 't', payload: 1 }], readJson, '{host}/{measurement}.{field}')).toMatchObject({
      samples: ['/t.value=1@1'],
      reasons: ['sample 0: INFLUX_KEY has no place for the tag "cpu": add {tags} to it, or drop the tag'],
    })
  })
})

describe('a mistake in the format of an agent', () => {
  test.each<[unknown, string]>([
    [{ fields: { v: 1 } }, 'sample 0: name is missing'],
    [{ name: '', fields: { v: 1 } }, 'sample 0: name must not be empty'],
    [{ name: 'm', fields: [1] }, 'sample 0: fields must be an object'],
    [{ name: 'm', fields: { v: 1 }, extra: 1 }, 'sample 0: unknown member "extra"'],
    [{ name: 'm', tags: { a: { b: 1 } }, fields: { v: 1 } }, 'sample 0: tags must have no nested values'],
    [
      { metrics: [{ name: 'm', fields: { v: 1, w: 2e100 } }, 5] },
      'sample 0: metric "metrics[0].w": value must be from',
    ],
    [{ metrics: [CPU], extra: 1 }, 'sample 0: member "metrics" is an array of objects: send that array as the body'],
    [{ ...COLLECTD, values: [1] }, 'sample 0: values must be as many as dsnames'],
    [{ ...COLLECTD, host: undefined }, 'sample 0: host is missing'],
    [{ ...STATE, state: null }, 'sample 0: state must be a text, a number or a boolean'],
    [{ payload: 1 }, 'sample 0: topic is missing'],
    [{ topic: 't', payload: [1] }, 'sample 0: payload must be a number, or an object of numbers'],
    [{ date: 'yesterday', v: 1 }, 'sample 0: metric "v": timestamp "yesterday" must be a Unix time'],
    [{ topic: 't', payload: { ['x'.repeat(200)]: 1 } }, 'key must be at most 200 bytes'],
  ])('%j: %s', (body, reason) => {
    expect(read(body).reasons[0]).toContain(reason)
  })

  test('costs nothing beside it', () => {
    const { samples, reasons } = read({ metrics: [5, { name: 'm', fields: { v: 1 } }, { name: 'n' }] })
    expect(samples).toEqual(['m.v=1@0'])
    expect(reasons).toEqual([
      'sample 0: metric "metrics[0]": must be an object',
      'sample 0: metric "metrics[2]": fields must be an object',
    ])
  })

  test.each(['topic', 'entity_id'])('with %s and a mebibyte of digits that are no number takes linear time', member => {
    const start = performance.now()
    read({ [member]: 't', payload: `${'1'.repeat(1 << 20)}x`, state: `${'1'.repeat(1 << 20)}x` })
    // Quadratic would be half an hour.
    expect(performance.now() - start).toBeLessThan(10_000)
  })

  test('names that are members of every object are names like others', () => {
    const text = '{"name":"m","tags":{"__proto__":"a"},"fields":{"__proto__":1,"constructor":2}}'
    expect(read(text).samples).toEqual(['m,__proto__=a.__proto__=1@0', 'm,__proto__=a.constructor=2@0'])
    expect('a' in {}).toBe(false)
  })
})

describe('of any items with the members of agents', () => {
  const members = [
    'name',
    'tags',
    'fields',
    'metrics',
    'dsnames',
    'values',
    'host',
    'plugin',
    'type',
    'entity_id',
  ].concat(
    ...['state', 'attributes', 'event_type', 'data', 'topic', 'payload', 'gauge', 'counter', 'date', 'time', 'x'],
  )
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom<unknown>({ v: 1 }, ['v'], [1], 'a', 1_700_000_000, { value: 2 }, { new_state: { entity_id: 'e' } }),
  )
  const item = fc.dictionary(fc.constantFrom(...members), value, { minKeys: 1, maxKeys: 6 })

  test('each is accepted, skipped or rejected, and nothing throws', () => {
    fc.assert(
      fc.property(item, one => {
        const { fault, samples, reasons, skipped } = read([one])
        expect(fault).toBeUndefined()
        const outcomes = samples.length + reasons.length + Object.keys(skipped).length
        const isEmpty = ['fields', 'metrics', 'payload', 'values'].some(name => {
          const given = one[name]
          return typeof given === 'object' && given !== null && Object.keys(given).length === 0
        })
        if (!isEmpty) expect(outcomes).toBeGreaterThan(0)
      }),
      fuzzRuns(3000),
    )
  })
})
