import { expect, test } from 'vitest'
import {
  type Command,
  choice,
  commaSeparated,
  custom,
  Failure,
  flag,
  formatHelp,
  integer,
  number,
  parseCommandLine,
  repeated,
  runCommand,
  text,
  UsageError,
} from './options.ts'

const DETECTORS = ['zscore', 'mad'] as const

const command = {
  call: 'npm run example --',
  summary: 'Shows every kind of option.',
  options: {
    port: integer({ min: 0, max: 65_535, default: 8080, short: 'p', help: 'the port' }),
    threshold: number({ min: 0, max: 10, help: 'the threshold' }),
    detector: repeated(choice(DETECTORS, { placeholder: 'NAME', help: 'a detector' })),
    only: commaSeparated(choice(DETECTORS, { placeholder: 'NAMES', help: 'some detectors' })),
    out: text({ placeholder: 'FILE', help: 'where the result goes' }),
    url: custom({
      placeholder: 'URL',
      form: 'an address like http://localhost',
      help: 'the gateway',
      parse: (given: string) => (given.startsWith('http') ? new URL(given) : undefined),
    }),
    quiet: flag('print nothing'),
  },
  examples: ['', '--port 9000 --quiet'],
} satisfies Command

test('defaults apply where no option is given', () => {
  const { values, rest } = parseCommandLine(command, [])
  const none = { threshold: undefined, out: undefined, url: undefined }
  expect(values).toEqual({ port: 8080, detector: [], only: [], quiet: false, ...none })
  expect(rest).toEqual([])
})

test('options of every kind are parsed, and the arguments after -- are left alone', () => {
  const args = '-p 0 --threshold 2.5 --detector mad --detector zscore --only mad,zscore --out a --url http://a --quiet'
  const { values, rest } = parseCommandLine(command, [...args.split(' '), '--', '--port', 'x'])
  expect(values).toEqual({
    port: 0,
    threshold: 2.5,
    detector: ['mad', 'zscore'],
    only: ['mad', 'zscore'],
    out: 'a',
    url: new URL('http://a'),
    quiet: true,
  })
  expect(rest).toEqual(['--port', 'x'])
})

test.each([
  [['--port', 'x'], "--port must be an integer from 0 to 65535, not 'x'"],
  [['--port', '65536'], "--port must be an integer from 0 to 65535, not '65536'"],
  [['--port', '1e3'], "--port must be an integer from 0 to 65535, not '1e3'"],
  [['--threshold', '11'], "--threshold must be a number from 0 to 10, not '11'"],
  [['--detector', 'mad', '--detector', 'x'], "--detector must be one of zscore, mad, not 'x'"],
  [['--only', 'mad,x'], "--only must be a comma-separated list, each one of zscore, mad, not 'mad,x'"],
  [['--out', ''], "--out must be a text that is not empty, not ''"],
  [['--url', 'localhost'], "--url must be an address like http://localhost, not 'localhost'"],
  [['--nonsense'], "Unknown option '--nonsense'"],
  [['--port'], "Option '-p, --port <value>' argument missing"],
  [['file.csv'], "Unexpected argument 'file.csv'"],
])('%j is rejected', (args, message) => {
  expect(() => parseCommandLine(command, args)).toThrow(new UsageError(message))
})

test('the help shows every option with its default, and examples', () => {
  const help = formatHelp(command)
  expect(help).toContain('Usage: npm run example -- [options]\n')
  expect(help).toContain('  -p, --port N     the port (default 8080)\n')
  expect(help).toContain('  --detector NAME  a detector; may be repeated\n')
  expect(help).toContain('Examples:\n  npm run example\n  npm run example -- --port 9000 --quiet\n')
})

test('long descriptions are wrapped at 100 columns', () => {
  const long = { ...command, details: 'word '.repeat(60).trim(), options: { out: flag('word '.repeat(60).trim()) } }
  const widths = formatHelp(long)
    .split('\n')
    .map(line => line.length)
  expect(Math.max(...widths)).toBeGreaterThan(90)
  expect(Math.max(...widths)).toBeLessThanOrEqual(100)
})

test('a usage error exits with 2, a failure with 1, and no other error is hidden', async () => {
  const failWith = (error: Error) => runCommand(command, [], () => Promise.reject(error))
  await expect(failWith(new UsageError('--port is wrong'))).resolves.toBe(2)
  await expect(failWith(new Failure('no such file'))).resolves.toBe(1)
  await expect(failWith(new TypeError('a defect'))).rejects.toThrow('a defect')
})
