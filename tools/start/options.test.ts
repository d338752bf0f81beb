import { describe, expect, test } from 'vitest'
import { readOptions } from './options.ts'

const read = (...args: string[]) => readOptions(args, {})

describe('the options of npm start', () => {
  test('default to this computer, port 8080 and two analyzers', () => {
    expect(read()).toEqual({
      csv: undefined,
      csvOptions: {},
      isDryRun: false,
      speed: Number.POSITIVE_INFINITY,
      port: 8080,
      redisUrl: undefined,
      analyzers: 2,
      isQuiet: false,
      isOpened: false,
    })
  })

  test('REDIS_URL counts if no option names a Redis and it is not empty', () => {
    expect(readOptions([], { REDIS_URL: 'redis://a' }).redisUrl).toBe('redis://a')
    expect(readOptions(['--redis-url', 'redis://b'], { REDIS_URL: 'redis://a' }).redisUrl).toBe('redis://b')
    expect(readOptions([], { REDIS_URL: '' }).redisUrl).toBeUndefined()
  })

  test.each([
    ['1', 1],
    ['60', 60],
    ['0.5', 0.5],
    ['10x', 10],
    ['max', Number.POSITIVE_INFINITY],
  ])('--speed %s is %d times real time', (text, speed) => {
    expect(read('--csv', 'a.csv', '--speed', text)).toMatchObject({ speed, csv: 'a.csv' })
  })

  test.each([
    [['--wat'], "Unknown option '--wat'"],
    [['rps.csv'], "'rps.csv'"],
    [['--port', '70000'], '--port'],
    [['--port', '80a'], "'80a'"],
    [['--analyzers', '0'], '--analyzers'],
    [['--csv', 'a', '--speed', '0'], '--speed'],
    [['--csv', 'a', '--speed', 'fast'], "'fast'"],
    [['--speed', '2'], '--csv'],
    [['--dry-run'], '--dry-run needs --csv FILE'],
    [['--key', 'host'], '--key needs --csv FILE'],
    [['--csv', 'a', '--delimiter', 'ab'], '--delimiter must be one character'],
    [['--csv', 'a', '--time-format', 'soon'], '--time-format must be iso'],
    [['--csv', 'a', '--zone', 'Mars/Olympus'], '--zone must be'],
    [['--csv', 'a', '--encoding', 'utf-64'], '--encoding must be'],
    [['--csv', 'a', '--decimal', ';'], '--decimal must be'],
    [['--csv', ''], '--csv'],
    [['--redis-url', 'localhost'], 'redis://'],
    [['--port'], '--port'],
  ])('%j is rejected with a message that names it', (args, part) => {
    expect(() => read(...args)).toThrow(part)
  })
})
