import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fragment, JsonWriter } from './json-writer.ts'
import { shortestDigits } from './shortest-digits.ts'

const writer = new JsonWriter()

function written(value: number): string {
  writer.reserve({ text: 0, numbers: 1, bytes: 0 })
  writer.number(value)
  return writer.take()
}

/** Returns the float64s around a value, so many on each side. */
function neighbours(value: number, count: number): number[] {
  const bits = new BigInt64Array(Float64Array.of(value).buffer)
  const first = (bits[0] as bigint) - BigInt(count)
  return Array.from({ length: 2 * count + 1 }, (_, i) => {
    bits[0] = first + BigInt(i)
    return new Float64Array(bits.buffer)[0] as number
  })
}

describe('a number', () => {
  test('is written as String has it, whatever its bits', () => {
    const bits = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    const any = bits.map(number => new Float64Array(BigUint64Array.of(number).buffer)[0] as number)
    const common = fc.oneof(
      fc.double({ min: -1e16, max: 1e16 }),
      fc.double({ min: -100, max: 100 }),
      fc.double({ min: -1e-3, max: 1e-3 }),
      fc.maxSafeInteger(),
    )
    const rounded = fc
      .tuple(fc.double({ min: -1e9, max: 1e9, noNaN: true }), fc.integer({ min: 0, max: 12 }))
      .map(([value, places]) => Number(value.toFixed(places)))
    fc.assert(
      fc.property(fc.oneof(any, common, rounded), value => {
        expect(written(value)).toBe(String(value))
      }),
      { numRuns: 20_000 },
    )
  })

  test('is written as String has it around powers of two and ten, and their multiples', () => {
    const powersOf2 = Array.from({ length: 90 }, (_, i) => 2 ** (i - 25))
    const powersOf10 = Array.from({ length: 34 }, (_, i) => i - 9).flatMap(n =>
      Array.from({ length: 9 }, (_, i) => Number(`${i + 1}e${n}`)),
    )
    for (const power of [...powersOf2, ...powersOf10]) {
      for (const value of neighbours(power, 60)) {
        if (written(value) !== String(value)) expect(written(value)).toBe(String(value))
        if (written(-value) !== String(-value)) expect(written(-value)).toBe(String(-value))
      }
    }
  })

  test.each([0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.MIN_VALUE, Number.MAX_VALUE, 0.5, 75483096393476.125])(
    '%d is written as String has it',
    value => expect(written(value)).toBe(String(value)),
  )

  test('has its digits found without String nearly always', () => {
    const values = Array.from({ length: 10_000 }, (_, i) => 50 + Math.sin(i + 1))
    const undecided = values.filter(value => shortestDigits(value) === undefined)
    expect(undecided.length).toBeLessThan(10)
  })
})

describe('a writer', () => {
  test('writes texts as JSON.stringify does, and begins again after each take', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), texts => {
        for (const text of texts) {
          writer.reserve({ text: text.length, numbers: 0, bytes: 3 })
          writer.text(text)
          writer.byte(10)
        }
        expect(writer.take()).toBe(texts.map(text => `${JSON.stringify(text)}\n`).join(''))
        expect(writer.take()).toBe('')
      }),
    )
  })

  test('grows, and is small again after a large text', () => {
    const text = 'a"\u00e4\ud800'.repeat(50_000)
    for (let n = 0; n < 2; n++) {
      writer.reserve({ text: text.length, numbers: 1, bytes: 20 })
      writer.fragment(fragment('{"text":'))
      writer.text(text)
      writer.ascii(',"n":')
      writer.number(0.1 + 0.2)
      expect(writer.take()).toBe(`{"text":${JSON.stringify(text)},"n":0.30000000000000004`)
    }
  })

  test('forgets what is discarded', () => {
    writer.reserve({ text: 2, numbers: 0, bytes: 2 })
    writer.text('\u00e4b')
    writer.discard()
    expect(written(12.5)).toBe('12.5')
  })
})
