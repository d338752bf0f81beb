import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { readOptions, SHAPES } from './options.ts'

test('the default is a steady load on a running stack', () => {
  expect(readOptions([], {})).toEqual({
    url: 'http://127.0.0.1:8080',
    analyzers: 2,
    shape: 'steady',
    rps: 500,
    seconds: undefined,
    seed: 1,
    hostHeader: undefined,
    out: undefined,
    moreOptions: [],
  })
})

test('a temporary stack has no address yet', () => {
  expect(readOptions(['--stack', '--analyzers', '3'], {})).toMatchObject({ url: undefined, analyzers: 3 })
})

test('the arguments after two dashes are for Locust', () => {
  const options = readOptions(['--rps', '100', '--', '--p95-max-ms', '50', '--rps', 'x'], {})
  expect(options).toMatchObject({ rps: 100, moreOptions: ['--p95-max-ms', '50', '--rps', 'x'] })
})

test('HOST_HEADER is read from the environment', () => {
  expect(readOptions([], { HOST_HEADER: 'tidemark.example' }).hostHeader).toBe('tidemark.example')
  expect(readOptions([], { HOST_HEADER: '' }).hostHeader).toBeUndefined()
})

test.each([
  [['--rps', '5'], "--rps must be an integer from 10 to 100000, not '5'"],
  [['--seconds', '1.5'], "--seconds must be an integer from 5 to 604800, not '1.5'"],
  [['--shape', 'square'], "--shape must be one of steady, ramp, spike, soak, not 'square'"],
  [['--url', 'localhost:8080'], "--url must be an address like http://127.0.0.1:8080, not 'localhost:8080'"],
  [['--stack', '--url', 'http://a'], '--stack and --url exclude each other'],
  [['--analyzers', '2'], '--analyzers requires --stack'],
  [['--stack', '--analyzers', '0'], "--analyzers must be an integer from 1 to 64, not '0'"],
  [['--seed', 'x'], "--seed must be an integer from 0 to 2147483648, not 'x'"],
  [['--nonsense'], "Unknown option '--nonsense'"],
  [['extra'], "Unexpected argument 'extra'"],
])('%j is rejected', (args, message) => {
  expect(() => readOptions(args, {})).toThrow(message)
})

test('the shapes are those of locust/shapes.py', () => {
  const text = readFileSync(new URL('../../locust/shapes.py', import.meta.url), 'utf8')
  expect([...text.matchAll(/^ {4}"(\w+)": Shape\(/gm)].map(([, name]) => name)).toEqual([...SHAPES])
})
