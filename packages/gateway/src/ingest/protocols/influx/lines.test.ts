import { KeyTemplate, METRIC_NAMES, METRIC_TEMPLATE } from '@tidemark/shared/sample/key-template'
import { fuzzRuns } from '@tidemark/testkit/fuzz-runs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Batch } from '../../formats/batch.ts'
import { createHeads, readLines } from './lines.ts'
import { unitOf } from './precision.ts'

const NOW = 1_700_000_000_000
const LIMITS = { samplesMax: 10_000, keyBytesMax: 200, valueAbsMax: 1e100, futureMaxMs: 86_400_000 }
const DEFAULT = METRIC_TEMPLATE

const createBatch = (text: string): Batch =>
  new Batch({ ...LIMITS, template: new KeyTemplate(text, METRIC_NAMES) }, NOW)

/** Reads lines; samples as `key=value@line`, both counted from 0. */
function read(text: string, { precision = 'ns', template = DEFAULT, heads = createHeads() } = {}) {
  const batch = createBatch(template)
  const fault = readLines(text, batch, unitOf(precision) ?? 'guessed', heads)
  return {
    fault,
    samples: batch.samples.map(({ key, value }, i) => `${key}=${value}@${batch.indexes[i]}`),
    times: batch.samples.map(({ timestamp }) => timestamp),
    reasons: batch.rejections.map(({ reason }) => reason),
    rules: batch.rejections.map(({ rule }) => rule),
    indexes: batch.rejections.map(({ index }) => index),
    skipped: Object.fromEntries(batch.skipped),
  }
}

const NOTHING_ELSE = { fault: undefined, reasons: [], skipped: {} }

describe('a line', () => {
  test('has a sample for each numeric and boolean field, and texts are counted', () => {
    expect(read('cpu,host=a\\ b i=3i,u=4u,ok=T,no=false,s="x \\"q\\"",v=1.5 1700000000000000000')).toEqual({
      ...NOTHING_ELSE,
      samples: [
        'cpu,host=a b.i=3@0',
        'cpu,host=a b.u=4@0',
        'cpu,host=a b.ok=1@0',
        'cpu,host=a b.no=0@0',
        'cpu,host=a b.v=1.5@0',
      ],
      times: Array.from({ length: 5 }, () => NOW),
      rules: [],
      indexes: [],
      skipped: { text: 1 },
    })
  })

  test('has its tags in the key, sorted, whatever their order', () => {
    const sorted = 'cpu,cpu=cpu0,host=web1.example.com.usage=1@0'
    expect(read('cpu,cpu=cpu0,host=web1.example.com usage=1').samples).toEqual([sorted])
    expect(read('cpu,host=web1.example.com,cpu=cpu0 usage=1').samples).toEqual([sorted])
    expect(read('m,ab=1,a=2 v=1').samples).toEqual(['m,a=2,ab=1.v=1@0'])
    expect(read('m,a1=1,a=2 v=1').samples).toEqual(['m,a=2,a1=1.v=1@0'])
    expect(read('m,a=2,a1=1 v=1').samples).toEqual(['m,a=2,a1=1.v=1@0'])
    expect(read('m,a=2,ab=1 v=1').samples).toEqual(['m,a=2,ab=1.v=1@0'])
  })

  test.each([
    ['m,a\\ b=c\\,d\\=e f\\ g=1', 'm,a b=c%2Cd=e.f g'],
    ['m\\,n\\ o v=1', 'm%2Cn o.v'],
    ['m\\=n v=1', 'm\\=n.v'],
    ['m=n v=1', 'm=n.v'],
    ['m,t=a\\nb v=1', 'm,t=a\\nb.v'],
    ['m,t=a\\\\b v=1', 'm,t=a\\\\b.v'],
    ['m,t=C:\\dir v=1', 'm,t=C:\\dir.v'],
    ['m,t=100%,u=%41 v=1', 'm,t=100%,u=%2541.v'],
    ['m,t=ä日本 värde=1', 'm,t=ä日本.värde'],
    ['m v.w=1', 'm.v%2Ew'],
    ['m v%2E=1', 'm.v%252E'],
    ['m f\\,g\\=h=1', 'm.f,g=h'],
    ['m,t=" v=1', 'm,t=".v'],
    ['"m" "v"=1', '"m"."v"'],
    ['m,__proto__=a constructor=1', 'm,__proto__=a.constructor'],
  ])('%s has the key %s', (line, key) => {
    expect(read(line)).toMatchObject({ ...NOTHING_ELSE, samples: [`${key}=1@0`] })
  })

  test.each([
    ['1', 1],
    ['-1', -1],
    ['+1', 1],
    ['-0', 0],
    ['.5', 0.5],
    ['5.', 5],
    ['0.1', 0.1],
    ['1.7976931348623157', 1.7976931348623157],
    ['123456789012345.6', 123456789012345.6],
    ['1e3', 1000],
    ['1.5E-3', 0.0015],
    ['9223372036854775807i', 2 ** 63],
    ['-42i', -42],
    ['18446744073709551615u', 2 ** 64],
    ['0000000000000000000001', 1],
    ['t', 1],
    ['True', 1],
    ['TRUE', 1],
    ['f', 0],
    ['F', 0],
    ['False', 0],
  ])('has the value %s', (written, value) => {
    expect(read(`m v=${written},w=7`)).toMatchObject({ samples: [`m.v=${value}@0`, 'm.w=7@0'], reasons: [] })
    expect(read(`m v=${written}`)).toMatchObject({ samples: [`m.v=${value}@0`], reasons: [] })
  })

  test.each([
    ['v=NaN', 'value is NaN: leave the field out'],
    ['v=-inf', 'value is infinite: leave the field out'],
    ['v=1e999', 'value must be a finite number'],
    ['v=2e100', 'value must be from -1e+100 to 1e+100'],
  ])('keeps its other fields beside %s', (field, reason) => {
    expect(read(`m ${field},w=7`)).toMatchObject({
      samples: ['m.w=7@0'],
      reasons: [`sample 0: metric "v": ${reason}`],
      rules: ['value'],
    })
  })
})

