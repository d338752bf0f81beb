import { Writable } from 'node:stream'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createTroubleLog } from './logger.ts'

function capture() {
  const lines: Record<string, unknown>[] = []
  const stream = new Writable({
    write(chunk, _, done) {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  return { lines, log: pino({}, stream) }
}

test('the same trouble is logged once in five seconds, other trouble at once', () => {
  const { lines, log } = capture()
  let now = 0
  const trouble = createTroubleLog(log, () => now)
  for (now = 0; now < 12_000; now += 100) trouble(new Error('no connection'), 'the heartbeat failed', { partition: 3 })
  now = 12_000
  trouble(new Error('no answer'), 'the heartbeat failed')
  trouble(new Error('no connection'), 'reading failed')
  expect(lines.map(({ msg }) => msg)).toEqual([...Array(4).fill('the heartbeat failed'), 'reading failed'])
  expect(lines[0]).toMatchObject({ level: 40, partition: 3, err: { message: 'no connection' } })
})
