import { Writable } from 'node:stream'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createFailureLog, createLogger } from './logger.ts'

function capture() {
  const lines: Record<string, unknown>[] = []
  const stream = new Writable({
    write(chunk, _, done) {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  return { lines, stream, log: pino({}, stream) }
}

test('a line names its level, and lines below the configured level are not written', () => {
  const { lines, stream } = capture()
  const log = createLogger('gateway', 'warn', stream)
  log.info('not this one')
  log.warn({ partition: 3 }, 'this one')
  expect(lines).toEqual([
    { level: 'warn', time: expect.stringMatching(/^\d{4}-.*Z$/), service: 'gateway', partition: 3, msg: 'this one' },
  ])
})

test('the same failure is logged once in five seconds, another failure at once', () => {
  const { lines, log } = capture()
  let now = 0
  const logFailure = createFailureLog(log, () => now)
  for (now = 0; now < 12_000; now += 100)
    logFailure(new Error('no connection'), 'the heartbeat failed', { partition: 3 })
  now = 12_000
  logFailure(new Error('no response'), 'the heartbeat failed')
  logFailure(new Error('no connection'), 'reading failed')
  expect(lines.map(({ msg }) => msg)).toEqual([...Array(4).fill('the heartbeat failed'), 'reading failed'])
  expect(lines[0]).toMatchObject({ level: 40, partition: 3, err: { message: 'no connection' } })
})
