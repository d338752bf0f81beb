import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { pause } from './lifecycle.ts'
import { collectProcessMetrics } from './process-metrics.ts'

/** Much longer than a loaded machine keeps an idle event loop. */
const BLOCKED_MS = 1500
/** The block may begin as long as a pause between two looks before the next look is due. */
const LAG_S = 1.25

test('the lag of the event loop is what a look comes late, and each reading begins again', async () => {
  const registry = new Registry()
  collectProcessMetrics(registry)
  const read = async (lag: string): Promise<number> => {
    const metrics = await registry.getMetricsAsJSON()
    const { values = [] } = metrics.find(({ name }) => name === `nodejs_eventloop_lag_${lag}_seconds`) ?? {}
    return Number(values[0]?.value)
  }
  await pause(500)
  await read('max')
  await pause(1000)
  // The pause between two looks is not in it.
  expect(await read('min')).toBeLessThan(0.19)
  await pause(500)
  const until = performance.now() + BLOCKED_MS
  while (performance.now() < until);
  await pause(500)
  const lags = await registry.getMetricsAsJSON()
  const max = lags.find(({ name }) => name === 'nodejs_eventloop_lag_max_seconds')?.values[0]?.value
  expect(max).toBeGreaterThan(LAG_S)
  await pause(1000)
  expect(await read('max')).toBeLessThan(LAG_S)
})
