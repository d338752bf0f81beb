import { KeyTemplate, METRIC_NAMES, METRIC_TEMPLATE } from '@tidemark/shared/sample/key-template'
import { describe, expect, test } from 'vitest'
import { Batch } from './batch.ts'
import { readJson } from './json.ts'
import { readNdjson } from './ndjson.ts'

const LIMITS = {
  ...{ samplesMax: 10_000, keyBytesMax: 200, valueAbsMax: 1e100, futureMaxMs: 86_400_000 },
  template: new KeyTemplate(METRIC_TEMPLATE, METRIC_NAMES),
}

/** Reads a body; samples as `key=value@index`. */
function read(text: string, reader = readJson) {
  const batch = new Batch(LIMITS, 1_700_000_000_000)
  const fault = reader(text, batch)
  const samples = batch.samples.map(({ key, value }, i) => `${key}=${value}@${batch.indexes[i]}`)
  return { fault, samples, reasons: batch.rejections.map(({ reason }) => reason), timestamps: batch.samples }
}

const NO_NUMBER = 'JSON has no such number, so leave it out'

describe('of damaged JSON', () => {
  test.each(['NaN', 'nan', '-nan', 'NAN', 'nan(ind)', '-1.#IND', '1.#QNAN'])(
    'a report keeps its metrics beside %s',
    written => {
      expect(read(`{"device":"e","metrics":{"t":${written},"h":41}}`)).toMatchObject({
        fault: undefined,
        samples: ['e/h=41@0'],
        reasons: [`sample 0: metric "t": value is NaN at line 1, column 30: ${NO_NUMBER}`],
      })
    },
  )

  test.each(['inf', '-inf', 'Infinity', '-Infinity', '+Inf', '1.#INF'])(
    'a report keeps its metrics beside %s',
    written => {
      expect(read(`{"device":"e","metrics":{"h":41,"t":${written}}}`)).toMatchObject({
        samples: ['e/h=41@0'],
        reasons: [`sample 0: metric "t": value is infinite at line 1, column 37: ${NO_NUMBER}`],
      })
    },
  )

  test('one NaN among 100 items costs one item, in every place', () => {
    const items = Array.from({ length: 100 }, (_, i) => `{"key":"k${i}","value":${i}}`)
    for (const bad of [0, 42, 99]) {
      const damaged = items.with(bad, `{"key":"k${bad}","value":NaN}`)
      for (const text of [`[${damaged}]`, `[\n  ${damaged.join(',\n  ')}\n]`, damaged.join('\r\n'), damaged.join('')]) {
        const { samples, reasons } = read(text)
        expect(samples).toEqual(items.map((_, i) => `k${i}=${i}@${i}`).toSpliced(bad, 1))
        expect(reasons).toEqual([
          expect.stringMatching(new RegExp(`^sample ${bad}: value is NaN at line \\d+, column`)),
        ])
      }
    }
  })

  const A = '{"key":"a","value":1}'
  const B = '{"key":"b","value":2}'
  test.each([
    ['nothing', ''],
    ['a space', ' '],
    ['a line end', '\n'],
    ['a Windows line end', '\r\n'],
    ['a comma', ','],
    ['a comma and a line end', ',\n'],
    ['a zero byte', '\0'],
    ['a byte order mark', '\ufeff'],
    ['a record separator (RFC 7464)', '\n\u001e'],
    ['the brackets of two arrays', ']['],
  ])('objects with %s between them are all read', (_, between) => {
    const text = between === '][' ? `[${A}][${B}]` : `${A}${between}${B}`
    expect(read(text)).toMatchObject({ fault: undefined, samples: ['a=1@0', 'b=2@1'], reasons: [] })
  })

  test.each([
    ['a comma after the last item', `[${A},${B},]`],
    ['a comma after the last member', '[{"key":"a","value":1,},{"key":"b","value":2,}]'],
    ['an array without its end', `[${A},${B}`],
    ['an array without its beginning', `${A},${B}]`],
    ['two byte order marks', `\ufeff\ufeff[${A},${B}]`],
    ['padding with zero bytes', `[${A},${B}]\0\0\0`],
  ])('%s does no harm', (_, text) => {
    expect(read(text)).toMatchObject({ fault: undefined, samples: ['a=1@0', 'b=2@1'], reasons: [] })
  })

  test.each([
    ['{"key":"a","value":4,97}', 'sample 0: value is not a number at line 1, column 21: decimal comma?', []],
    [
      '{"device":"d","metrics":{"t":21,5,"h":41}}',
      'sample 0: metric "t": value is not a number at line 1, column 32: decimal comma?',
      ['d/h=41@0'],
    ],
    ['{"rps":4,5,"cpu":1}', 'sample 0: rps is not a number at line 1, column 9: decimal comma?', ['default/cpu=1@0']],
    ['{\u201ckey\u201d:1}', expect.stringContaining('a member has typographic quotes at line 1, column 2: JSON'), []],
    ["{'key':'a','value':1}", 'sample 0: a member has single quotes at line 1, column 2: JSON has double quotes', []],
    ['{key:"a",value:1}', 'sample 0: a member has a name without double quotes at line 1, column 2', []],
    [
      '{/* x */"key":"a","value":1}',
      'sample 0: a member has a comment before it at line 1, column 2: JSON has no comments',
      [],
    ],
    [
      '{"key":"a","value":+1}',
      expect.stringContaining('is not a number at line 1, column 20: JSON writes numbers as'),
      [],
    ],
    ['{"key":"a\tb","value":1}', 'sample 0: key has a text that is not valid JSON at line 1, column 8', []],
    ['{"key":"a\\x41","value":1}', 'sample 0: key has a text that is not valid JSON at line 1, column 8', []],
    ['{"key":"a","value":None}', 'sample 0: value has no value at line 1, column 20: leave it out', []],
    ['{"key":"a","value":}', 'sample 0: value has no value at line 1, column 20: leave it out', []],
    ['{"key" "a","value":1}', 'sample 0: key has no colon after its name at line 1, column 2', []],
    ['{"key":"a" "value":1}', 'sample 0: key is not valid JSON at line 1, column 8', []],
    ['{"key":"a","value":0x1F}', expect.stringContaining('value is not a number at line 1, column 20'), []],
    ['{"key":"a","value":1}xyz', 'sample 1: the text at line 1, column 22 is not a JSON object', ['a=1@0']],
  ])('%s: %s', (text, reason, samples) => {
    expect(read(text)).toMatchObject({ fault: undefined, samples, reasons: [reason] })
    expect(read(`[${text},{"key":"z","value":9}]`).samples.filter(sample => sample.startsWith('z'))).toHaveLength(1)
  })

  test.each([
    '{',
    '{"key"',
    '{"key":',
    '{"key":"b',
    '{"key":"b"',
    '{"key":"b","val',
    '{"key":"b","value":',
    '{"key":"b","value":12',
    '{"key":"b","value":12,"timestamp":17000',
    '{"key":"b","tags":{"x":[1,{"y":2',
  ])('what is cut off at %s costs one item, also with more after it', cut => {
    expect(read(`[${A},${cut}`)).toMatchObject({ samples: ['a=1@0'], reasons: [expect.stringContaining('sample 1: ')] })
    for (const between of ['', '\n', '\r\n', ',', '[', ',[', '\n[']) {
      const { samples, reasons } = read(`[${A},${cut}${between}{"key":"c","value":3},{"key":"d","value":4}]`)
      expect([between, samples]).toEqual([between, ['a=1@0', 'c=3@2', 'd=4@3']])
      expect(reasons).toEqual([expect.stringContaining('sample 1: ')])
    }
  })

  test.each([
    ['{"a":NaN}', 'is NaN'],
    ['[1,2,-nan]', 'is NaN'],
    ['{"a":{"b":[Infinity]}}', 'is infinite'],
    ['[1,.5,2]', 'is not a number'],
    ['[None]', 'has no value'],
  ])('a report keeps its metrics beside the metric %s', (nested, problem) => {
    for (const [text, samples] of [
      [`{"device":"d","metrics":{"x":${nested},"y":1,"z":2}}`, ['d/y=1@0', 'd/z=2@0']],
      [`{"device":"d","metrics":{"y":1,"z":2,"x":${nested}}}`, ['d/y=1@0', 'd/z=2@0']],
      [`[{"device":"d","metrics":{"y":1,"x": ${nested} }},{"key":"a","value":3}]`, ['d/y=1@0', 'a=3@1']],
    ] as const) {
      const read1 = read(text)
      expect(read1).toMatchObject({ fault: undefined, samples })
      expect(read1.reasons).toEqual([expect.stringContaining(`sample 0: metric "x": value ${problem} at line 1`)])
    }
  })

  test('a report that is cut off keeps its metrics before the cut, and says which time they get', () => {
    const cut = (text: string) => read(text)
    expect(cut('{"device":"e","timestamp":1700000000,"metrics":{"t":1,"h":4')).toMatchObject({
      samples: ['e/t=1@0'],
      reasons: ['sample 0: metric "h": the item is cut off at line 1, column 60'],
    })
    expect(cut('{"device":"e","metrics":{"t":1,"h":4')).toMatchObject({
      samples: ['e/t=1@0'],
      reasons: [expect.stringContaining('its metrics get the time of arrival')],
    })
    // A timestamp began, but is lost: the time of measurement is unknown.
    for (const rest of ['},"timestamp":17000', '},"timest', ',"timestamp":1700000000}']) {
      expect(cut(`{"device":"e","metrics":{"t":1,"h":4${rest}`).samples).toEqual([])
    }
  })

  test('a report that lacks only its last brace keeps its metrics, also with more after it', () => {
    const report = '{"device":"d","timestamp":1700000000,"metrics":{"x":1,"y":2}'
    for (const between of ['', '\n', ',', ', ', ',\n']) {
      const { samples, reasons } = read(`[${report}${between}{"key":"a","value":3}]`)
      expect([between, samples]).toEqual([between, ['d/x=1@0', 'd/y=2@0', 'a=3@1']])
      expect(reasons).toEqual([expect.stringContaining('sample 0: the item is cut off at line')])
    }
  })

  test('an object inside a sample is not read as another sample', () => {
    const text = '{"key":"a","value":{"key":"b","value":2}}{"device":"d" "metrics":{"cpu":1}}{"key":"c","value":3}'
    expect(read(text)).toMatchObject({ samples: ['c=3@2'], reasons: [{}, {}].map(() => expect.any(String)) })
  })

  test('names of prototypes are names like others', () => {
    const { samples, reasons } = read('{"device":"d","metrics":{"__proto__":1,"constructor":2,"x":nan}}')
    expect(samples).toEqual(['d/__proto__=1@0', 'd/constructor=2@0'])
    expect(reasons).toHaveLength(1)
    expect(read('{"key":"a","value":1,"__proto__":{"x":1},}').reasons).toEqual(['sample 0: unknown member "__proto__"'])
    expect('x' in {}).toBe(false)
  })

  test('the last of duplicate members counts, as in other JSON', () => {
    expect(read('{"key":"a","value":1,"value":2,}').samples).toEqual(['a=2@0'])
    expect(read('{"device":"d","metrics":{"x":1,"x":2,"y":nan}}').samples).toEqual(['d/x=2@0'])
  })

  test('the limit of samples holds', () => {
    expect(read(`${A.repeat(10_001)}x`).fault).toEqual({ kind: 'too-many' })
    expect(read('x,'.repeat(100_000)).fault).toMatchObject({ kind: 'malformed' })
  })
})