describe('a line that is no line protocol', () => {
  test.each([
    ['cpu', 'fields are missing'],
    ['cpu ', 'fields are missing'],
    ['cpu,host=a', 'fields are missing'],
    ['cpu,host=a\\', 'fields are missing'],
    ['cpu,host=a\\ v=1', 'the value of a tag has = in it'],
    [',host=a v=1', 'the measurement is missing'],
    ['cpu, v=1', 'the name of a tag is missing'],
    ['cpu,=a v=1', 'the name of a tag is missing'],
    ['cpu,host v=1', 'the value of a tag is missing'],
    ['cpu,host= v=1', 'the value of a tag is missing'],
    ['cpu,host=a,host=b v=1', 'a tag occurs twice'],
    ['cpu,host=a=b v=1', 'the value of a tag has = in it'],
    ['cpu v', 'a field has no value'],
    ['cpu v=', 'the value of a field is missing'],
    ['cpu =1', 'the name of a field is missing'],
    ['cpu v=1,', 'a field has no value'],
    ['cpu v=1,,w=2', 'a field has no value'],
    ['cpu v=abc', 'a field is not a number'],
    ['cpu v=1.5i', 'a field is not a number'],
    ['cpu v=-1u', 'a field is not a number'],
    ['cpu v=i', 'a field is not a number'],
    ['cpu v=1x', 'a field is not a number'],
    ['cpu v=0x1F', 'a field is not a number'],
    ['cpu v=tRUE', 'a field is not a number'],
    ['cpu v="a', 'a string has no closing quote'],
    ['cpu v="a\\"', 'a string has no closing quote'],
    ['cpu v="a"b', 'a string is followed by more text'],
    ['cpu v=1 abc', 'the timestamp is not an integer'],
    ['cpu v=1 1.5', 'the timestamp is not an integer'],
    ['cpu v=1 -', 'the timestamp is not an integer'],
    ['cpu v=1 17\\', 'the timestamp is not an integer'],
    ['cpu v=1 17 18', 'more text follows the timestamp'],
    ['cpu v=1, w=2', 'a field has no value'],
    ['{"key":"a","value":1}', 'the value of a tag is missing; JSON is for POST /ingest'],
  ])('%s is rejected alone: %s', (line, problem) => {
    const { samples, reasons, indexes } = read(`a v=1\n${line}\nb v=2`)
    expect(samples).toEqual(['a.v=1@0', 'b.v=2@2'])
    expect(indexes).toEqual([1])
    expect(reasons[0]).toContain(`sample 1: unable to parse ${JSON.stringify(line.trim())}: ${problem}`)
  })

  test('is quoted only in its beginning', () => {
    expect(read(`${'x'.repeat(100_000)}`).reasons[0]?.length).toBeLessThan(200)
  })

  test('has a key that is too long or has control characters: the field is named', () => {
    expect(read(`m,t=${'x'.repeat(200)} a=1,b=2\nm,t=a\tb v=1\nn v=1`)).toMatchObject({
      samples: ['n.v=1@2'],
      rules: ['key', 'key', 'key'],
      reasons: [
        'sample 0: metric "a": key must be at most 200 bytes of UTF-8',
        'sample 0: metric "b": key must be at most 200 bytes of UTF-8',
        'sample 1: metric "v": key must not contain control characters',
      ],
    })
  })
})

