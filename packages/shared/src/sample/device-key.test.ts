import fc from 'fast-check'
import { expect, test } from 'vitest'
import { devicePrefix } from './device-key.ts'

test.each([
  ['edge-17', 'edge-17/'],
  ['a/b', 'a%2Fb/'],
  ['/', '%2F/'],
  ['50%', '50%/'],
  ['a%2Fb', 'a%252Fb/'],
  ['a%25', 'a%2525/'],
])('the keys of device %s begin with %s', (device, prefix) => {
  expect(devicePrefix(device)).toBe(prefix)
})

test('two devices never share a key, whatever their names and those of their metrics', () => {
  const name = fc.string({ unit: fc.constantFrom('a', 'b', '/', '%', '2', 'F', '5'), minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(name, name, name, name, (device, metric, otherDevice, otherMetric) => {
      fc.pre(device !== otherDevice || metric !== otherMetric)
      expect(devicePrefix(device) + metric).not.toBe(devicePrefix(otherDevice) + otherMetric)
    }),
    { numRuns: 2000 },
  )
})

test('names of metrics, and of devices without a slash, are in their keys as they are', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), device => {
      fc.pre(!/\/|%2F|%25/.test(device))
      expect(devicePrefix(device)).toBe(`${device}/`)
    }),
  )
})
