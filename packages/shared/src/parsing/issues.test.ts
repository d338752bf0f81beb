import { expect, test } from 'vitest'
import { z } from 'zod'
import { describeIssue, parseJson } from './issues.ts'

const schema = z.strictObject({
  name: z.string({ error: 'must be a text' }),
  inner: z.strictObject({ count: z.number({ error: 'must be a number' }) }).optional(),
})

function faultsOf(input: unknown): string[] {
  const issues = schema.safeParse(input).error?.issues ?? []
  return issues.flatMap(describeIssue).map(({ field, detail }) => `${field}: ${detail}`)
}

test.each([
  [{ name: 'a' }, []],
  [{}, ['name: must be a text']],
  [null, [': must be a JSON object']],
  ['text', [': must be a JSON object']],
  [[], [': must be a JSON object']],
  [{ name: 'a', inner: 3 }, ['inner: must be a JSON object']],
  [{ name: 'a', inner: { count: '3' } }, ['inner.count: must be a number']],
  [
    { name: 'a', inner: { count: 3, cuont: 4 }, b: 1, c: 2 },
    ['inner.cuont: unknown member', 'b: unknown member', 'c: unknown member'],
  ],
])('of %j each fault is named with its field', (input, faults) => {
  expect(faultsOf(input)).toEqual(faults)
})

test('text is parsed by a schema, and undefined where it is not JSON or does not conform', () => {
  expect(parseJson(schema, '{"name":"a"}')).toEqual({ name: 'a' })
  for (const text of ['', '{', 'null', '{"name":1}']) expect(parseJson(schema, text)).toBeUndefined()
})
