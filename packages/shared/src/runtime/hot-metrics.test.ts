import { Counter, Histogram, Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { createObservers, createTallies } from './hot-metrics.ts'

test('a counter has what its tallies counted when it is read, once', async () => {
  const registry = new Registry()
  const counter = new Counter({
    name: 'requests_total',
    help: 'Requests.',
    labelNames: ['route'],
    registers: [registry],
  })
  const tallyOf = createTallies(counter)
  const [ingest, analyze] = [tallyOf({ route: '/ingest' }), tallyOf({ route: '/analyze' })]
  ingest.count += 2
  expect(await registry.metrics()).toContain('requests_total{route="/ingest"} 2')
  ingest.count++
  analyze.count++
  counter.inc({ route: '/analyze' })
  for (const _ of [1, 2]) {
    const text = await registry.metrics()
    expect(text).toContain('requests_total{route="/ingest"} 3')
    expect(text).toContain('requests_total{route="/analyze"} 2')
  }
})

test('a series that nothing was counted for does not appear', async () => {
  const counter = new Counter({ name: 'requests_total', help: 'Requests.', labelNames: ['route'], registers: [] })
  createTallies(counter)({ route: '/ingest' })
  expect((await counter.get()).values).toEqual([])
})

test('a histogram has every observation when it is read, however many there are', async () => {
  const registry = new Registry()
  const histogram = new Histogram({
    name: 'latency',
    help: 'Latency.',
    labelNames: ['route'],
    buckets: [1, 2],
    registers: [registry],
  })
  const observe = createObservers(histogram)({ route: '/ingest' })
  const seriesValue = async (series: string): Promise<number | undefined> =>
    (await histogram.get()).values.find(({ metricName }) => metricName === series)?.value
  for (let i = 0; i < 2500; i++) observe(1.5)
  expect(await seriesValue('latency_count')).toBe(2500)
  expect(await seriesValue('latency_sum')).toBe(3750)
  observe(0.5)
  expect(await seriesValue('latency_count')).toBe(2501)
  const lines = (await registry.metrics()).split('\n')
  expect(lines).toContain('latency_bucket{le="1",route="/ingest"} 1')
})
