import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from '@tidemark/client/client'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { Browser } from 'playwright-core'
import { type Command, flag, parseCommandLine, runCommand, text } from '../lib/options.ts'
import { ROOT } from '../lib/project.ts'
import { startBrowser } from '../stack/browser.ts'
import { buildConsole } from '../stack/console.ts'
import { watchInterrupts } from '../stack/interrupts.ts'
import { launch } from '../stack/launch.ts'
import { createFleet } from './fleet.ts'

const COMMAND = {
  call: 'npm run screenshots --',
  summary: 'Takes the pictures of the console in docs/images: a fleet with faults, each view, light and dark.',
  options: {
    out: text({ placeholder: 'FOLDER', default: join(ROOT, 'docs', 'images'), help: 'where the pictures go' }),
    view: text({ placeholder: 'NAME', help: 'only this view' }),
    narrow: flag('also at 360 px'),
  },
  examples: ['', '--view now --out /tmp/pictures'],
} satisfies Command

const DEVICES = 24
const WIDE = { width: 1360, height: 860 }
const NARROW = { width: 360, height: 740 }

/** What a view shows when it is complete, and where it is. */
const VIEWS: Readonly<Record<string, readonly [hash: string, ready: string]>> = {
  now: ['#/now', '.heat td[class]'],
  keys: ['#/keys', '.scroller .key-row a'],
  key: ['#/key?key=edge-07%2Flatency', '.u-over'],
  alerts: ['#/alerts', '.entry'],
  rules: ['#/rules', '.entry.rule'],
  rule: ['#/rules?edit=edge-cpu', '.preview-chart polyline'],
  send: ['#/send', 'textarea'],
  pipeline: ['#/pipeline', 'table'],
}

const SENT = '{"device": "edge-03", "metrics": {"rps": 421, "latency": 74}}'

/** How long the fleet goes on while pictures are taken. */
const SEND_MS = 1000

const args = process.argv.slice(2)
process.exitCode = await runCommand(COMMAND, args, takeAll)

async function takeAll(): Promise<number> {
  const { out, view, narrow } = parseCommandLine(COMMAND, args).values
  await mkdir(out, { recursive: true })
  await buildConsole()
  using interrupts = watchInterrupts()
  await using stack = await launch(
    { port: 0, redisUrl: undefined, analyzers: 2, env: process.env, onWarning: () => {} },
    interrupts.stop,
  )
  const fleet = createFleet(new Client({ url: stack.url }), DEVICES)
  await fleet.sendPast()
  const ended = new AbortController()
  const sending = (async () => {
    while (!ended.signal.aborted) {
      await fleet.next()
      await pause(SEND_MS, ended.signal)
    }
  })()
  const browser = await startBrowser()
  try {
    const names = view === undefined ? Object.keys(VIEWS) : [view]
    for (const name of names) {
      for (const scheme of ['light', 'dark'] as const) {
        const path = join(out, `console-${name}-${scheme}.png`)
        await take(browser, stack.url, { name, scheme, path, viewport: WIDE })
      }
      if (narrow) {
        const path = join(out, `console-${name}-narrow.png`)
        await take(browser, stack.url, { name, scheme: 'light', path, viewport: NARROW })
      }
    }
  } finally {
    await browser.close()
    ended.abort()
    await sending
  }
  return 0
}

interface Picture {
  readonly name: string
  readonly scheme: 'light' | 'dark'
  readonly path: string
  readonly viewport: { readonly width: number; readonly height: number }
}

async function take(browser: Browser, url: string, { name, scheme, path, viewport }: Picture): Promise<void> {
  const [hash, ready] = VIEWS[name] ?? [`#/${name}`, '.panel']
  const page = await browser.newPage({ viewport, colorScheme: scheme, locale: 'en-GB' })
  await page.goto(`${url}/${hash}`)
  await page.locator(ready).first().waitFor()
  if (name === 'send') {
    await page.locator('textarea').fill(SENT)
    await page.getByRole('button', { name: 'Send' }).click()
  }
  if (name === 'rule') await page.getByLabel('Threshold', { exact: true }).fill('2.2')
  // Rates need two readings, and the chart of a key some samples.
  await page.waitForTimeout(4000)
  await page.screenshot({ path, fullPage: name !== 'keys' })
  await page.close()
  process.stderr.write(`tidemark: ${path}\n`)
}
