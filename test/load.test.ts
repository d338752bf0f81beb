import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { redisAvailable } from '@tidemark/testkit/redis-fixture'
import { DASHBOARDS, type LoadWanted, runLoad } from '@tidemark/tools/load/load'
import { draw } from '@tidemark/tools/load/pictures'
import { hasPrometheus } from '@tidemark/tools/load/prometheus'
import { findPython } from '@tidemark/tools/load/python'
import { startStack } from '@tidemark/tools/load/stack'
import { countPhases, runStream, streamPanels } from '@tidemark/tools/load/stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NO_SERVER, REPORT_WRITTEN, THRESHOLD_MISSED, THRESHOLDS_MET } from './support/service-messages.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

const python = findPython()
/** Without Locust the tests are skipped with a message, or fail if nothing may be skipped. */
const canRun = (await redisAvailable()) && (python !== undefined || process.env.CI === 'true')
if (python === undefined) process.stderr.write('SKIPPED: load tests need Locust: apt-get install python3-locust\n')

test('the load generator passes its own tests', () => {
  const program = python ?? 'python3'
  const args = ['-m', 'unittest', 'discover', '--start-directory', 'locust', '--top-level-directory', 'locust']
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' }
  const { status, stderr, error } = spawnSync(program, args, { cwd: ROOT, encoding: 'utf8', env })
  expect([status, error, stderr]).toEqual([0, undefined, expect.stringMatching(/Ran [1-9]\d+ tests[\s\S]*\nOK\n$/)])
})

/** A machine on which a stack starts in this time serves the load of all users with ease. */
const START_MS = 4000
const USERS_MIN = 2
const USERS_MAX = 10
const REQUESTS = 1500

/**
 * Returns a load of users with one device each: 9 samples a second per series, so anomalies appear
 * soon. A machine on which the stack took longer to start gets fewer users, for a longer time.
 */
function loadFor(startedInMs: number): LoadWanted & { readonly users: number } {
  const users = Math.min(USERS_MAX, Math.max(USERS_MIN, Math.round((USERS_MAX * START_MS) / startedInMs)))
  return {
    url: undefined,
    users,
    analyzers: 2,
    shape: 'steady',
    rps: 10 * users,
    seconds: Math.ceil(REQUESTS / (10 * users)),
    seed: 1,
    hostHeader: undefined,
    moreOptions: ['--devices', '1', '--p95-max-ms', '5000', '--rate-min', '0.9'],
  }
}

describe.runIf(canRun)('a load test', () => {
  let stack: Awaited<ReturnType<typeof startStack>>
  let startedInMs: number
  beforeAll(async () => {
    const begin = performance.now()
    stack = await startStack(1)
    startedInMs = performance.now() - begin
  })
  afterAll(() => stack?.[Symbol.asyncDispose]())

  test('sends the planned requests, scores every verdict and draws the metrics of Prometheus', async () => {
    if (python === undefined) throw new Error('no Python with Locust: apt-get install python3-locust')
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-load-'))
    try {
      const context = { python, folder, prefix: '', csvPrefix: join(folder, 'locust'), output: process.stderr }
      const { users, ...load } = loadFor(startedInMs)
      const { summary, pictures } = await runLoad(load, { ...context, stop: AbortSignal.timeout(600_000) })
      expect(summary.missed).toEqual([])
      expect(summary.requests / summary.planned).toBeCloseTo(1, 1)
      expect(summary.failures).toBe(0)
      const reports = summary.routes.find(({ name }) => name === 'POST /ingest')?.ms.count ?? 0
      expect(reports / summary.requests).toBeCloseTo(0.9, 2)
      // Every sample of each user's only series has its verdict.
      const { detection } = summary
      expect(detection.series).toBe(users)
      expect(detection.verdicts + detection.warming).toBe(reports)
      expect(summary.unjudged).toBe(0)
      expect(detection.anomalies).toBeGreaterThan(0)
      expect(detection.precision).toBeGreaterThan(0.25)

      const dashboards = (await hasPrometheus()) ? DASHBOARDS.map(({ name }) => `${name}.png`) : []
      const expected = ['client.png', ...dashboards, 'verdicts.png']
      expect(pictures.map(({ name }) => name)).toEqual(expected)
      expect(await readdir(folder)).toEqual(expect.arrayContaining([...expected, 'locust_stats.csv']))
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test('exits with 1 if a threshold is missed', async () => {
    const out = await mkdtemp(join(tmpdir(), 'tidemark-load-'))
    try {
      const run = (limit: string) => {
        const options = ['--url', stack.url, '--rps', '20', '--seconds', '5', '--out', out]
        const args = [join(ROOT, 'tools/load/main.ts'), ...options, '--', '--rate-min', '0.5', '--p95-max-ms', limit]
        return spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' })
      }
      const slow = run('0.01')
      expect([slow.status, slow.stderr]).toEqual([1, expect.stringContaining(THRESHOLD_MISSED)])
      const good = run('5000')
      expect([good.status, good.stderr]).toEqual([0, expect.stringContaining(REPORT_WRITTEN)])
      const report = await readFile(join(out, 'report.md'), 'utf8')
      expect(report).toContain(THRESHOLDS_MET)
      expect(report).toMatch(/\| `POST \/ingest` +\| \d+ +\| 0 +\| [\d.]+ ms/)
    } finally {
      await rm(out, { recursive: true })
    }
  })

  test('exits at once with a hint if no server responds', () => {
    const args = [join(ROOT, 'tools/load/main.ts'), '--url', 'http://127.0.0.1:1']
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' })
    expect([status, stderr]).toEqual([1, expect.stringContaining(NO_SERVER)])
  })

  test('of the synthetic stream finds an average close to the truth, and flags its burst at once', async () => {
    const result = await runStream(stack.url, 1)
    expect(result.legacy.window).toBe(50)
    expect(result.legacy.rps_avg).toBeCloseTo(result.truth.ofWindow, 6)
    // Six standard errors of the mean of 50 values drawn uniformly from a range of 50.
    expect(Math.abs(result.legacy.rps_avg - result.truth.expected)).toBeLessThan((6 * 50) / Math.sqrt(12 * 50))
    const [stable, burst] = countPhases(result)
    expect(stable?.flagged).toBeLessThan((stable?.judged ?? 0) * 0.06)
    expect(burst?.firstZ).toBeGreaterThan(20)
    expect(result.points.find(({ phase }) => phase === 'burst')?.analysis.anomaly).toBe(true)

    const folder = await mkdtemp(join(tmpdir(), 'tidemark-load-'))
    try {
      const file = join(folder, 'stream.png')
      await draw(file, { title: 'stream', xTitle: 'samples', rows: streamPanels(result).map(panel => [panel]) })
      expect((await readFile(file)).subarray(1, 4).toString()).toBe('PNG')
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