describe('between lines', () => {
  test('comments, empty lines, spaces and Windows line ends do no harm, and lines keep their number', () => {
    const text = '# comment\r\n\r\n  a v=1  \r\n\t\n#\nb  v=2   1700000000000000000  \n\n c v=3,w=T\r\nd v="x"\r\ne v=t'
    expect(read(text)).toMatchObject({
      ...NOTHING_ELSE,
      samples: ['a.v=1@2', 'b.v=2@5', 'c.v=3@7', 'c.w=1@7', 'e.v=1@9'],
      skipped: { text: 1 },
    })
  })

  test.each(['', '\n', '\r\n', '# only a comment', ' \t '])('nothing is no mistake: %j', text => {
    expect(read(text)).toMatchObject({ ...NOTHING_ELSE, samples: [] })
  })

  test('a string may have line ends, commas, spaces, escapes and what looks like a line', () => {
    const text = 'a s="x\ny v=9\r\n,z \\\\",v=1\nb s="\\\\\\"",v=2\nc v=3 z'
    expect(read(text)).toMatchObject({ samples: ['a.v=1@0', 'b.v=2@3'], skipped: { text: 2 }, indexes: [4] })
  })

  test('a string without an end costs its own line, not those behind it', () => {
    expect(read('a s="x,v=1\nb v=2\nc v=3')).toMatchObject({ samples: ['b.v=2@1', 'c.v=3@2'], indexes: [0] })
    expect(read('a s="x,v=1\nb s="y",v=2\nc v=3')).toMatchObject({ samples: ['b.v=2@1', 'c.v=3@2'], indexes: [0] })
  })

  test('a line feed ends a line although a backslash precedes it', () => {
    expect(read('a,t=x\\\nb v=2\nc,t=y\\\\\nd v=4')).toMatchObject({ samples: ['b.v=2@1', 'd.v=4@3'], indexes: [0, 2] })
  })
})

describe('a timestamp', () => {
  test.each([
    ['ns', '1700000000123456789', 1700000000123],
    ['ns', '1700000000123500000', 1700000000124],
    ['n', '1', 0],
    ['n', '500000', 1],
    ['n', '499999', 0],
    ['n', '0001', 0],
    ['us', '1700000000123456', 1700000000123],
    ['u', '1500', 2],
    ['ms', '1700000000123', 1700000000123],
    ['s', '1700000000', 1700000000000],
    ['m', '28333333', 1699999980000],
    ['h', '472222', 1699999200000],
    ['', '1700000000123456789', 1700000000123],
    ['', '1700000000123456', 1700000000123],
    ['', '1700000000123', 1700000000123],
    ['', '1700000000', 1700000000000],
    ['', '100000000000', 1e11],
    ['', '100000000000000', 1e11],
    ['', '100000000000000000', 1e11],
    ['', '0', 0],
    ['ns', '-0', 0],
    ['ns', '+1700000000000000000', NOW],
  ])('in %j: %s', (precision, written, ms) => {
    expect(read(`a v=1 ${written}`, { precision })).toMatchObject({ times: [ms], reasons: [] })
  })

  test('that is absent is the time of arrival', () => {
    expect(read('a v=1\nb v=1 ').times).toEqual([NOW + 0.5, NOW + 0.5])
  })

  test.each([
    ['ns', '-1', 'must not be before 1970'],
    ['ns', '17000000000000000000', 'must have at most 19 digits'],
    ['h', '1700000000000000000', 'is beyond the year 275760'],
    ['s', '1700086401', 'is more than 86400000 ms (FUTURE_MAX_MS) after now'],
    ['s', '1700000000000', 'is more than 86400000 ms (FUTURE_MAX_MS) after now'],
  ])('in %s is rejected: %s', (precision, written, problem) => {
    const { reasons, rules, samples } = read(`a v=1 ${written}\nb v=2`, { precision })
    expect([rules, samples]).toEqual([['timestamp'], ['b.v=2@1']])
    expect(reasons[0]).toContain(problem)
  })

  test.each(['x', 'NS', 'ns ', 'day', '1'])('in the unknown unit %j does not exist', precision => {
    expect(unitOf(precision)).toBeUndefined()
  })
})

