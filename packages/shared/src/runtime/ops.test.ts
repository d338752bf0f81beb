import { Counter, Gauge, Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { TracedHistogram } from './open-metrics.ts'
import { createOpsApp } from './ops.ts'

test('concurrent scrapes of /metrics share one rendering, and the next has its own', async () => {
  const registry = new Registry()
  let collected = 0
  new Gauge({
    name: 'collected',
    help: 'Scrapes.',
    registers: [registry],
    collect() {
      this.set(++collected)
    },
  })
  const app = createOpsApp({ registry, notReady: () => undefined })
  const scrape = async (): Promise<string> => (await app.request('/metrics')).text()
  for (const page of await Promise.all([scrape(), scrape(), scrape()])) expect(page).toContain('collected 1\n')
  expect(await scrape()).toContain('collected 2\n')
})

/** What Prometheus sends. */
const PROMETHEUS_ACCEPT =
  'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'

test('a client that accepts OpenMetrics receives it, with exemplars; any other receives the plain text format', async () => {
  const registry = new Registry()
  const registers = [registry]
  new Counter({ name: 'taken_total', help: 'Taken, see x_total here.', labelNames: ['how'], registers }).inc(
    { how: 'well' },
    3,
  )
  new Counter({ name: 'spaced_total', help: 'Its label ends like a value.', labelNames: ['of'], registers }).inc({
    of: 'a 1',
  })
  let asked = 0
  new Gauge({
    name: 'asked',
    help: 'Scrapes.',
    labelNames: ['by'],
    registers,
    collect() {
      this.reset()
      this.set({ by: 'client' }, ++asked)
    },
  })
  const seconds = new TracedHistogram({ name: 'took_seconds', help: 'Took.', buckets: [1], registers })
  seconds.observe(0.25)
  seconds.observe(0.5)
  seconds.exemplify(0.25, { traceId: 'old', spanId: 'old', isSampled: true })
  seconds.exemplify(0.5, { traceId: 'abc', spanId: 'def', isSampled: true })
  seconds.observe(7)
  seconds.exemplify(7, { traceId: 'ghi', spanId: 'jkl', isSampled: true })

  const app = createOpsApp({ registry, notReady: () => undefined })
  const scrape = (accept: string): Promise<Response> =>
    Promise.resolve(app.request('/metrics', { headers: { Accept: accept } }))
  const before = await (await scrape('*/*')).text()
  const open = await scrape(PROMETHEUS_ACCEPT)
  expect(open.headers.get('Content-Type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
  const text = await open.text()
  expect(text).toContain('# HELP taken Taken, see x_total here.\n# TYPE taken counter\ntaken_total{how="well"} 3\n')
  expect(text).toContain('# TYPE spaced counter\nspaced_total{of="a 1"} 1\n')
  expect(text).toContain('asked{by="client"} 2\n')
  expect(text).toMatch(/took_seconds_bucket\{le="1"\} 2 # \{trace_id="abc",span_id="def"\} 0\.5 \d/)
  expect(text).toMatch(/took_seconds_bucket\{le="\+Inf"\} 3 # \{trace_id="ghi",span_id="jkl"\} 7 \d/)
  expect(text).not.toContain('\n\n')
  expect(text).toMatch(/\n# EOF\n$/)

  for (const accept of [
    '*/*',
    'text/plain',
    'application/json',
    PROMETHEUS_ACCEPT.replace('0.5,', '0.9,').replace('1.0.0', '1.0.0;q=0.1'),
  ]) {
    const plain = await scrape(accept)
    expect(plain.headers.get('Content-Type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect((await plain.text()).replace(/asked\{.*/, '')).toBe(before.replace(/asked\{.*/, ''))
  }
})
