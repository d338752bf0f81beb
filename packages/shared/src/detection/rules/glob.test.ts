import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ALTERNATIVES_MAX, compileGlob, GlobError } from './glob.ts'

const matches = (pattern: string, key: string): boolean => compileGlob(pattern).some(glob => glob.matches(key))

describe('a pattern', () => {
  test.each([
    ['edge-17/cpu', 'edge-17/cpu', true],
    ['edge-17/cpu', 'edge-17/cpu2', false],
    ['*', '', true],
    ['*', 'a/b.c{d}', true],
    ['edge-*/cpu', 'edge-17/rack/cpu', true],
    ['edge-*/cpu', 'edge-/cpu', true],
    ['edge-*', '.edge-1', false],
    ['*cpu', 'cpu cpu', true],
    ['a*b*c', 'abbc', true],
    ['a*b*c', 'acb', false],
    ['a*a', 'a', false],
    ['?', '😀', true],
    ['??', '😀', false],
    ['*?', '', false],
    ['[abc]/x', 'b/x', true],
    ['[abc]/x', 'd/x', false],
    ['[0-9][0-9]', '17', true],
    ['[!0-9]', '7', false],
    ['[!0-9]', '😀', true],
    ['[^0-9]', 'a', true],
    ['[a-]', '-', true],
    ['[\\]]', ']', true],
    ['[\\!a]', '!', true],
    ['{a,b}', 'b', true],
    ['{a,b}', '{a,b}', false],
    ['\\{a,b\\}', '{a,b}', true],
    ['{edge,core}-{1,2*}/cpu', 'core-27/cpu', true],
    ['{edge,core}-{1,2*}/cpu', 'core-17/cpu', false],
    ['{a{b,c},d}', 'ac', true],
    ['{,a}b', 'b', true],
    ['a,b', 'a,b', true],
    ['__proto__', '__proto__', true],
    ['\\*', '*', true],
    ['\\*', 'x', false],
    ['a.c', 'abc', false],
  ])('%s on %s: %s', (pattern, key, expected) => {
    expect(matches(pattern, key)).toBe(expected)
  })

  test.each([
    ['', 'must not be empty'],
    ['[abc', 'has a [ without a ]; write \\[ for the character'],
    ['a]', 'has a ] without a [; write \\] for the character'],
    ['[]', 'has an empty []; write \\[\\] for the characters'],
    ['[9-0]', 'has the range 9-0, whose ends are reversed'],
    ['{a,b', 'has a { without a }; write \\{ for the character'],
    ['a}', 'has a } without a {; write \\} for the character'],
    ['}{', 'has a } without a {; write \\} for the character'],
    ['{a}', 'has braces with one alternative; write \\{ and \\} for the characters'],
    ['a\\', 'ends in a backslash; write \\\\ for the character'],
    ['{a,b}'.repeat(7), `has braces that expand to more than ${ALTERNATIVES_MAX} patterns`],
    ['a'.repeat(401), 'must be at most 400 characters long'],
    ['\ud800', 'must not contain lone surrogates'],
  ])('%s %s', (pattern, message) => {
    expect(() => compileGlob(pattern)).toThrow(new GlobError(message))
  })

  test('does not take exponential time', () => {
    const key = 'a'.repeat(200)
    const begin = performance.now()
    for (let i = 0; i < 100; i++) expect(matches(`${'*a'.repeat(100)}*b`, key)).toBe(false)
    expect(performance.now() - begin).toBeLessThan(2000)
  })

  test('matches the same keys as an equivalent regular expression', () => {
    const piece = fc.oneof(
      fc.constantFrom('a', 'b', '/', '.', '*', '*', '?', '[ab]', '[!a]', '[a-c]', '\\*', '😀', '{a,*b}', '{/,{a,?b}.}'),
    )
    const pattern = fc.array(piece, { minLength: 1, maxLength: 6 }).map(pieces => pieces.join(''))
    const key = fc
      .array(fc.constantFrom('a', 'b', 'c', '/', '.', '*', '😀'), { maxLength: 8 })
      .map(parts => parts.join(''))
    fc.assert(
      fc.property(pattern, key, (pattern, key) => {
        fc.pre(alternatives(pattern) <= ALTERNATIVES_MAX)
        expect(matches(pattern, key)).toBe(toRegExp(pattern).test(key))
      }),
      { numRuns: 3000 },
    )
  })

  test('is equivalent to the texts of its globs', () => {
    const piece = fc.constantFrom('a', '\\[', '\\,', ',', '[\\]x]', '[!-a]', '{a,b}', '**', '\\\\', '?')
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 5 }), pieces => {
        for (const glob of compileGlob(pieces.join('')))
          expect(compileGlob(glob.text).map(({ text }) => text)).toEqual([glob.text])
      }),
    )
  })
})

function alternatives(pattern: string): number {
  const count = (part: string): number => pattern.split(part).length - 1
  return 2 ** count('{a,*b}') * 3 ** count('{/,{a,?b}.}')
}

/** The oracle: converts a pattern to a regular expression, which tries all alternatives. */
function toRegExp(pattern: string): RegExp {
  const source = pattern.replaceAll(/\\\*|[*?.{},/]|\[!/g, part => {
    const meanings: Record<string, string> = {
      '*': '.*',
      '?': '.',
      '{': '(?:',
      '}': ')',
      ',': '|',
      '[!': '[^',
      '/': '\\/',
    }
    return meanings[part] ?? (part === '.' ? '\\.' : part)
  })
  return new RegExp(`^${source}$`, 'su')
}
