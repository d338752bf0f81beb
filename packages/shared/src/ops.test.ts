import { Gauge, Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { createOpsApp } from './ops.ts'

test('scrapes of /metrics at the same time are one, and the next is another', async () => {
  const registry = new Registry()
  let collected = 0
  new Gauge({
    name: 'collected',
    help: 'How often it was asked.',
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
