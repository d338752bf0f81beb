import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Sample } from '@tidemark/client/types'
import { createApiKey } from '@tidemark/shared/access/api-key'
import { formatKeyFile } from '@tidemark/shared/access/key-file'
import type { Scope } from '@tidemark/shared/access/scope'
import { eventually } from '@tidemark/testkit/eventually'
import { NASTY_KEYS } from '@tidemark/testkit/nasty-keys'
import { Random } from '@tidemark/testkit/random'
import { type RedisFixture, redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { browserAvailable, startBrowser } from '@tidemark/tools/stack/browser'
import { Client } from '@tidemark/tools/stack/client'
import { buildConsole } from '@tidemark/tools/stack/console'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { EventLoopLag } from './support/event-loop-lag.ts'

/** Evaluated by the debugger: the policy of the page lets no other script in. */
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Longer than any wait for something that is expected: it only ends a test that hangs. */
const WAIT_MS = 60_000

/** Samples that a key learns from. */
const LEARNED = 80
const FAULTY = 'edge-3/rps'
const SPIKE = 5000

const RULE_VIEWS = ['rules?key=edge-3%2Frps', 'rules?edit=shown', 'rules?tab=changes'] as const
const VIEWS = [
  'now',
  'keys',
  `key?key=${encodeURIComponent(FAULTY)}`,
  'alerts',
  ...RULE_VIEWS,
  'send',
  'pipeline',
  'runbook',
] as const

describe.runIf((await redisAvailable()) && browserAvailable())('the console', () => {
  const resources = new AsyncDisposableStack()
  let browser: Browser
  let redis: RedisFixture
  let gateway: Service
  let client: Client
  let url: string
  const pages: Page[] = []

  beforeAll(async () => {
    await buildConsole()
    browser = await startBrowser()
    resources.defer(() => browser.close())
    redis = resources.use(await startRedis())
    gateway = resources.use(await startGateway({ REDIS_URL: redis.url }))
    resources.use(await startAnalyzer({ REDIS_URL: redis.url }))
    url = `http://127.0.0.1:${gateway.port}`
    client = new Client(gateway.port)
    await sendFleet(client)
    const note = { who: 'mira', why: 'it is shown' }
    await client.putRule({ id: 'shown', pattern: 'edge-[67]/*', alert: { hold: '1s' }, unit: 'req/s' }, note)
    await client.putRule({ id: 'shown', pattern: 'edge-[6-7]/*', alert: { hold: '2s' } }, note)
  })

  afterEach(async () => {
    for (const page of pages.splice(0)) await page.context().close()
  })

  afterAll(() => resources.disposeAsync())

  /** Opens a view. What the page reports, its policy among others, fails the test. */
  async function open(view: string, options: BrowserContextOptions = {}, base = url) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', ...options })
    const page = await context.newPage()
    page.setDefaultTimeout(WAIT_MS)
    pages.push(page)
    const reports: string[] = []
    page.on('pageerror', error => reports.push(String(error)))
    page.on('console', message => {
      // Refused requests are reported too, and some are expected.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load')) reports.push(message.text())
    })
    await page.goto(`${base}/#/${view}`)
    return Object.assign(page, { reports })
  }

  test('loads at most 150 KiB, compressed and kept by the browser, and nothing from elsewhere', async () => {
    const page = await open('now')
    await page.locator('h1').waitFor()
    const files: { url: string; bytes: number; headers: Record<string, string> }[] = []
    page.on('response', async response => {
      // The live feed and what else is open when the page closes have no size.
      const sizes = await response
        .request()
        .sizes()
        .catch(() => undefined)
      const bytes = sizes?.responseBodySize ?? 0
      files.push({ url: response.url(), bytes, headers: response.headers() })
    })
    await page.reload()
    await page.locator('h1').waitFor()
    const shell = await eventually(() => {
      const found = files.filter(file => file.url === `${url}/` || file.url.includes('/assets/'))
      expect(found.length).toBeGreaterThanOrEqual(3)
      return found
    })
    expect(shell.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(150 * 1024)
    expect(files.filter(file => !file.url.startsWith(url))).toEqual([])
    for (const { url: from, headers } of shell) {
      const isPage = from === `${url}/`
      expect(headers).toMatchObject({
        'content-encoding': 'br',
        'cache-control': isPage ? 'no-cache' : 'public, max-age=31536000, immutable',
        'content-security-policy': expect.stringMatching(/default-src 'none'; script-src 'self'; style-src 'self'/),
      })
    }
    expect(page.reports).toEqual([])
  })

  test('is interactive after less than a second of processor time', async () => {
    const page = await open('now')
    await page.locator('h1').waitFor()
    const processorMs = await readProcessorMs(page)
    await page.reload()
    const before = await processorMs()
    await page.getByRole('navigation', { name: 'Views' }).waitFor()
    await page.locator('h1').waitFor()
    const after = await processorMs()
    // A reload begins to count again.
    expect(after < before ? after : after - before).toBeLessThan(1000)
  })

  test('says within one look which key misbehaves and since when', async () => {
    const page = await open('now')
    await page.getByRole('heading', { level: 1, name: /edge-3\/rps,? since \d/ }).waitFor()
    await page.getByRole('region', { name: 'Firing alerts' }).getByRole('link', { name: FAULTY }).waitFor()
    await page.locator('.heat').getByRole('link', { name: FAULTY }).waitFor()
    const health = page.getByRole('region', { name: 'Health of the pipeline' })
    await health.getByText('all 16 partitions owned').waitFor()
    expect(page.reports).toEqual([])
  })

  test('shows a spike without a reload less than a second after its 202', async () => {
    const page = await open('now')
    const unusual = page.getByRole('region', { name: 'Most unusual samples' })
    await unusual.getByRole('link', { name: FAULTY }).waitFor()
    await page.getByText('live', { exact: true }).waitFor()
    using lag = new EventLoopLag()
    await client.ingest({ key: 'edge-5/rps', value: SPIKE })
    const begin = performance.now()
    await unusual.getByRole('link', { name: 'edge-5/rps' }).waitFor()
    const end = performance.now()
    expect(end - begin - lag.between(begin, end)).toBeLessThan(1000)
  })

  test('shows a key: its values and band, what they mean, its rule and alerts, and all of it as CSV', async () => {
    const page = await open(`key?key=${encodeURIComponent(FAULTY)}`)
    await page.getByText(/is [\d.]+ deviations (above|below) the mean of the 50 samples before it/).waitFor()
    await page.locator('.u-over').waitFor()
    await page.getByText('no rule matches', { exact: false }).waitFor()
    await page.getByRole('region', { name: 'Alerts of this key' }).getByText('rps of edge-3').first().waitFor()
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'CSV' }).click(),
    ])
    expect(download.suggestedFilename()).toBe('edge-3_rps.csv')
    const stream = await download.createReadStream()
    const csv = Buffer.concat(await stream.toArray()).toString()
    expect(csv).toMatch(/^timestamp,value,mean,low,high,state\r\n20\d\d-/)

    // A new sample moves it, unless it is paused.
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByText('Newest values as a table').click()
    await client.ingest({ key: FAULTY, value: 777.5 })
    await page.getByText(/^777\.5 (is|differs)/).waitFor()
    expect(await page.getByRole('cell', { name: '777.5' }).count()).toBe(0)
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByRole('cell', { name: '777.5' }).waitFor()
    expect(page.reports).toEqual([])
  })

  test('zooms a key out to seven days, joined to its newest samples, with read-outs and a CSV', async () => {
    const key = 'edge-long/rps'
    const begin = Date.now() - 3 * 86_400_000
    const quarters = Array.from({ length: 280 }, (_, i) => begin + i * 900_000)
    const samples = quarters.flatMap(at => [0, 1, 2].map(n => ({ key, value: 10 + n, timestamp: at + n * 300_000 })))
    const newest = [0, 1, 2, 3].map(n => ({ key, value: 40 + n, timestamp: Date.now() - 4000 + 1000 * n }))
    const { receipts } = await client.ingest([...samples, ...newest])
    for (const receipt of receipts) await client.verdicts(receipt, { waitForMs: WAIT_MS })

    const page = await open(`key?key=${encodeURIComponent(key)}`)
    await page.getByRole('button', { name: '7 d' }).click()
    // The newest sample ends the line; before it are buckets, each with what is known of it.
    const readOut = page.locator('.readout')
    await readOut.getByText('43', { exact: true }).waitFor()
    const chart = page.getByRole('img', { name: /Values of edge-long/ })
    await chart.focus()
    await eventually(async () => {
      await page.keyboard.press('ArrowLeft')
      expect(await readOut.textContent()).toMatch(/10 to 12.*deviation 0\.8.*3 samples/s)
    })
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'CSV' }).click(),
    ])
    const csv = Buffer.concat(await (await download.createReadStream()).toArray()).toString()
    const [head, ...lines] = csv.trimEnd().split('\r\n')
    expect(head).toBe('start,count,mean,deviation,min,max,anomalies')
    const counts = lines.map(line => Number(line.split(',')[1]))
    const times = lines.map(line => Date.parse(line.split(',')[0] ?? ''))
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    expect(times[0]).toBeLessThan(begin + 1_800_000)
    expect(counts.filter(count => count === 3).length).toBeGreaterThan(200)
    expect(lines.slice(-4).map(line => Number(line.split(',')[2]))).toEqual([40, 41, 42, 43])

    // Minutes are kept for six hours.
    await page.getByRole('button', { name: '6 h' }).click()
    await page.getByText('step=1m', { exact: false }).waitFor()
    expect(page.reports).toEqual([])
  })

  test('keeps the time that a key is zoomed to in its link, and the back button returns to it', async () => {
    const page = await open(`key?key=${encodeURIComponent(FAULTY)}`)
    const pressed = (name: string) => page.getByRole('button', { name, pressed: true }).waitFor()
    await pressed('Newest')
    await page.getByRole('button', { name: '6 h' }).click()
    await pressed('6 h')
    expect(page.url()).toMatch(/[?&]span=6h$/)
    await page.reload()
    await pressed('6 h')
    await page.getByRole('button', { name: '5 min' }).click()
    await pressed('5 min')

    // A part of the chart is an interval that does not move.
    const plot = await page.locator('.u-over').boundingBox()
    if (plot === null) throw new Error('no chart')
    const y = plot.y + plot.height / 2
    await page.mouse.move(plot.x + plot.width * 0.6, y)
    await page.mouse.down()
    await page.mouse.move(plot.x + plot.width * 0.8, y, { steps: 4 })
    await page.mouse.up()
    await page.getByRole('button', { name: 'Back to newest' }).waitFor()
    const [, from, to] = /[?&]from=(\d+)&to=(\d+)$/.exec(page.url()) ?? []
    expect(Math.abs(Number(to) - Number(from) - 60_000)).toBeLessThan(3000)
    const interval = await page
      .getByText(/^\d+ Nov.* to \d+ |^\d+ .* to \d+ /)
      .first()
      .textContent()
    expect(await page.getByText(/from=\d+&to=\d+/).count()).toBeGreaterThan(0)
    const copy = await open(new URL(page.url()).hash.slice(2))
    await copy.getByText(interval ?? '', { exact: true }).waitFor()

    await page.goBack()
    await pressed('5 min')
    await page.goBack()
    await pressed('6 h')
    await page.goBack()
    await pressed('Newest')
    // A link that makes no sense shows the newest samples.
    const wrong = await open(`key?key=${encodeURIComponent(FAULTY)}&span=8d&from=9&to=1`)
    await wrong.getByRole('button', { name: 'Newest', pressed: true }).waitFor()
    expect([...page.reports, ...copy.reports, ...wrong.reports]).toEqual([])
  })

  test('marks intervals with anomalies and alerts by shape and in words, and zooms by keyboard', async () => {
    const key = 'edge-marked/rps'
    const end = 900_000 * Math.floor(Date.now() / 900_000)
    const begin = end - 40 * 900_000
    const quarters = Array.from({ length: 40 }, (_, i) => begin + i * 900_000)
    const samples = quarters.flatMap((at, i) =>
      [0, 1, 2, 3].map(n => ({ key, value: i === 20 && n > 0 ? 900 : 10 + n, timestamp: at + n * 10_000 })),
    )
    const { receipts } = await client.ingest(samples)
    for (const receipt of receipts) await client.verdicts(receipt, { waitForMs: WAIT_MS })
    const page = await open(`key?key=${encodeURIComponent(key)}&span=24h`)
    const words = page.locator('#marked')
    const marked = /^\d anomal(y|ies) \(in 1 interval, marked with diamonds; 1 with more than noise explains\)/
    await page.getByText(marked).waitFor()
    expect(await words.textContent()).toMatch(/ and (no alerts|\d alerts?) in the time shown\.$/)
    await page.getByText('Anomalies and alerts as a table').click()
    await page.getByRole('cell', { name: /^\d anomal(y|ies) in 4 samples from 10 to 900$/ }).waitFor()

    const chart = page.getByRole('img', { name: /Values of edge-marked/ })
    expect(await chart.getAttribute('aria-describedby')).toBe('marked')
    await chart.focus()
    await page.keyboard.press('End')
    const readOut = page.locator('.readout')
    await eventually(async () => {
      await page.keyboard.press('ArrowLeft')
      expect(await readOut.textContent()).toMatch(/10 to 900.*4 samples\d anomal/)
    })
    expect(await page.locator('[aria-live=polite] .readout').count()).toBe(1)
    await page.keyboard.press('+')
    await page.getByRole('button', { name: 'Back to newest' }).waitFor()
    expect(page.url()).toMatch(/from=\d+&to=\d+$/)
    await page.getByText(marked).waitFor()
    expect(page.reports).toEqual([])
  })

  test('shows keys of any characters as text', async () => {
    const hostile = [
      '<img src=x onerror="window.wasRun=1">',
      '"><script>window.wasRun=1</script>',
      "a' onclick='wasRun=1",
    ]
    const keys = [...NASTY_KEYS, ...hostile]
    const { receipts } = await client.ingest(keys.map(key => ({ key, value: 1 })))
    for (const receipt of receipts) await client.verdicts(receipt)
    for (const key of [...hostile, '__proto__', '{0}', 'tm:{0}:windows']) {
      const page = await open(`keys?search=${encodeURIComponent(key)}`)
      await page.getByRole('link', { name: key, exact: true }).first().click()
      await page.getByRole('heading', { level: 1, name: key, exact: true }).waitFor()
      await page.getByText('This key is being learned').waitFor()
      expect(await page.evaluate('window.wasRun')).toBeUndefined()
      expect(page.reports).toEqual([])
    }
  })

  test('fits and reads well with tiny values, long keys, and characters that reorder text', async () => {
    const long = `odd/${'x'.repeat(190)}`
    const values: Readonly<Record<string, (i: number) => number>> = {
      'odd/tiny': i => 1e-300 * (10 + (i % 3)),
      '\u202Eodd/reversed': i => 10 + (i % 3) + (i === 78 ? 500 : 0),
      [long]: i => 10 + (i % 3) + (i === 78 ? 500 : 0),
      'odd/flat': i => (i === 79 ? 7 : 0),
    }
    const begin = Date.now() - 80_000
    const samples = Object.entries(values).flatMap(([key, valueAt]) =>
      Array.from({ length: 80 }, (_, i) => ({ key, value: valueAt(i), timestamp: begin + 1000 * i })),
    )
    const { receipts } = await client.ingest(samples)
    for (const receipt of receipts) await client.verdicts(receipt, { waitForMs: WAIT_MS })
    const widthOf = (page: Page) => page.evaluate('document.documentElement.scrollWidth')

    const now = await open('now')
    await now.locator('.heat').getByRole('link', { name: long }).waitFor()
    // The score of a value that leaves equal ones is capped, and says nothing.
    await now.getByText('7, while the samples before it were all 0', { exact: true }).waitFor()
    await now.getByRole('link', { name: '<U+202E>odd/reversed' }).first().waitFor()
    expect(await widthOf(now)).toBe(1280)
    const tiny = await open('key?key=odd%2Ftiny', { locale: 'de-DE', viewport: { width: 360, height: 740 } })
    await tiny.getByText(/^1,1E-299 is \d,\d deviations/).waitFor()
    // Numbers as in German, and sentences in English.
    await tiny.getByText(/^\d+ (second|minute)s? ago$/).waitFor()
    await tiny.getByRole('img', { name: /Values of odd/ }).waitFor()
    expect(await widthOf(tiny)).toBe(360)
    expect(await tiny.title()).toBe('odd/tiny – Tidemark')
    expect([...now.reports, ...tiny.reports]).toEqual([])
  })

  test('lists 10,000 keys of which only those on the screen exist, and finds one', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({ key: `many/${String(i).padStart(5, '0')}`, value: i }))
    const { receipts } = await client.ingest(many)
    for (const receipt of receipts) await client.verdicts(receipt, { waitForMs: WAIT_MS })
    const page = await open('keys?sort=name&search=many/')
    await page.getByText('10,000 keys').waitFor()
    await page.locator('.scroller').evaluate(element => element.scrollTo(0, element.scrollHeight))
    await page.getByRole('link', { name: 'many/09999' }).waitFor()
    expect(await page.locator('.scroller .key-row').count()).toBeLessThan(80)
    // 50 frames per second. Other programs delay frames, but take no processor time of this page.
    expect(await frameMs(page)).toBeLessThan(20)
    await page.getByRole('searchbox').fill('many/04242')
    await page.getByText('1 key', { exact: false }).waitFor()
    await page.getByRole('link', { name: 'many/04242' }).waitFor()
  })

  test('acknowledges an alert by keyboard alone', async () => {
    const page = await open('alerts')
    await page.getByRole('button', { name: `Acknowledge ${FAULTY}` }).waitFor()
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab')
      if ((await page.evaluate('document.activeElement.textContent')) === `Acknowledge ${FAULTY}`) break
    }
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await page.keyboard.type('the fan is being replaced')
    await page.keyboard.press('Tab')
    await page.keyboard.type('mira')
    await page.keyboard.press('Enter')
    await page.getByText('acknowledged by mira', { exact: true }).waitFor()
    expect(await page.getByRole('dialog').count()).toBe(0)
    const { alerts } = await client.alerts({ prefix: FAULTY })
    expect(alerts[0]?.acknowledged).toMatchObject({ who: 'mira', why: 'the fan is being replaced' })
  })

  test('marks an alert as noise, snoozes it and ends that early, by keyboard alone', async () => {
    const page = await open('alerts')
    await page.getByRole('button', { name: `Snooze ${FAULTY}` }).waitFor()
    /** Moves on to a button and presses it. */
    const press = async (name: string): Promise<void> => {
      await page.getByRole('button', { name }).waitFor()
      await page.evaluate(`document.activeElement?.blur?.()`)
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press('Tab')
        if ((await page.evaluate('document.activeElement.textContent')) === name) break
      }
      await page.keyboard.press('Enter')
    }
    const fillIn = async (why: string): Promise<void> => {
      await page.getByRole('dialog').waitFor()
      await page.keyboard.press('Tab')
      await page.keyboard.type(why)
      await page.keyboard.press('Tab')
      await page.keyboard.type('mira')
      await page.keyboard.press('Enter')
      await page.getByRole('dialog').waitFor({ state: 'detached' })
    }
    const alert = async () => (await client.alerts({ prefix: FAULTY })).alerts[0]
    await press(`Noise ${FAULTY}`)
    await page.getByRole('button', { name: `Noise ${FAULTY}`, pressed: true }).waitFor()
    expect((await alert())?.feedback?.useful).toBe(false)
    await press(`Useful ${FAULTY}`)
    await page.getByRole('button', { name: `Useful ${FAULTY}`, pressed: true }).waitFor()
    await press(`Useful ${FAULTY}`)
    await page.getByRole('button', { name: `Useful ${FAULTY}`, pressed: false }).waitFor()
    expect((await alert())?.feedback).toBeUndefined()
    await press(`Snooze ${FAULTY}`)
    await fillIn('waiting')
    expect((await alert())?.snoozed?.until).toBeGreaterThan(Date.now())
    await press(`End the snooze of ${FAULTY}`)
    await page.getByRole('dialog').waitFor()
    await page.keyboard.type('it is back')
    await page.keyboard.press('Tab')
    await page.keyboard.type('mira')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: `Snooze ${FAULTY}` }).waitFor()
    expect((await alert())?.snoozed).toMatchObject({ who: 'mira', why: 'it is back' })
    expect(page.reports).toEqual([])
  })

  test('lists mutes and ends one early, and shows who took each partition', async () => {
    await client.mute('night', { pattern: 'night/*', until: '1h', who: 'mira', why: 'new firmware' })
    const page = await open('alerts')
    await page.getByRole('region', { name: 'Muted keys' }).getByText('new firmware').waitFor()
    await page.getByRole('button', { name: 'End the mute of night/*' }).click()
    await page.getByLabel('Why').fill('done')
    await page.getByLabel('Who you are').fill('mira')
    await page.getByRole('dialog').getByRole('button', { name: 'End' }).click()
    await page.getByRole('region', { name: 'Muted keys' }).waitFor({ state: 'detached' })
    expect((await client.rules()).mutes).toEqual([])
    await page.getByRole('link', { name: 'Pipeline' }).click()
    await page.getByRole('region', { name: 'Rebalances' }).getByText('16 partitions').waitFor()
    expect(page.reports).toEqual([])
  })

  test('previews a rule as it is typed, names what is invalid at its field, and saves it', async () => {
    const page = await open('rules')
    await page.getByRole('link', { name: 'New rule' }).click()
    await page.getByText('Say which keys it is for.').waitFor()
    await page.getByLabel('Name', { exact: true }).fill('edge rps')
    await page.getByLabel('Keys', { exact: true }).fill('edge-*/rps')
    const id = page.getByLabel('Name', { exact: true })
    await page.getByText('must be 1 to 64 letters', { exact: false }).waitFor()
    expect(await id.getAttribute('aria-invalid')).toBe('true')
    expect(await page.getByRole('button', { name: 'Save' }).isDisabled()).toBe(true)
    await id.fill('edge-rps')
    // All but the first are of the default policy, which has flagged some.
    await page.getByText(/alerts? instead of|as now|The same as now/).waitFor()
    await page.getByLabel('Greatest allowed value').fill('many')
    await page.getByText('must be a finite number').waitFor()
    await page.getByLabel('Greatest allowed value').fill('405')
    const totals = page.getByRole('row', { name: 'Alerts' }).first()
    await page.getByText(/alerts? instead of/).waitFor()
    const expected = await client.previewRule({ rule: { id: 'edge-rps', pattern: 'edge-*/rps', max: 405 } })
    expect(await totals.getByRole('cell').allTextContents()).toEqual([
      String(expected.in_force.opened),
      String(expected.preview.opened),
    ])
    await page.getByText(/[\d,]+ samples of \d+ keys/).waitFor()
    await page.locator('.preview-chart .value').waitFor()
    // Nothing is saved yet.
    expect((await client.rules()).rules.map(({ rule }) => rule.id)).not.toContain('edge-rps')
    await page.getByLabel('Shadow rule', { exact: false }).check()
    await page.getByRole('button', { name: 'Save' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('405').waitFor()
    await dialog.getByLabel('Why').fill('more is too much')
    await dialog.getByLabel('Who you are').fill('ole')
    await dialog.getByRole('button', { name: 'Save' }).click()
    const entry = page.locator('.entry.rule', { hasText: 'edge-rps' })
    await entry.getByText('more is too much').waitFor()
    await entry.getByText('shadow: has no effect').waitFor()
    expect((await client.rules()).rules.find(({ rule }) => rule.id === 'edge-rps')).toMatchObject({
      rule: { id: 'edge-rps', pattern: 'edge-*/rps', max: 405, shadow: true },
      changed: { who: 'ole', why: 'more is too much' },
    })
    expect(page.reports).toEqual([])
  })

  test('every choice of the form is one that the gateway accepts', async () => {
    const page = await open(
      `rules?new=${encodeURIComponent('{"id":"choices","pattern":"edge-*","level_shift_after":9}')}`,
    )
    await page.getByText('When an alert opens and ends').click()
    const selects = page.locator('form select')
    expect(await selects.count()).toBeGreaterThanOrEqual(7)
    for (const select of await selects.all()) {
      for (const value of await select
        .locator('option')
        .evaluateAll(all => all.map(one => one.getAttribute('value')))) {
        if (value === null || value === '') continue
        const checked = page.waitForResponse(response => response.url().endsWith('/rules/preview'))
        await select.selectOption(value)
        expect([value, (await checked).status()]).toEqual([value, 200])
      }
      await select.selectOption('')
    }
  })

  test('keeps the history of a rule: what each change made different, to restore, and deleted ones', async () => {
    const note = { who: 'mira', why: 'first' }
    await client.putRule({ id: 'kept', pattern: 'kept/*', threshold: 3 }, note)
    await client.putRule({ id: 'kept', pattern: 'kept/*', threshold: 4 }, { ...note, why: 'quieter' })
    const page = await open('rules')
    await page.getByRole('button', { name: 'Delete kept' }).click()
    await page.getByLabel('Why').fill('not needed')
    await page.getByLabel('Who you are').fill('ole')
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('link', { name: 'kept', exact: true }).waitFor({ state: 'detached' })
    await page.getByRole('link', { name: 'Changes' }).click()
    const entries = page.getByRole('region', { name: 'Changes' }).getByRole('listitem')
    await entries.filter({ hasText: 'ole deleted the rule kept' }).waitFor()
    const changed = entries.filter({ hasText: 'quieter' }).first()
    expect(await changed.locator('del, ins').allTextContents()).toEqual(['was 3', 'is 4'])
    const first = entries.filter({ hasText: 'first' }).first()
    await first.getByRole('button', { name: /Restore version \d+ of kept/ }).click()
    await page.getByLabel('Why').fill('it was right')
    await page.getByLabel('Who you are').fill('ole')
    await page.getByRole('dialog').getByRole('button', { name: 'Restore' }).click()
    await entries.filter({ hasText: 'it was right' }).getByText('in force').waitFor()
    expect((await client.rules()).rules.find(({ rule }) => rule.id === 'kept')).toMatchObject({
      rule: { id: 'kept', pattern: 'kept/*', threshold: 3 },
      changed: { who: 'ole', why: 'it was right' },
    })
  })

  test('says which rule applies to a key and why, and puts a shadow rule in force', async () => {
    await client.putRule({ id: 'tried', pattern: 'tried/*', shadow: true }, { who: 'mira', why: 'a try' })
    const page = await open('rules')
    await page.getByRole('searchbox', { name: 'Key' }).fill('tried/cpu')
    await page.keyboard.press('Enter')
    await page.getByText('no rule matches', { exact: false }).waitFor()
    await page.getByText('is evaluated beside it, as a shadow rule').waitFor()
    await page.getByRole('button', { name: 'Put in force tried' }).click()
    await page.getByLabel('Why').fill('it is quiet')
    await page.getByLabel('Who you are').fill('mira')
    await page.getByRole('dialog').getByRole('button', { name: 'Put in force' }).click()
    await page.getByText('tried/* matches; no other rule does').waitFor()
    expect(await page.evaluate('document.activeElement.textContent')).toMatch(/ tried$/)
    expect((await client.rules()).rules.find(({ rule }) => rule.id === 'tried')?.rule).toEqual({
      id: 'tried',
      pattern: 'tried/*',
    })
  })

  test('does not overwrite what others changed while a rule was edited', async () => {
    await client.putRule({ id: 'raced', pattern: 'raced/*' }, { who: 'mira', why: 'first' })
    const page = await open('rules?edit=raced')
    await page.getByLabel('Threshold', { exact: true }).fill('4')
    await client.putRule({ id: 'raced', pattern: 'raced/*', window: 100 }, { who: 'ole', why: 'meanwhile' })
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByLabel('Why').fill('quieter')
    await page.getByLabel('Who you are').fill('mira')
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
    await page
      .getByRole('dialog')
      .getByRole('alert')
      .getByText(/version|changed/)
      .waitFor()
    expect((await client.rules()).rules.find(({ rule }) => rule.id === 'raced')?.rule.window).toBe(100)
  })

  test('sends what is pasted and shows its way, or why it cannot be sent', async () => {
    const page = await open('send')
    const button = page.getByRole('button', { name: 'Send', exact: true })
    await page.getByRole('textbox', { name: 'Samples' }).fill('no sample')
    await page.getByText('Line 1 is no sample').waitFor()
    expect(await button.isDisabled()).toBe(true)
    await page.getByRole('textbox', { name: 'Samples' }).fill(`sent/a,1\nsent/b,2\n`)
    await button.click()
    await page.getByText('2 samples stored').waitFor()
    await page.getByText('2 verdicts').waitFor()
    await page.getByText('No alerts are firing for these keys').waitFor()
    await page.getByRole('textbox', { name: 'Samples' }).fill('{"key":"","value":1}')
    await button.click()
    await page.getByText('Not stored').or(page.getByText('0 samples stored')).waitFor()
    await page.getByText('must not be empty', { exact: false }).first().waitFor()
  })

  describe.each(['light', 'dark'] as const)('in the %s theme', colorScheme => {
    test.each(VIEWS)('#/%s has no violation that axe finds', async view => {
      const page = await open(view, { colorScheme })
      await page.locator('main :is(.panel, .heat, textarea)').first().waitFor()
      await page.evaluate(axeSource)
      const found = await page.evaluate(() => (globalThis as unknown as Axe).axe.run())
      expect(found.violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([])
    })
  })

  test.each(VIEWS)('#/%s fits into 360 px', async view => {
    const page = await open(view, { viewport: { width: 360, height: 640 } })
    await page.locator('main :is(.panel, .heat, textarea)').first().waitFor()
    await page.getByText('Loading …').first().waitFor({ state: 'detached' })
    const { width, outside } = await page.evaluate<{ width: number; outside: string[] }>(OUTSIDE)
    expect([width, outside]).toEqual([360, []])
  })

  test('says that the gateway does not respond, and goes on when it does, without a gap or a duplicate', async () => {
    await using own = await startGateway({ REDIS_URL: redis.url })
    const { port } = own
    const base = `http://127.0.0.1:${port}`
    const page = await open('key?key=restart', {}, base)
    await page.getByText('No sample of this key was analysed').waitFor()
    await client.ingest({ key: 'restart', value: 1, timestamp: 1_700_000_001 })
    await page.getByText('1. This key is being learned').waitFor()
    await own[Symbol.asyncDispose]()
    await page.getByText('The gateway does not respond.').first().waitFor()
    for (const value of [2, 3, 4]) await client.ingest({ key: 'restart', value, timestamp: 1_700_000_000 + value })
    await using _again = await startGateway({ REDIS_URL: redis.url, PORT: String(port) })
    await page.getByText('4. This key is being learned').waitFor()
    await page.getByText('The gateway does not respond.').first().waitFor({ state: 'detached' })
    await page.getByText('Newest values as a table').click()
    await page.getByRole('cell', { name: '4', exact: true }).waitFor()
    const values = await page.locator('table.plain tbody tr td:nth-child(2)').allTextContents()
    expect(values).toEqual(['4', '3', '2', '1'])
  })

  test('needs an API key where the gateway does, and says what a key may not do', async () => {
    await using keys = await writeKeyFile({ all: ['read', 'ingest', 'operate'], reader: ['read'], sender: ['ingest'] })
    await using closed = await startGateway({ REDIS_URL: redis.url, API_KEYS_FILE: keys.file })
    const page = await open('alerts', {}, `http://127.0.0.1:${closed.port}`)
    const signIn = async (token: string): Promise<void> => {
      await page.getByLabel('API key').fill(token)
      await page.getByRole('button', { name: 'Sign in' }).click()
    }
    await signIn(`${keys.tokens.all?.slice(0, -1)}x`)
    await page.getByText('This API key is not valid').waitFor()
    await signIn(keys.tokens.sender ?? '')
    await page.getByText('Your API key may not read.').waitFor()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await signIn(keys.tokens.reader ?? '')
    await page.getByText('To acknowledge, snooze, mute or mark alerts').waitFor()
    expect(await page.getByRole('button', { name: 'Acknowledge' }).count()).toBe(0)
    await page.getByRole('link', { name: 'Rules' }).click()
    await page.getByText('To change rules, sign in').waitFor()
    expect(await page.getByRole('button', { name: /Delete|shadow|in force/ }).count()).toBe(0)
    // Trying changes nothing.
    await page.getByRole('link', { name: 'Try changes shown' }).click()
    await page.getByText('To save it, sign in').waitFor()
    await page.locator('.preview-chart .value').waitFor()
    await page.getByRole('link', { name: 'Send' }).click()
    await page.getByText('Your API key may not send samples.').waitFor()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await signIn(keys.tokens.all ?? '')
    await page.getByRole('link', { name: 'Alerts', exact: true }).click()
    await page.getByRole('button', { name: `Snooze ${FAULTY}` }).click()
    await page.getByLabel('Why').fill('maintenance')
    await page.getByRole('dialog').getByRole('button', { name: 'Snooze' }).click()
    await page
      .getByText(/snoozed until/)
      .first()
      .waitFor()
    // Who it was is what the API key says.
    const { alerts } = await client.alerts({ prefix: FAULTY })
    expect(alerts[0]?.snoozed).toMatchObject({ who: 'all', why: 'maintenance' })
  })

  test('the documentation of the API tries requests as who is signed in, without anything inline', async () => {
    await using keys = await writeKeyFile({ mira: ['read', 'operate'] })
    await using closed = await startGateway({ REDIS_URL: redis.url, API_KEYS_FILE: keys.file })
    const base = `http://127.0.0.1:${closed.port}`
    const page = await open('now', {}, base)
    await page.getByLabel('API key').fill(keys.tokens.mira ?? '')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { level: 1 }).waitFor()
    const response = await Promise.all([
      page.waitForResponse(`${base}/docs`),
      page.getByRole('link', { name: 'API', exact: true }).click(),
    ])
    expect(response[0].headers()['content-security-policy']).not.toContain('unsafe')
    await page.getByText('Requests are sent as mira, with the scopes read, operate.').waitFor()
    /** Tries an operation as it is documented, and returns the status that the page shows. */
    const tryIt = async (operation: string, fill: (block: ReturnType<Page['locator']>) => Promise<void>) => {
      const block = page.locator(`.opblock[id$="-${operation}"]`)
      await block.locator('.opblock-summary-control').click()
      await block.getByRole('button', { name: 'Try it out' }).click()
      await fill(block)
      await block.getByRole('button', { name: 'Execute' }).click()
      const status = block.locator('.live-responses-table .response-col_status').last()
      await status.waitFor()
      return {
        status: (await status.textContent())?.slice(0, 3),
        text: await block.locator('.live-responses-table').textContent(),
      }
    }
    const nothing = async (): Promise<void> => {}
    const who = await tryIt('session', nothing)
    expect([who.status, who.text?.includes('"via": "session"')]).toEqual(['200', true])
    const body = { rule: { pattern: 'docs/*' }, why: 'tried from the documentation' }
    const put = await tryIt('putRule', async block => {
      await block.getByPlaceholder('id').fill('docs')
      await block.locator('textarea.body-param__text').fill(JSON.stringify(body))
    })
    expect(put.status).toBe('201')
    expect((await client.rules()).rules.find(({ rule }) => rule.id === 'docs')?.changed).toMatchObject({ who: 'mira' })
    expect(page.reports).toEqual([])
  })

  test.each(['light', 'dark'] as const)(
    'the documentation of the API has the look of the console: %s',
    async scheme => {
      const looks: string[] = []
      for (const path of ['/#/now', '/docs']) {
        const page = await open('now', { colorScheme: scheme, viewport: { width: 360, height: 640 } })
        await page.goto(url + path)
        await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Pipeline' }).waitFor()
        if (path === '/docs') await page.locator('.opblock').first().waitFor()
        looks.push(await page.evaluate<string>(LOOK))
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
        expect(page.reports).toEqual([])
      }
      expect(looks[1]).toEqual(looks[0])
    },
  )

  test('of an empty deployment invites to send the first sample', async () => {
    await using empty = await startRedis()
    await using own = await startGateway({ REDIS_URL: empty.url })
    const page = await open('now', {}, `http://127.0.0.1:${own.port}`)
    await page.getByText('No samples yet.').waitFor()
    await page.getByText('No alerts are firing.').waitFor()
    await page.getByText('none is running').waitFor()
    await page.getByRole('link', { name: 'what to do' }).first().click()
    await page.getByRole('heading', { name: 'AnalyzerGone' }).waitFor()
    expect(page.reports).toEqual([])
  })
})

