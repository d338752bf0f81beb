import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TopicTemplate } from './key-template.ts'

const keyOf = (template: string, topic: string, field: string) => new TopicTemplate(template).keysOf(topic)?.(field)

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
    ['{topic}', 'trailing/', '', 'trailing/'],
    ['{1}/', 'a/b', '', 'a/'],
    ['{field}@{topic}', 'a/b', '', '@a/b'],
    // What would separate a field from what is before it.
    ['{topic}', 'spBv1.0/plant/line1', 'Outputs/Pump', 'spBv1.0/plant/line1/Outputs%2FPump'],
    ['{2}.{field}', 'a/b', 'pm.p25', 'b.pm%2Ep25'],
  ])('%s makes of %s with the field %j the key %s', (template, topic, field, key) => {
    expect(keyOf(template, topic, field)).toBe(key)
  })

  test('gives no key to a topic without the level', () => {
    expect(keyOf('{3}', 'a/b', 'x')).toBeUndefined()
    expect(keyOf('{-3}', 'a/b', 'x')).toBeUndefined()
  })

  test.each([
    ['', 'must have {topic} or a level'],
    ['all', 'must have {topic} or a level'],
    ['{field}', 'must have {topic} or a level'],
    ['{0}', 'has {0}: there are {topic}, levels of it such as {2}'],
    ['{100}', 'has {100}'],
    ['{x}', 'has {x}'],
    ['{topic}{tags}', 'has {tags}'],
    ['{topic', 'brace without a name, {'],
    ['topic}', 'brace without a name, }'],
    ['{1}{2}', 'separator such as . or / before {2}'],
    ['{1}/{1}', 'has {1} twice'],
  ])('refuses %j', (template, reason) => {
    expect(() => new TopicTemplate(template)).toThrow(reason)
  })

  test('gives two fields two keys, whatever their topics are', () => {
    const name = fc.string({ minLength: 1, unit: fc.constantFrom('a', 'b', '.', '/', '-', '@', '%') })
    const templates = fc.constantFrom('{topic}', '{topic}.{field}', '{field}@{topic}', 'x/{field}/{topic}')
    fc.assert(
      fc.property(templates, name, name, name, name, (text, topicA, a, topicB, b) => {
        const isSame = topicA === topicB && a === b
        expect(keyOf(text, topicA, a) === keyOf(text, topicB, b)).toBe(isSame)
      }),
      { numRuns: 1000 },
    )
  })
})
