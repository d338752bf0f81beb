import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { JsonWriter } from '../../writing/json-writer.ts'
import { ArgumentBuffers, RespArguments } from './resp-arguments.ts'

function encodeSimply(items: readonly (string | Uint8Array | number)[]): Buffer {
  return Buffer.concat(
    items.flatMap(item => {
      const bytes = Buffer.from(item instanceof Uint8Array ? item : String(item))
      return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]
    }),
  )
}

test('encodes arguments of any text and size as bulk strings', () => {
  const item = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 120 }).filter(text => text.isWellFormed()),
    // Around the lengths that take one more digit, in characters of one to four bytes.
    fc
      .tuple(
        fc.constantFrom('a', 'é', '☃', '😀'),
        fc.constantFrom(2, 4, 9, 10, 33, 50, 99, 100, 333, 999, 9999, 20_000),
      )
      .map(([unit, length]) => unit.repeat(length)),
    fc.uint8Array({ maxLength: 2000 }),
    fc.integer(),
  )
  fc.assert(
    fc.property(fc.array(item), items => {
      const args = new RespArguments()
      for (const item of items) {
        if (typeof item === 'string') args.text(item)
        else if (typeof item === 'number') args.number(item)
        else args.data(item)
      }
      expect(args.count).toBe(items.length)
      expect(args.after('*1\r\n').equals(Buffer.concat([Buffer.from('*1\r\n'), encodeSimply(items)]))).toBe(true)
    }),
  )
})

test('JSON that is written late has nothing of one that failed before it', () => {
  const args = new RespArguments()
  const late = (write: (writer: JsonWriter) => void) => args.json({ write, toString: () => '' })
  const failing = (): void =>
    late(writer => {
      writer.byte(91)
      throw new Error('no key')
    })
  expect(failing).toThrow('no key')
  late(writer => writer.byte(55))
  args.json('{}')
  expect(args.count).toBe(2)
  expect(String(args.after(''))).toBe('$1\r\n7\r\n$2\r\n{}\r\n')
})

test('puts a head before them that is longer than the reserved space', () => {
  const args = new RespArguments()
  args.text('x')
  const head = 'h'.repeat(40_000)
  expect(String(args.after(head))).toBe(`${head}$1\r\nx\r\n`)
})

test('a spare buffer is used again only once, and if it is large enough', () => {
  const spare = new ArgumentBuffers()
  const first = new RespArguments(100_000, spare)
  first.text('first')
  const sent = first.after('')
  first.recycle(spare)
  const larger = new RespArguments(1_000_000, spare)
  larger.text('larger')
  const [second, third] = [new RespArguments(50_000, spare), new RespArguments(50_000, spare)]
  second.text('other')
  third.text('third')
  expect(String(sent)).toBe('$5\r\nother\r\n')
  expect(String(larger.after(''))).toBe('$6\r\nlarger\r\n')
  expect(String(third.after(''))).toBe('$5\r\nthird\r\n')
})
