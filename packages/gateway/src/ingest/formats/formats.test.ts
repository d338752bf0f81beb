import { KeyTemplate, METRIC_NAMES, METRIC_TEMPLATE } from '@tidemark/shared/sample/key-template'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Batch } from './batch.ts'
import { readJson } from './json.ts'
import { readNdjson } from './ndjson.ts'

const NOW = 1_700_000_000_000
/** What samples without a timestamp have in the store. */
const ARRIVAL = NOW + 0.5
const LIMITS = {
  ...{ samplesMax: 10_000, keyBytesMax: 200, valueAbsMax: 1e100, futureMaxMs: 86_400_000 },
  template: new KeyTemplate(METRIC_TEMPLATE, METRIC_NAMES),
}

function read(text: string, reader = readJson) {
  const batch = new Batch(LIMITS, NOW)
  const fault = reader(text, batch)
  const { samples, indexes, rejections } = batch
  return { fault, samples, indexes, reasons: rejections.map(({ reason }) => reason), rejections }
}

describe('accepted items', () => {
  test.each([
    [
      'a sample',
      '{"key":"a","value":1,"timestamp":1700000001}',
      [{ key: 'a', value: 1, timestamp: 1_700_000_001_000 }],
    ],
    [
      'a sample without a timestamp gets the current time',
      '{"key":"a","value":1}',
      [{ key: 'a', value: 1, timestamp: ARRIVAL }],
    ],
    [
      'milliseconds',
      '{"key":"a","value":1,"timestamp":1700000001234}',
      [{ key: 'a', value: 1, timestamp: 1_700_000_001_234 }],
    ],
    ['ISO 8601', '{"key":"a","value":1,"timestamp":"2023-11-14T22:13:20Z"}', [{ key: 'a', value: 1, timestamp: NOW }]],
    [
      'an array of every kind of object',
      '[{"key":"a","value":1},{"device":"d","timestamp":5,"metrics":{"x":2,"y":3}},{"cpu":4,"rps":5}]',
      [
        { key: 'a', value: 1, timestamp: ARRIVAL },
        { key: 'd/x', value: 2, timestamp: 5000 },
        { key: 'd/y', value: 3, timestamp: 5000 },
        { key: 'default/cpu', value: 4, timestamp: ARRIVAL },
        { key: 'default/rps', value: 5, timestamp: ARRIVAL },
      ],
    ],
    ['a load report with one value', '{"rps":5}', [{ key: 'default/rps', value: 5, timestamp: ARRIVAL }]],
    ['the empty array', '[]', []],
    ['a key of braces', '{"key":"{3}","value":1}', [{ key: '{3}', value: 1, timestamp: ARRIVAL }]],
    ['the key __proto__', '{"key":"__proto__","value":1}', [{ key: '__proto__', value: 1, timestamp: ARRIVAL }]],
    ['the key constructor', '{"key":"constructor","value":1}', [{ key: 'constructor', value: 1, timestamp: ARRIVAL }]],
    [
      'metrics called __proto__ and constructor',
      '{"device":"d","metrics":{"__proto__":1,"constructor":2,"toString":3}}',
      [
        { key: 'd/__proto__', value: 1, timestamp: ARRIVAL },
        { key: 'd/constructor', value: 2, timestamp: ARRIVAL },
        { key: 'd/toString', value: 3, timestamp: ARRIVAL },
      ],
    ],
    ['the last of duplicate members', '{"key":"a","value":1,"value":2}', [{ key: 'a', value: 2, timestamp: ARRIVAL }]],
    ['the largest value', '{"key":"a","value":-1e100}', [{ key: 'a', value: -1e100, timestamp: ARRIVAL }]],
    [
      'a key twice, in order',
      '[{"key":"a","value":1},{"key":"a","value":2}]',
      [
        { key: 'a', value: 1, timestamp: ARRIVAL },
        { key: 'a', value: 2, timestamp: ARRIVAL },
      ],
    ],
    [
      'lines of JSON under the name of JSON',
      '{"key":"a","value":1}\r\n\r\n{"key":"b","value":2}\r\n',
      [
        { key: 'a', value: 1, timestamp: ARRIVAL },
        { key: 'b', value: 2, timestamp: ARRIVAL },
      ],
    ],
  ])('%s', (_, text, samples) => {
    expect(read(text)).toMatchObject({ fault: undefined, samples, reasons: [] })
  })

  test.each([
    ['null', ARRIVAL],
    ['"1700000000"', NOW],
    ['"1700000000.5"', NOW + 500],
    ['1700000000000000', NOW],
    ['1700000000000000000', NOW],
    ['"2023-11-14 22:13:20+00"', NOW],
    ['1637431069.658508', 1_637_431_069_659],
    [`${NOW + 86_400_000}`, NOW + 86_400_000],
  ])('timestamp %s, in every format', (written, timestamp) => {
    const items = [
      `{"key":"a","value":1,"timestamp":${written}}`,
      `{"device":"a","metrics":{"b":1},"timestamp":${written}}`,
      `{"rps":1,"timestamp":${written}}`,
    ]
    for (const item of items) expect(read(item)).toMatchObject({ reasons: [], samples: [{ timestamp }] })
  })

  test('-0 becomes 0', () => {
    expect(Object.is(read('{"key":"a","value":-0}').samples[0]?.value, 0)).toBe(true)
  })

  test('a key of 200 bytes is the longest', () => {
    expect(read(JSON.stringify({ key: 'ä'.repeat(100), value: 1 })).samples).toHaveLength(1)
    expect(read(JSON.stringify({ key: `${'ä'.repeat(100)}a`, value: 1 })).reasons).toEqual([
      'sample 0: key must be at most 200 bytes of UTF-8',
    ])
  })
})

