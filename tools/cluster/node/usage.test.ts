import { expect, test } from 'vitest'
import { addReading, matchesSelector, parseUsage, podMetrics, readUsage, usageOf } from './usage.ts'

test('CPU and memory are read from /proc, also of a program with a strange name', () => {
  const stat = `7 (a) b) S ${Array.from({ length: 10 }, (_, i) => i).join(' ')} 150 50 20 5 20 0`
  expect(parseUsage(stat, '900 25 3 1 0 1 0')).toEqual({ cpuS: 2.25, bytes: 25 * 4096 })
})

test.skipIf(process.platform !== 'linux')('this process has used CPU and memory', async () => {
  const used = await readUsage(process.pid)
  expect(used?.cpuS).toBeGreaterThan(0)
  expect(used?.bytes).toBeGreaterThan(1e6)
  expect(await readUsage(2 ** 30)).toBeUndefined()
})

test('the usage is the mean of the last 15 seconds', () => {
  const readings = [0, 5, 10, 15, 20].map(s => ({ at: s * 1000, cpuS: s < 10 ? s : 10 + (s - 10) * 0.5, bytes: s }))
  // Between 5 s and 20 s, 10 s of CPU.
  expect(usageOf(readings)).toEqual({ at: 20_000, windowS: 15, cores: 10 / 15, bytes: 20 })
  expect(usageOf(readings.slice(0, 1))).toBeUndefined()
})

test('the usage of a process that restarted begins again', () => {
  const first = addReading([], { at: 0, cpuS: 9, bytes: 1 })
  expect(addReading(first, { at: 1000, cpuS: 1, bytes: 1 })).toEqual([{ at: 1000, cpuS: 1, bytes: 1 }])
  const old = addReading(first, { at: 100_000, cpuS: 10, bytes: 1 })
  expect(old).toHaveLength(1)
})

test('metrics have the form of metrics-server', () => {
  const usage = { at: 1_790_000_000_000, windowS: 15, cores: 0.0421, bytes: 3 * 2 ** 20 }
  const labels = { 'app.kubernetes.io/name': 'gateway' }
  const metrics = podMetrics({ name: 'g', namespace: 'highload', labels, containers: [{ name: 'gateway', usage }] })
  expect(metrics).toMatchObject({
    window: '15.000s',
    timestamp: '2026-09-21T14:13:20.000Z',
    containers: [{ name: 'gateway', usage: { cpu: '42100000n', memory: '3072Ki' } }],
  })
})

test.each([
  ['', true],
  ['a=1', true],
  ['a==1,b=2', true],
  ['a=2', false],
  ['a!=2,c!=1', true],
  ['a in (0, 1),b notin (3,4)', true],
  ['c in (1)', false],
  ['a,!c', true],
  ['!a', false],
  ['app.kubernetes.io/name=gateway', false],
])('the selector "%s": %s', (selector, expected) => {
  expect(matchesSelector({ a: '1', b: '2' }, selector)).toBe(expected)
})