describe('lines under the name of JSON', () => {
  test.each(['garbage', '{"key":"a","value":', '"value":1}', '{"key":"a","value":nan}', '# comment', '{}'])(
    'the first of which is %s: the others are read, with their lines as indexes',
    first => {
      const text = `${first}\n\n{"key":"b","value":2}\n{"key":"c","value":3}\n`
      expect(read(text)).toMatchObject({
        samples: ['b=2@2', 'c=3@3'],
        reasons: [expect.stringContaining('sample 0: ')],
      })
    },
  )

  test('as NDJSON, a line may hold several objects or an array', () => {
    const text = '{"key":"a","value":1}{"key":"b","value":2}\n[{"key":"c","value":3}]\nNaN\n{"key":"d","value":4}'
    expect(read(text, readNdjson)).toMatchObject({
      samples: ['a=1@0', 'b=2@0', 'c=3@1', 'd=4@3'],
      reasons: ['sample 2: the text at line 3, column 1 is not a JSON object'],
    })
  })
})

describe('an item of another system says what to configure', () => {
  test.each([
    ['{"resourceMetrics":[{"scopeMetrics":[]}]}', 'OTLP'],
    ['{"resourceLogs":[]}', 'OTLP'],
    ['{"timeseries":[{"labels":[],"samples":[]}]}', 'remote write'],
    ['{"samples":[{"key":"a","value":1}]}', 'send that array as the body'],
    ['{"metrics":[{"key":"a","value":1}]}', 'member "metrics" is an array of objects: send that array as the body'],
    ['[[{"key":"a","value":1}]]', 'must be an object, not an array: send all in one array'],
    ['["{\\"key\\":\\"a\\",\\"value\\":1}"]', 'was encoded twice'],
  ])('%s: %s', (text, hint) => {
    expect(read(text)).toMatchObject({ fault: undefined, samples: [], reasons: [expect.stringContaining(hint)] })
  })
})

test('a body that was encoded twice says so', () => {
  const reason = 'the body must be a JSON object or an array of objects, and is a text: it was encoded twice'
  expect(read(JSON.stringify('{"key":"a","value":1}')).fault).toEqual({ kind: 'malformed', reason })
})

describe('the time is linear', () => {
  test.each([
    ...['{"key":"a","value":', '{"value":', '{"x":[', '{', '{"', '{"\\', '{"key":"a","value":1,', ',"a', '{    ', '"'],
    ...[
      '{"device":"a","metrics":{',
      '{"a":',
      '{"a":1,"b',
      'x ',
      '{"a":{"b":',
      '\\"',
      '{\n',
      '[{"a":',
      '{"metrics":{"key":',
    ],
  ])(
    'of %s, a mebibyte of it',
    part => {
      // Quadratic time would be hours, on any machine.
      for (const reader of [readJson, readNdjson]) read(`${part.repeat((1 << 20) / part.length)}x`, reader)
    },
    60_000,
  )
})
