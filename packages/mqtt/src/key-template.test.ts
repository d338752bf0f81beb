import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KeyTemplate, TEMPLATE_RULE } from './key-template.ts'

describe('a key template', () => {
  test.each([
    ['{topic}', 'sensors/a/temp', '', 'sensors/a/temp'],
    ['{topic}', 'sensors/a', 'pm.p25', 'sensors/a/pm.p25'],
    ['{2}/{field}', 'sensors/a', 'temp', 'a/temp'],
    ['{2}/{field}', 'sensors/a', '', 'a'],
    ['{2}/{-1}', 'sensors/a/b/temp', '', 'a/temp'],
    ['{-1}', 'a/b', 'x', 'b/x'],
    ['home:{2}.{field}', 'zigbee2mqtt/lamp', 'power', 'home:lamp.power'],
    ['{topic}', '/leading', '', '/leading'],
  ])('%s makes of %s with the field %j the key %s', (template, topic, field, key) => {
    expect(new KeyTemplate(template).keyOf(topic, field)).toBe(key)
  })

  test('gives no key to a topic without the level', () => {
    expect(new KeyTemplate('{3}').keyOf('a/b', 'x')).toBeUndefined()
    expect(new KeyTemplate('{-3}').keyOf('a/b', 'x')).toBeUndefined()
  })

  test.each(['', 'all', '{field}', '{0}', '{x}', '{topic', 'topic}', '{{topic}}', '{100}'])('refuses %j', template => {
    expect(() => new KeyTemplate(template)).toThrow(TEMPLATE_RULE)
  })

  test('gives two fields of a topic two keys', () => {
    const name = fc.string({ minLength: 1, unit: fc.constantFrom('a', 'b', '.', '/', '-') })
    fc.assert(
      fc.property(fc.constantFrom('{topic}', '{1}', '{1}/{field}', '{field}@{topic}'), name, name, (text, a, b) => {
        const template = new KeyTemplate(text)
        expect(template.keyOf('x/y', a) === template.keyOf('x/y', b)).toBe(a === b)
      }),
    )
  })
})
