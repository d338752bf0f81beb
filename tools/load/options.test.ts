import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type Command, parseCommand, SHAPES } from './options.ts'

function optionsOf(args: readonly string[], env = {}) {
  const command = parseCommand(args, env)
  if (command.kind !== 'load') throw new Error(`not a load: ${JSON.stringify(command)}`)
  return command.options
}

function reasonOf(args: readonly string[]): string {
  const command: Command = parseCommand(args, {})
  return command.kind === 'wrong' ? command.reason : command.kind
}

test('without options it is the load of the replaced service, on a stack that runs', () => {
  expect(optionsOf([])).toEqual({
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

test('a stack of its own has no address yet', () => {
  expect(optionsOf(['--stack', '--analyzers', '3'])).toMatchObject({ url: undefined, analyzers: 3 })
})

test('what follows two dashes is for Locust', () => {
  const options = optionsOf(['--rps', '100', '--', '--p95-max-ms', '50', '--rps', 'x'])
  expect(options).toMatchObject({ rps: 100, moreOptions: ['--p95-max-ms', '50', '--rps', 'x'] })
})

test('HOST_HEADER is taken from the environment', () => {
  expect(optionsOf([], { HOST_HEADER: 'streaming.local' }).hostHeader).toBe('streaming.local')
  expect(optionsOf([], { HOST_HEADER: '' }).hostHeader).toBeUndefined()
})

test.each([
  [['--rps', '5'], "--rps takes a number from 10 to 100000, not '5'"],
  [['--seconds', '1.5'], "--seconds takes a number of 5 or more, not '1.5'"],
  [['--shape', 'square'], "--shape takes one of steady, ramp, spike, soak, not 'square'"],
  [['--url', 'localhost:8080'], "--url takes an address as http://127.0.0.1:8080, not 'localhost:8080'"],
  [['--stack', '--url', 'http://a'], '--stack and --url exclude each other'],
  [['--analyzers', '2'], '--analyzers needs --stack'],
  [['--stack', '--analyzers', '0'], "--analyzers takes a number from 1 to 64, not '0'"],
  [['--seed', 'x'], "--seed takes a number, not 'x'"],
  [['--nonsense'], "Unknown option '--nonsense'"],
])('%j is refused by a sentence that names the option', (args, reason) => {
  expect(reasonOf(args)).toBe(reason)
})

test('the shapes are those of locust/shapes.py', () => {
  const text = readFileSync(new URL('../../locust/shapes.py', import.meta.url), 'utf8')
  expect([...text.matchAll(/^ {4}"(\w+)": Shape\(/gm)].map(([, name]) => name)).toEqual([...SHAPES])
})
