import { pino } from 'pino'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { createAnalyzerMetrics } from '../metrics.ts'
import { createIdsAheadWatch } from './ids-ahead.ts'

test('ids that are ahead are a metric all the time, and a log line when that begins and ends', async () => {
  const lines: { level: number; partitions?: number[]; seconds?: number }[] = []
  const log = pino({}, { write: line => void lines.push(JSON.parse(line)) })
  const metrics = createAnalyzerMetrics(new Registry())
  const watch = createIdsAheadWatch({ metrics, log })
  const seconds = async () => (await metrics.idsAheadSeconds.get()).values[0]?.value
  const workers = (...ahead: readonly number[]) => ahead.map((idsAheadMs, partition) => ({ partition, idsAheadMs }))

  watch(workers(0, 0))
  expect([await seconds(), lines.length]).toEqual([0, 0])
  watch(workers(0, 3_600_000, 60_000))
  watch(workers(0, 3_500_000, 50_000))
  expect(await seconds()).toBe(3500)
  expect(lines).toMatchObject([{ level: 40, partitions: [1, 2], seconds: 3600 }])
  watch(workers(0, 0, 0))
  expect(await seconds()).toBe(0)
  expect(lines.map(({ level }) => level)).toEqual([40, 30])
})
