import fc from 'fast-check'
import { expect, test } from 'vitest'
import { noNumberOf, nullNoNumbers } from './no-number.ts'

test.each([
  ['NaN', 'nan'],
  ['-nan(ind)', 'nan'],
  ['1.#QNAN', 'nan'],
  ['-Infinity', 'infinite'],
  ['1.#INF', 'infinite'],
  ['None', 'nothing'],
  ['', 'nothing'],
  ['21.5', undefined],
  ['true', undefined],
])('%j stands for %s', (token, expected) => {
  expect(noNumberOf(token)).toBe(expected)
})

test.each([
  ['{"t": NaN, "h": 41}', '{"t": null, "h": 41}'],
  ['[NaN,-Infinity,1.#IND,None]', '[null,null,null,null]'],
  ['{"NaN":"NaN, \\"NaN\\"","a":nan}', '{"NaN":"NaN, \\"NaN\\"","a":null}'],
  ['{"a":"\\\\","b":NaN}', '{"a":"\\\\","b":null}'],
  ['{"a":"no end, NaN', '{"a":"no end, NaN'],
])('%s becomes %s', (text, expected) => {
  expect(nullNoNumbers(text)).toBe(expected)
})

test('JSON stays as it is', () => {
  expect(nullNoNumbers('[null, true, -1e3]')).toBe('[null, true, -1e3]')
  fc.assert(fc.property(fc.json(), text => nullNoNumbers(text) === text))
})

test.each(['"', '\\"', '"\\', '{"a":', 'nan'])('a long text of %s takes linear time', part => {
  // Quadratic time would be minutes, on any machine.
  nullNoNumbers(part.repeat((1 << 20) / part.length))
})