interface Axe {
  readonly axe: {
    run(): Promise<{ readonly violations: readonly { id: string; nodes: readonly { html: string }[] }[] }>
  }
}

/** Sends keys that behave, and one whose newest samples do not. */
async function sendFleet(client: Client): Promise<void> {
  const random = new Random(11)
  const begin = Date.now() - LEARNED * 1000
  for (let i = 0; i < LEARNED; i++) {
    const samples: Sample[] = Array.from({ length: 8 }, (_, n) => {
      const key = `edge-${n}/rps`
      const isFaulty = key === FAULTY && i >= LEARNED - 6
      return {
        key,
        value: 400 + 8 * random.normal() + (isFaulty ? 200 + 40 * (i % 2) : 0),
        timestamp: begin + i * 1000,
      }
    })
    const { receipts } = await client.ingest(samples)
    if (i === LEARNED - 1) for (const receipt of receipts) await client.verdicts(receipt, { waitForMs: WAIT_MS })
  }
}

/** Returns a reader of the processor time of a page. Other programs take none of it. */
async function readProcessorMs(page: Page): Promise<() => Promise<number>> {
  const session = await page.context().newCDPSession(page)
  await session.send('Performance.enable', { timeDomain: 'threadTicks' })
  return async () => {
    const { metrics } = await session.send('Performance.getMetrics')
    return 1000 * (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN)
  }
}

