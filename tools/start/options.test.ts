import { describe, expect, test } from 'vitest'
import { parseCommand } from './options.ts'

const started = (...args: string[]) => parseCommand(args, {})

describe('the options of npm start', () => {
  test('none at all are this computer on port 8080 with two analyzers', () => {
    expect(started()).toEqual({
      kind: 'start',
      options: {
        csv: undefined,
        speed: Number.POSITIVE_INFINITY,
        port: 8080,
        redisUrl: undefined,
        analyzers: 2,
        isQuiet: false,
      },
    })
  })

  test('REDIS_URL counts when no option names a Redis, and not when it is empty', () => {
    const urlOf = (args: string[], REDIS_URL: string) => {
      const command = parseCommand(args, { REDIS_URL })
      return command.kind === 'start' ? command.options.redisUrl : command
    }
    expect(urlOf([], 'redis://a')).toBe('redis://a')
    expect(urlOf(['--redis-url', 'redis://b'], 'redis://a')).toBe('redis://b')
    expect(urlOf([], '')).toBeUndefined()
  })

  test.each([
    ['1', 1],
    ['60', 60],
    ['0.5', 0.5],
    ['10x', 10],
    ['max', Number.POSITIVE_INFINITY],
  ])('--speed %s is %d times real time', (text, speed) => {
    expect(started('--csv', 'a.csv', '--speed', text)).toMatchObject({ options: { speed, csv: 'a.csv' } })
  })

  test.each([
    [['--wat'], "Unknown option '--wat'"],
    [['rps.csv'], '--csv rps.csv'],
    [['--port', '70000'], '--port'],
    [['--port', '80a'], "'80a'"],
    [['--analyzers', '0'], '--analyzers'],
    [['--csv', 'a', '--speed', '0'], '--speed'],
    [['--csv', 'a', '--speed', 'fast'], "'fast'"],
    [['--speed', '2'], '--csv'],
    [['--csv', ''], '--csv'],
    [['--redis-url', 'localhost'], 'redis://'],
    [['--port'], '--port'],
  ])('%j is refused with a sentence that names it', (args, part) => {
    expect(started(...args)).toEqual({ kind: 'wrong', reason: expect.stringContaining(part) })
  })

  test('--help wins over what else is there', () => {
    expect(started('--help', '--quiet')).toEqual({ kind: 'help' })
  })
})