describe('rejected items and their reasons', () => {
  test.each([
    ['{"value":1}', 'key is missing', 'key'],
    ['{"key":1,"value":1}', 'key must be a string', 'key'],
    ['{"key":"","value":1}', 'key must not be empty', 'key'],
    ['{"key":"a\\u0000b","value":1}', 'key must not contain control characters', 'key'],
    ['{"key":"a\\r\\nb","value":1}', 'key must not contain control characters', 'key'],
    ['{"key":"a\\u0085","value":1}', 'key must not contain control characters', 'key'],
    ['{"key":"\\ud800","value":1}', 'key must not contain lone surrogates or bytes that are not UTF-8', 'key'],
    ['{"key":"a"}', 'value is missing', 'value'],
    ['{"key":"a","value":"1"}', 'value must be a finite number: send "1" without quotes', 'value'],
    [
      '{"key":"a","value":"21,5"}',
      'value must be a finite number: send "21,5" without quotes and with a decimal point',
      'value',
    ],
    ['{"key":"a","value":"high"}', 'value must be a finite number', 'value'],
    [
      '{"key":"a","value":1,"timestamp":""}',
      'timestamp "" must be a time: leave it out where the time is unknown',
      'timestamp',
    ],
    [
      '{"key":"a","value":1,"timestamp":"1700000000,5"}',
      'timestamp "1700000000,5" must be a Unix time or an ISO 8601 time such as 2024-01-31T12:00:00Z, with a decimal point',
      'timestamp',
    ],
    ['{"key":"a","value":null}', 'value must be a finite number', 'value'],
    ['{"key":"a","value":true}', 'value must be a finite number', 'value'],
    ['{"key":"a","value":1e999}', 'value must be a finite number', 'value'],
    ['{"key":"a","value":-1e999}', 'value must be a finite number', 'value'],
    ['{"key":"a","value":1.0000001e100}', 'value must be from -1e+100 to 1e+100', 'value'],
    ['{"key":"a","value":1e308}', 'value must be from -1e+100 to 1e+100', 'value'],
    ['{"key":"a","value":1,"timestamp":1e999}', 'timestamp must be a Unix time or an ISO 8601 string', 'timestamp'],
    ['{"key":"a","value":1,"timestamp":true}', 'timestamp must be a Unix time or an ISO 8601 string', 'timestamp'],
    ['{"key":"a","value":1,"timestamp":-1}', 'timestamp -1 must not be before 1970', 'timestamp'],
    [
      '{"key":"a","value":1,"timestamp":"yesterday"}',
      'timestamp "yesterday" must be a Unix time or an ISO 8601 time such as 2024-01-31T12:00:00Z',
      'timestamp',
    ],
    [
      '{"key":"a","value":1,"timestamp":"2023-02-30T00:00:00Z"}',
      'timestamp "2023-02-30T00:00:00Z" has a date or time that does not exist',
      'timestamp',
    ],
    [
      '{"device":"d","timestamp":20240101,"metrics":{"x":1}}',
      'metric "x": timestamp 20240101 may be a date or a Unix time; write a date as 2024-01-31 or 2024-01-31T12:00:00Z',
      'timestamp',
    ],
    ['{"key":"a","value":1,"tags":{"x":1}}', 'unknown member "tags"', 'shape'],
    ['{"key":"a","value":1,"__proto__":{"x":1}}', 'unknown member "__proto__"', 'shape'],
    ['{"key":"a","value":1,"constructor":1}', 'unknown member "constructor"', 'shape'],
    ['{"key":"a","value":1,"p":1,"q":1,"r":1,"s":1}', 'unknown member "p", "q", "r", ...', 'shape'],
    ['{"key":"a","value":1,"rps":5}', 'unknown member "rps"', 'shape'],
    ['{}', 'key is missing', 'key'],
    ['{"timestamp":5}', 'key is missing', 'key'],
    ['{"cpu":"5"}', 'cpu must be a finite number: send "5" without quotes', 'value'],
    ['{"cpu":5,"mem":5}', 'unknown member "mem"', 'shape'],
    ['{"device":"d"}', 'metrics must be an object', 'shape'],
    ['{"device":"d","metrics":[1]}', 'metrics must be an object', 'shape'],
    ['{"device":"d","metrics":{}}', 'metrics must not be empty', 'shape'],
    ['{"device":"","metrics":{"x":1}}', 'device must not be empty', 'key'],
    ['{"metrics":{"x":1}}', 'device is missing', 'key'],
    ['{"device":"d","metrics":{"":1}}', 'metric "": name must not be empty', 'key'],
    [
      '{"device":"d","metrics":{"x":"1"}}',
      'metric "x": value must be a finite number: send "1" without quotes',
      'value',
    ],
    ['{"device":"d","metrics":{"x\\n":1}}', 'metric "x\\n": key must not contain control characters', 'key'],
    ['{"device":"d","metrics":{"x":1e200}}', 'metric "x": value must be from -1e+100 to 1e+100', 'value'],
  ])('%s: %s', (text, problem, rule) => {
    expect(read(text)).toMatchObject({ fault: undefined, samples: [], reasons: [`sample 0: ${problem}`] })
    expect(read(text).rejections).toMatchObject([{ index: 0, rule }])
  })

  test.each(['1', '"text"', 'null', '[]', '[[]]', 'true'])('an item that is %s', item => {
    expect(read(`[${item}]`).reasons).toEqual(['sample 0: must be an object'])
  })

  test('valid items beside invalid ones are accepted, each with its index', () => {
    const text = '[{"key":"a","value":1},{"key":"b"},{"key":"c","value":3},5]'
    expect(read(text)).toMatchObject({
      samples: [{ key: 'a' }, { key: 'c' }],
      indexes: [0, 2],
      reasons: ['sample 1: value is missing', 'sample 3: must be an object'],
    })
  })

  test('a timestamp of the future affects no other sample', () => {
    const written = [NOW - 10, NOW + 86_400_001, 2_085_978_496, '"9999-12-31T23:59:59Z"', 55_840e12, NOW - 8]
    const items = written.map(timestamp => `{"key":"a","value":1,"timestamp":${timestamp}}`)
    const { samples, rejections } = read(`[${items}]`)
    expect(samples.map(({ timestamp }) => timestamp)).toEqual([NOW - 10, NOW - 8])
    expect(rejections.map(({ index, rule }) => [index, rule])).toEqual([1, 2, 3, 4].map(index => [index, 'timestamp']))
    expect(rejections[1]?.reason).toBe(
      'sample 2: timestamp 2036-02-07T06:28:16.000Z is more than 86400000 ms (FUTURE_MAX_MS) after now: check its unit and the clock',
    )
  })

  test('one invalid metric of a device does not affect the others', () => {
    const { samples, rejections } = read('[5,{"device":"d","metrics":{"x":1,"y":null,"z":3}}]')
    expect(samples.map(({ key }) => key)).toEqual(['d/x', 'd/z'])
    expect(rejections.map(({ index }) => index)).toEqual([0, 1])
  })

  test('a reason quotes only the beginning of a long name', () => {
    const [reason = ''] = read(JSON.stringify({ key: 'a', value: 1, ['x'.repeat(100_000)]: 1 })).reasons
    expect(reason.length).toBeLessThan(120)
  })

  test('parsing does not change Object.prototype', () => {
    read('{"device":"d","metrics":{"__proto__":{"polluted":1}},"__proto__":{"polluted":1}}')
    read('{"key":"__proto__","value":1,"constructor":{"prototype":{"polluted":1}}}')
    expect('polluted' in {}).toBe(false)
  })
})

