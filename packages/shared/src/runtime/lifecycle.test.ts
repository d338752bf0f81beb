import { expect, test } from 'vitest'
import { captureConsole } from './lifecycle.ts'
import { createLogger } from './logger.ts'

test('what libraries print and Node warns of are lines of the log', async () => {
  const lines: { level: string; msg: string }[] = []
  const stream = { write: (line: string) => void lines.push(JSON.parse(line)) }
  const log = createLogger('gateway', 'info', { stream, secrets: ['hunter2hunter'] })
  const listeners = process.listenerCount('warning')
  const { console: printed } = globalThis
  const before = printed.warn
  const release = captureConsole(log)
  printed.warn('[WARN] a password %s was supplied', 'hunter2hunter')
  process.emitWarning('too many listeners')
  await new Promise(resolve => setImmediate(resolve))
  release()
  expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
    ['warn', '[WARN] a password [redacted] was supplied'],
    ['warn', 'a warning of Node'],
  ])
  expect(printed.warn).toBe(before)
  expect(process.listenerCount('warning')).toBe(listeners)
})