/** Processor time of the page for each frame while its list scrolls by 400 pixels in every one. */
async function frameMs(page: Page): Promise<number> {
  const taskMs = await readProcessorMs(page)
  const before = await taskMs()
  const frames = await page.evaluate<number>(`(async () => {
    const list = document.querySelector('.scroller')
    const begin = performance.now()
    let frames = 0
    for (; frames < 60 || performance.now() - begin < 1500; frames++) {
      await new Promise(requestAnimationFrame)
      list.scrollBy(0, frames % 200 < 100 ? -400 : 400)
    }
    return frames
  })()`)
  return ((await taskMs()) - before) / frames
}

const LOOK = `JSON.stringify(['body', '.bar', '.bar nav a'].map(name => {
  const { color, backgroundColor, fontFamily, fontSize } = getComputedStyle(document.querySelector(name))
  return [name, name === 'body' ? color : '', backgroundColor, fontFamily, fontSize]
}))`

/** How wide the page is, and what is outside of 360 px; a heat map may cut the names of keys. */
const OUTSIDE = `({
  width: document.documentElement.scrollWidth,
  outside: [...document.querySelectorAll('main *')]
    .filter(one => one.getBoundingClientRect().right > 361 && one.closest('.heat, .unseen, .key-row a') === null)
    .map(one => one.outerHTML.slice(0, 200)),
})`

async function writeKeyFile<N extends string>(scopes: Readonly<Record<N, readonly Scope[]>>) {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-console-'))
  const file = join(folder, 'keys.json')
  const fields = { key_prefix: '', limits: {}, expires_at: null, created_at: null, created_by: '' }
  const made = Object.entries<readonly Scope[]>(scopes).map(([name, own]) =>
    createApiKey({ name, scopes: [...own], ...fields }),
  )
  await writeFile(file, formatKeyFile(made.map(({ record }) => record)))
  const tokens: Record<string, string> = Object.fromEntries(made.map(({ record, token }) => [record.name, token]))
  return { file, tokens, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) }
}