describe('another template', () => {
  const template = '{host}/{measurement}{tags}.{field}'

  test('makes all keys', () => {
    expect(read('cpu,cpu=0,host=a u=1,v=2\nmem f.g=3', { template })).toMatchObject({
      ...NOTHING_ELSE,
      samples: ['a/cpu,cpu=0.u=1@0', 'a/cpu,cpu=0.v=2@0', '/mem.f%2Eg=3@1'],
    })
  })

  test('that has no place for a tag rejects the line and says so: its key would be of two series', () => {
    const { samples, reasons } = read('cpu,host=a,cpu=0 u=1\ncpu,host=a u=2', {
      template: '{host}/{measurement}.{field}',
    })
    expect(samples).toEqual(['a/cpu.u=2@1'])
    expect(reasons[0]).toContain('INFLUX_KEY has no place for the tag "cpu"')
  })
})

test('the limit of samples ends the reading, of valid and of invalid lines', () => {
  expect(read(Array.from({ length: 10_001 }, (_, i) => `m v=${i}`).join('\n')).fault).toEqual({ kind: 'too-many' })
  const { fault, reasons } = read('x\n'.repeat(500_000))
  expect([fault, reasons.length]).toEqual([{ kind: 'too-many' }, 10_001])
  expect(read(`m ${Array.from({ length: 10_001 }, (_, i) => `v${i}=1`).join(',')}`).fault).toEqual({ kind: 'too-many' })
  expect(read('m v=1\n'.repeat(10_000)).fault).toBeUndefined()
})