describe('bodies that cannot be read', () => {
  test.each([
    ['NaN', 'not valid JSON'],
    ['garbage', 'not valid JSON'],
    ['[1,2,', 'its array has no readable object'],
    ['cpu=5&rps=3', 'form fields'],
    ['<html></html>', 'XML or HTML'],
    ['cpu,host=a usage=0.5 1700000000', 'InfluxDB line protocol'],
  ])('%s is malformed: %s', (text, reason) => {
    expect(read(text).fault).toEqual({ kind: 'malformed', reason: expect.stringContaining(reason) })
  })

  test.each(['5', 'null', '"text"', 'true'])('%s is neither object nor array', text => {
    expect(read(text).fault).toMatchObject({ kind: 'malformed' })
  })

  test('a mebibyte of open brackets is malformed, and with closing brackets one invalid item', () => {
    expect(read('['.repeat(1 << 20)).fault).toMatchObject({ kind: 'malformed' })
    expect(read('['.repeat(1 << 19) + ']'.repeat(1 << 19)).reasons).toEqual(['sample 0: must be an object'])
    expect(read(`{"key":"a","value":${'[1,'.repeat(1 << 18)}1${']'.repeat(1 << 18)}}`).reasons).toEqual([
      'sample 0: value must be a finite number',
    ])
  })

  test('the limit of samples applies to every format', () => {
    const many = Array.from({ length: 10_001 }, (_, i) => ({ key: `k${i}`, value: i }))
    expect(read(JSON.stringify(many)).fault).toEqual({ kind: 'too-many' })
    expect(read(JSON.stringify(many.slice(1))).fault).toBeUndefined()
    expect(read(many.map(item => JSON.stringify(item)).join('\n'), readNdjson).fault).toEqual({ kind: 'too-many' })
    const metrics = Object.fromEntries(many.map(({ key, value }) => [key, value]))
    expect(read(JSON.stringify({ device: 'd', metrics })).fault).toEqual({ kind: 'too-many' })
    expect(read(JSON.stringify([{ device: 'd', metrics }])).fault).toEqual({ kind: 'too-many' })
  })
})

