import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KeyTemplate, type Labels } from './key-template.ts'

const NAMES = ['measurement', 'field'] as const
const DEFAULT = '{measurement}{tags}.{field}'

const template = (text: string): KeyTemplate => new KeyTemplate(text, NAMES)

describe('the key of a series', () => {
  test.each<[string, string]>([
    [DEFAULT, 'cpu,cpu=cpu0,host=web1.example.com.usage_idle'],
    ['{host}/{measurement}{tags}.{field}', 'web1.example.com/cpu,cpu=cpu0.usage_idle'],
    ['{host}/{cpu}/{measurement}.{field}', 'web1.example.com/cpu0/cpu.usage_idle'],
    ['site-a/{host}/{measurement} {field}{tags}', 'site-a/web1.example.com/cpu usage_idle,cpu=cpu0'],
    ['{measurement}{tags}/{field}/{region}', 'cpu,cpu=cpu0,host=web1.example.com/usage_idle/'],
  ])('by %s is %s', (text, key) => {
    const labels: Labels = [
      ['host', 'web1.example.com'],
      ['cpu', 'cpu0'],
    ]
    expect(template(text).key(['cpu', 'usage_idle'], labels)).toBe(key)
  })

  test('has no labels where the series has none', () => {
    expect(template(DEFAULT).key(['cpu', 'usage'], [])).toBe('cpu.usage')
    expect(template(DEFAULT).key(['cpu', 'usage'], [['host', '']])).toBe('cpu.usage')
  })

  test('escapes only what would end a value, and a percent sign that looks like an escape', () => {
    const labels: Labels = [
      ['a=b', 'c=d,e.f'],
      ['p', '100%'],
      ['q', '%41'],
      ['lower', '%4a'],
    ]
    expect(template(DEFAULT).key(['m,x.y', 'f.g,h'], labels)).toBe(
      'm%2Cx.y,a%3Db=c=d%2Ce.f,lower=%4a,p=100%,q=%2541.f%2Eg,h',
    )
  })

  test('sorts labels by code unit, in whatever order they come', () => {
    const labels: Labels = [
      ['b', '1'],
      ['B', '2'],
      ['a', '3'],
      ['é', '4'],
    ]
    expect(template(DEFAULT).key(['m', 'f'], labels)).toBe('m,B=2,a=3,b=1,é=4.f')
    expect(template(DEFAULT).key(['m', 'f'], labels.toReversed())).toBe('m,B=2,a=3,b=1,é=4.f')
  })

  test('would be that of another series without a placeholder for a label', () => {
    const labels: Labels = [
      ['host', 'a'],
      ['cpu', 'cpu0'],
      ['empty', ''],
    ]
    expect(template('{host}/{measurement}.{field}').unplaced(labels)).toBe('cpu')
    expect(template('{host}/{cpu}/{measurement}.{field}').unplaced(labels)).toBeUndefined()
    expect(template(DEFAULT).unplaced(labels)).toBeUndefined()
  })
})

describe('a template that cannot be used', () => {
  test.each([
    ['', 'must have {measurement}'],
    ['{measurement}', 'must have {field}'],
    ['{field}', 'must have {measurement}'],
    ['{measurement}{field}', 'separator such as . or / before {field}'],
    ['{tags}{measurement}.{field}', 'separator such as . or / before {measurement}'],
    ['{measurement}x{field}', 'not "x"'],
    ['{measurement}%{field}', 'not "%"'],
    ['{measurement}7.{field}', 'not "7."'],
    ['{measurement},{tags}.{field}', 'no comma before {tags}'],
    ['{measurement}.{field}.{field}', 'has {field} twice'],
    ['{measurement}.{field', 'brace without a name, {'],
    ['{measurement}.{field}}', 'brace without a name, }'],
    ['{}{measurement}.{field}', 'brace without a name, {}'],
    ['{measurement}→{field}', 'printable ASCII'],
    ['{measurement}\n{field}', 'printable ASCII'],
  ])('%j: %s', (text, reason) => {
    expect(() => template(text)).toThrow(reason)
  })
})

describe('a key that no series has', () => {
  test.each(['', 'cpu', 'cpu,host.usage', 'cpu,host=a'])('%j is not read', key => {
    expect(template(DEFAULT).read(key)).toBeUndefined()
  })

  test('because its fixed text is another', () => {
    const fixed = template('a/{measurement}.{field}/z')
    expect(fixed.read('a/m.f/z')?.names).toEqual(
      new Map([
        ['field', 'f'],
        ['measurement', 'm'],
      ]),
    )
    for (const key of ['b/m.f/z', 'a/m.f/y', 'm.f/z', 'a/m.f']) expect(fixed.read(key)).toBeUndefined()
  })
})

describe('of any series and template', () => {
  /** Texts with what templates, escapes and line protocol are made of. */
  const text = fc.oneof(
    fc.string({ unit: fc.constantFrom(...'.,=%/_- |{}aA24E\\"é'), maxLength: 8 }),
    fc.string({ unit: 'grapheme', maxLength: 8 }),
  )
  const labelName = fc.oneof(text, fc.constantFrom('host', 'cpu', 'field', 'measurement', 'tags'))
  const labels = fc.uniqueArray(fc.tuple(labelName, text), { selector: ([name]) => name, maxLength: 5 })
  const separator = fc.constantFrom(
    '.',
    '/',
    ' ',
    '|',
    '=',
    '->',
    '..',
    '.a.',
    '^',
    ']',
    '-',
    '\\',
    '""',
    'x|'.slice(1),
  )
  const named = fc.shuffledSubarray(['{measurement}', '{field}', '{host}', '{cpu}'], { minLength: 2 })

  /** Any template that is accepted. */
  const templates = fc
    .record({
      parts: named,
      separators: fc.array(separator, { minLength: 5, maxLength: 5 }),
      restAt: fc.integer({ min: -1, max: 4 }),
      ends: fc.tuple(fc.constantFrom('', 'site-a/', '.'), fc.constantFrom('', '/z', '.', '41')),
    })
    .map(({ parts, separators, restAt, ends: [start, end] }) => {
      const places = parts.includes('{measurement}') ? parts : ['{measurement}', ...parts]
      const all = places.includes('{field}') ? places : [...places, '{field}']
      const written = all.map((part, i) => `${i === 0 ? '' : separators[i]}${part}${i === restAt ? '{tags}' : ''}`)
      return `${start}${written.join('')}${end}`
    })

  test('the key is read back as the series', () => {
    fc.assert(
      fc.property(templates, text, text, labels, (written, measurement, field, given) => {
        const one = template(written)
        fc.pre(one.unplaced(given) === undefined)
        const key = one.key([measurement, field], given)
        expect(one.read(key)).toEqual({
          names: new Map([
            ['measurement', measurement],
            ['field', field],
          ]),
          labels: given.filter(([, value]) => value !== '').toSorted(([a], [b]) => (a < b ? -1 : 1)),
        })
        expect(one.close(one.open([measurement], given), field)).toBe(key)
      }),
      { numRuns: 2000 },
    )
  })

  test('whatever is read from a text makes that text again, or nothing is read', () => {
    fc.assert(
      fc.property(templates, text, (written, key) => {
        const one = template(written)
        const series = one.read(key)
        if (series === undefined) return
        const values = NAMES.map(name => series.names.get(name) ?? '')
        const again = one.read(one.key(values, series.labels))
        expect(again).toEqual(series)
      }),
      { numRuns: 500 },
    )
  })
})