describe('of any text', () => {
  /** Texts of what the grammar is made of, which reach more states than random characters. */
  const pieces = fc.constantFrom(
    ...['m', 'cpu', ',', 'a', 'b=', '=', ' ', ' v=1', ',w=2i', '"', '\\', '\\"', '\\ ', '\n', '\r\n', '#', '%2C', '\t'],
    ...['1700000000', '-', '.', 'e5', 'i', 'u', 't', 'F', 'NaN', 'm v=1\n', 'm,t=x s="', '\u0000', 'é', '\udc80', '\r'],
  )
  const soup = fc.oneof(
    fc.array(pieces, { maxLength: 60 }).map(list => list.join('')),
    fc.string({ unit: 'binary', maxLength: 200 }),
  )
  const templates = fc.constantFrom(DEFAULT, '{host}/{measurement} {field}{tags}', '{measurement}.{field}')

  test('every line is accepted, skipped or rejected, in order, and nothing throws', () => {
    fc.assert(
      fc.property(soup, templates, (text, template) => {
        const batch = createBatch(template)
        expect(readLines(text, batch, 'guessed')).toBeUndefined()
        const accepted = new Set(batch.indexes)
        const rejected = new Set(batch.rejections.map(({ index }) => index))
        const lines = text.split('\n')
        for (const index of [...accepted, ...rejected]) expect(lines[index]).toBeDefined()
        expect(batch.indexes).toEqual(batch.indexes.toSorted((a, b) => a - b))
        // What is left is blank, a comment, or has or continues a text.
        const left = lines.filter((line, i) => !accepted.has(i) && !rejected.has(i) && !/^[ \t]*\r?(?:#|$)/.test(line))
        if (left.length > 0) expect(batch.skipped.get('text')).toBeGreaterThan(0)
        for (const { key, value, timestamp } of batch.samples) {
          expect([key.length > 0, Number.isFinite(value), Number.isFinite(timestamp)]).toEqual([true, true, true])
        }
      }),
      fuzzRuns(5000),
    )
  })

  test('good lines are stored although a damaged one is among them', () => {
    fc.assert(
      fc.property(soup, damaged => {
        fc.pre(!damaged.includes('"') && damaged.length > 0)
        const { samples } = read(`before,t=x v=1\n${damaged}\nafter,t=x v=2`)
        expect([samples[0], samples.at(-1)]).toEqual([
          'before,t=x.v=1@0',
          `after,t=x.v=2@${damaged.split('\n').length + 1}`,
        ])
      }),
      fuzzRuns(2000),
    )
  })

  test('a mebibyte of digits that are no number takes linear time', () => {
    const start = performance.now()
    expect(read(`m f=${'1'.repeat(1 << 20)}x`).reasons).toHaveLength(1)
    // Quadratic would be half an hour.
    expect(performance.now() - start).toBeLessThan(10_000)
  })

  test.each(['m s="', 'm f=",h="', 'm f=",h=",k="', 'm,t=x s="\\', 'm s="a"b', '"', '\\', ',', 'm,'])(
    'a mebibyte of %j takes linear time',
    piece => {
      for (const end of ['', '\n', ',', ' ']) {
        const text = `${piece}${end}`.repeat(Math.ceil((1 << 20) / (piece.length + 1)))
        const start = performance.now()
        read(text)
        // Quadratic would be minutes.
        expect(performance.now() - start).toBeLessThan(10_000)
      }
    },
  )
})

describe('a measurement with tags that was read before', () => {
  const lines = ['m,b=2,a=1 f=1', 'm,a=1,b=2 f=2', 'm,a=2 f.g=3', 'm\\,x,a=%41 %41=4', 'm,a=1,a=2 f=5', 'm,a=1,b=2 f=6']

  test.each([DEFAULT, '{a}/{measurement}{tags}.{field}', 'x {field}/{measurement}{tags}'])(
    'has the same keys by %s',
    template => {
      const heads = createHeads()
      const fresh = lines.map(line => read(line, { template }))
      for (const order of [lines, lines, lines.toReversed(), lines]) {
        for (const line of order) expect(read(line, { template, heads })).toEqual(fresh[lines.indexOf(line)])
        const together = read(order.join('\n'), { template, heads })
        expect(together.samples.map(sample => sample.split('@')[0])).toEqual(
          order.flatMap(line => (fresh[lines.indexOf(line)]?.samples ?? []).map(sample => sample.split('@')[0])),
        )
      }
    },
  )
})

describe('of any series', () => {
  const name = fc.string({ unit: fc.constantFrom(...'ab.,= %/\\A2"é'), minLength: 1, maxLength: 6 })
  /** A line cannot have a name that ends in a backslash. */
  const valid = name.filter(text => !text.endsWith('\\') && !/\\[,= ]/.test(text))
  const escapeAll = (text: string): string => text.replaceAll(/[,= ]/g, '\\$&')
  const series = fc.record({
    measurement: valid.filter(text => !/^[# ]/.test(text)),
    tags: fc.uniqueArray(fc.tuple(valid, valid), { selector: ([tag]) => tag, maxLength: 4 }),
    fields: fc.uniqueArray(fc.tuple(valid, fc.double({ noNaN: true, min: -1e99, max: 1e99 })), {
      selector: ([field]) => field,
      minLength: 1,
      maxLength: 4,
    }),
  })

  test('what a client writes is read with the key of the template and the same value', () => {
    fc.assert(
      fc.property(
        fc.array(series, { maxLength: 5 }),
        fc.constantFrom(DEFAULT, '{tags}/{field}/{measurement}'),
        (all, text) => {
          const template = new KeyTemplate(text, METRIC_NAMES)
          const lines = all.map(({ measurement, tags, fields }) => {
            const written = tags.map(([tag, value]) => `,${escapeAll(tag)}=${escapeAll(value)}`).join('')
            const values = fields.map(([field, value]) => `${escapeAll(field)}=${value}`).join(',')
            return `${measurement.replaceAll(/[, ]/g, '\\$&')}${written} ${values}`
          })
          const wanted = all.flatMap(({ measurement, tags, fields }, i) =>
            fields.map(([field, value]) => `${template.key([measurement, field], tags)}=${value + 0}@${i}`),
          )
          const { samples, reasons } = read(lines.join('\n'), { template: text })
          expect(reasons).toEqual([])
          expect(samples).toEqual(wanted)
        },
      ),
      fuzzRuns(2000),
    )
  })
})
