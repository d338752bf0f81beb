import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ALTERNATIVES_MAX, compileGlob, GlobError, literalPattern } from './glob.ts'

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

  test.each<[string, string, string]>([
    ['stars', `${'*a'.repeat(100)}*b`, 'a'.repeat(200)],
    ['stars and ?', `${'*?a'.repeat(100)}*b`, 'a'.repeat(1000)],
    ['a star before many ?', `*${'?'.repeat(300)}[c]*`, 'b'.repeat(1000)],
    ['braces', `*${'{?,[!b]}'.repeat(6)}${'?'.repeat(80)}[c]*`, 'b'.repeat(1000)],
    ['braces of different lengths', `*${'{?,??,*?}'.repeat(3)}${'[ab]'.repeat(60)}[c]*`, 'ba'.repeat(500)],
  ])('takes a time that is linear in the key: %s', (_, pattern, key) => {
    const globs = compileGlob(pattern)
    const begin = process.threadCpuUsage()
    for (let i = 0; i < 20; i++) expect(globs.some(glob => glob.matches(`${key}${i}`))).toBe(false)
    // It takes 20 ms of a processor. Greedy matching took 100 times as long.
    expect(process.threadCpuUsage(begin).user / 1000).toBeLessThan(1000)
  })

  test('matches the same keys as a walk over the parts of the pattern, also across words of 32 states', () => {
    const leaf = fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom('a', 'b', '/', '😀').map(literalNode) },
      { weight: 2, arbitrary: fc.constant<Node>({ text: '?', ends: (key, at) => (at < key.length ? [at + 1] : []) }) },
      { weight: 2, arbitrary: fc.constant<Node>({ text: '*', ends: (key, at) => rangeOf(at, key.length) }) },
      { weight: 1, arbitrary: fc.constantFrom('[ab]', '[!a]', '[/-b]').map(classNode) },
    )
    const inner = fc.array(leaf, { maxLength: 8 }).map(sequenceNode)
    const braces = fc.array(inner, { minLength: 2, maxLength: 4 }).map(bracesNode)
    const nested = fc.tuple(inner, braces, inner).map(sequenceNode)
    const outer = fc.array(nested, { minLength: 2, maxLength: 3 }).map(bracesNode)
    const whole = fc
      .array(
        fc.oneof({ weight: 6, arbitrary: leaf }, { weight: 1, arbitrary: braces }, { weight: 1, arbitrary: outer }),
        {
          minLength: 1,
          maxLength: 70,
        },
      )
      .map(sequenceNode)
    const key = fc.array(fc.constantFrom('a', 'b', 'c', '/', '😀'), { maxLength: 90 })
    let matched = 0
    fc.assert(
      fc.property(
        whole,
        key,
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        (node, random, chances) => {
          fc.pre(node.text.length > 0 && node.text.length <= 400 && (node.ways ?? 1) <= ALTERNATIVES_MAX)
          const derived = node.derive?.(() => chances.next().value as number) ?? []
          for (const key of [random, derived, derived.slice(1)]) {
            const expected = node.ends(key, 0).includes(key.length)
            expect([node.text, key.join(''), matches(node.text, key.join(''))]).toEqual([
              node.text,
              key.join(''),
              expected,
            ])
            if (expected) matched++
          }
        },
      ),
      { numRuns: 1000 },
    )
    expect(matched).toBeGreaterThan(200)
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

/** A part of a pattern with its text, and where in a key a match that begins somewhere can end. */
interface Node {
  readonly text: string
  readonly ends: (key: readonly string[], at: number) => number[]
  /** Makes characters that match. */
  readonly derive?: (chance: () => number) => string[]
  /** How many patterns without braces it stands for. */
  readonly ways?: number
}

function rangeOf(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

function literalNode(character: string): Node {
  return {
    text: character,
    ends: (key, at) => (key[at] === character ? [at + 1] : []),
    derive: () => [character],
  }
}

function classNode(text: string): Node {
  const test = new RegExp(`^${text.replace('[!', '[^').replace('[/', '[\\/')}$`, 'u')
  return { text, ends: (key, at) => (test.test(key[at] ?? '') ? [at + 1] : []), derive: () => ['b'] }
}

function sequenceNode(parts: readonly Node[]): Node {
  return {
    text: parts.map(({ text }) => text).join(''),
    ends: (key, at) =>
      parts.reduce<number[]>((ends, part) => [...new Set(ends.flatMap(end => part.ends(key, end)))], [at]),
    derive: chance =>
      parts.flatMap(part => part.derive?.(chance) ?? (part.text === '*' && chance() < 0.5 ? [] : ['b'])),
    ways: parts.reduce((product, { ways = 1 }) => product * ways, 1),
  }
}

function bracesNode(alternatives: readonly Node[]): Node {
  return {
    text: `{${alternatives.map(({ text }) => text).join(',')}}`,
    ends: (key, at) => [...new Set(alternatives.flatMap(one => one.ends(key, at)))],
    derive: chance => alternatives[Math.floor(chance() * 0.999 * alternatives.length)]?.derive?.(chance) ?? [],
    ways: alternatives.reduce((sum, { ways = 1 }) => sum + ways, 0),
  }
}

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

test('a literal pattern matches its key alone, whatever characters it has', () => {
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.constantFrom('a', '*', '?', '[', ']', '{', '}', ',', '\\', '^', '$', '!', '☃'),
        minLength: 1,
      }),
      fc.string({ minLength: 1 }),
      (key, other) => {
        const pattern = literalPattern(key)
        expect(matches(pattern, key)).toBe(true)
        expect(matches(pattern, other)).toBe(other === key)
        // A rule takes no pattern for a regular expression.
        expect(pattern).not.toMatch(/^\^.*\$$/u)
      },
    ),
  )
})