describe('NDJSON', () => {
  test('an index is a line, counted from 0 and including blank lines', () => {
    const text = '\n{"key":"a","value":1}\n  \n{"key":\n{"key":"b","value":2}\n7'
    expect(read(text, readNdjson)).toMatchObject({
      fault: undefined,
      indexes: [1, 4],
      reasons: [
        'sample 3: the item is cut off at line 5, column 1',
        'sample 5: the text at line 6, column 1 is not a JSON object',
      ],
    })
  })

  test('NaN invalidates its own line only', () => {
    expect(read('{"key":"a","value":NaN}\n{"key":"b","value":2}', readNdjson)).toMatchObject({
      samples: [{ key: 'b' }],
      reasons: ['sample 0: value is NaN at line 1, column 20: JSON has no such number, so leave it out'],
    })
  })

  test('JSON printed over several lines is not NDJSON', () => {
    expect(read(JSON.stringify([{ key: 'a', value: 1 }], null, 2)).samples).toHaveLength(1)
    expect(read('{\n  "key": "a",\n  "value": \n}').reasons).toEqual([
      'sample 0: value has no value at line 4, column 1: leave it out',
    ])
  })
})

describe('properties', () => {
  const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter(text => !/\p{Cc}/u.test(text))
  const value = fc.double({ noNaN: true, min: -1e100, max: 1e100 })

  test('every valid sample is read unchanged, from an array and from NDJSON', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ key, value })), items => {
        const wanted = items.map(item => ({ key: item.key, value: item.value + 0, timestamp: ARRIVAL }))
        expect(read(JSON.stringify(items)).samples).toEqual(wanted)
        expect(read(items.map(item => JSON.stringify(item)).join('\n'), readNdjson).samples).toEqual(wanted)
      }),
    )
  })

  test('a device item has the same samples as a list of them', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value), { minLength: 1 }), pairs => {
        // As JSON text: an object literal would lose __proto__.
        const names = new Map(pairs)
        const metrics = [...names].map(([name, number]) => `${JSON.stringify(name)}:${JSON.stringify(number)}`)
        const { samples } = read(`{"device":"d","metrics":{${metrics.join(',')}}}`)
        expect(new Map(samples.map(sample => [sample.key, sample.value]))).toEqual(
          new Map([...names].map(([name, number]) => [`d/${name}`, number + 0])),
        )
      }),
    )
  })

  test('each item of any JSON is either accepted or rejected, and nothing throws', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), items => {
        const { fault, indexes, rejections } = read(JSON.stringify(items))
        expect(fault).toBeUndefined()
        const seen = new Set([...indexes, ...rejections.map(({ index }) => index)])
        expect([...seen].sort((a, b) => a - b)).toEqual(items.map((_, i) => i))
      }),
    )
  })

  test('any text is read or malformed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        read(text)
        read(text, readNdjson)
      }),
    )
  })
})
