import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
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
  const log = createLogger('gateway', 'warn', { stream })
  log.info('not this one')
  log.warn({ partition: 3 }, 'this one')
  expect(lines).toEqual([
    { level: 'warn', time: expect.stringMatching(/^\d{4}-.*Z$/), service: 'gateway', partition: 3, msg: 'this one' },
  ])
})

test.each([
  ['by itself', ''],
  ['with an error', "log.fatal('the end')"],
  ['early', 'process.exit()'],
  ['early, with lines that were not tried yet', "log.info('a'); log.info('b'); process.exit()"],
])('a full disk does not stop a process, nor keep it from ending %s', async (_how, end) => {
  const program = `
    import { createLogger } from ${JSON.stringify(new URL('logger.ts', import.meta.url))}
    const log = createLogger('analyzer', 'info')
    for (let n = 0; n < 5; n++) {
      log.info('a line')
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    process.stderr.write('alive')
    ${end}
  `
  const full = openSync('/dev/full', 'w')
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', full, 'pipe'],
    timeout: 4000,
    killSignal: 'SIGKILL',
  })
  closeSync(full)
  const chunks: Buffer[] = []
  child.stderr?.on('data', chunk => chunks.push(chunk))
  const [code] = await once(child, 'close')
  expect(Buffer.concat(chunks).toString()).toBe('alive')
  expect(code).toBe(0)
})

test('a reader that stalls does not stop a process; what it does not read is dropped beyond 4 MiB', async () => {
  const program = `
    import { createLogger } from ${JSON.stringify(new URL('logger.ts', import.meta.url))}
    const log = createLogger('analyzer', 'info')
    for (let n = 0; n < 100; n++) {
      log.info({ n }, 'x'.repeat(100_000))
      await new Promise(resolve => setTimeout(resolve, 1))
    }
    process.stderr.write('alive')
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 8000,
    killSignal: 'SIGKILL',
  })
  await once(child.stderr, 'data')
  const closed = once(child, 'close')
  let text = ''
  for await (const chunk of child.stdout) text += chunk
  const numbers = text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line).n)
  expect(numbers).toEqual(numbers.map((_, n) => n))
  expect(numbers.length).toBeGreaterThan(35)
  expect(numbers.length).toBeLessThan(60)
  expect(await closed).toEqual([0, null])
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
  expect(lines.map(({ repeats }) => repeats)).toEqual([undefined, 49, 49, undefined, undefined])
})

test('a line has the message of an error and of its causes, and nothing that a library attached', () => {
  const { lines, stream } = capture()
  const log = createLogger('gateway', 'info', { stream })
  const reply = Object.assign(new Error('WRONGPASS invalid'), {
    command: { name: 'auth', args: ['hunter2'] },
    code: 'E1',
  })
  log.warn({ err: new Error('no connection', { cause: reply }) }, 'failed')
  expect(lines[0]).toMatchObject({ err: { type: 'Error', message: 'no connection: WRONGPASS invalid' } })
  expect(JSON.stringify(lines)).toContain('caused by')
  expect(JSON.stringify(lines)).not.toContain('hunter2')
  log.warn({ err: reply }, 'failed')
  expect(Object.keys(lines[1]?.err as object)).toEqual(['type', 'message', 'code', 'stack'])
})

test('a cause that is its own cause ends', () => {
  const { lines, stream } = capture()
  const error = new Error('loop')
  error.cause = error
  createLogger('gateway', 'info', { stream }).warn({ err: error }, 'failed')
  expect(lines).toHaveLength(1)
})

test('an error for an operator has no stack', () => {
  const { lines, stream } = capture()
  const error = Object.assign(new Error('set it to yes'), { isForOperator: true })
  createLogger('gateway', 'info', { stream }).fatal({ err: error }, 'failed')
  expect(lines[0]?.err).toEqual({ type: 'Error', message: 'set it to yes' })
})

test('secrets are redacted wherever a line has them', () => {
  const { lines, stream } = capture()
  const log = createLogger('gateway', 'info', { stream, secrets: ['hunter2hunter'] })
  log.info({ url: 'redis://:hunter2hunter@h', list: ['hunter2hunter'] }, 'connecting to redis://:hunter2hunter@h')
  log.child({ at: 'hunter2hunter' }).warn({ err: new Error('bad hunter2hunter') }, 'failed')
  expect(lines).toHaveLength(2)
  expect(JSON.stringify(lines)).not.toContain('hunter2hunter')
  expect(lines[0]).toMatchObject({ url: 'redis://:[redacted]@h', msg: 'connecting to redis://:[redacted]@h' })
})
