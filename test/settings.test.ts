import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'

/** Secrets of the settings below, which no output may contain. */
const SECRETS = ['geheim1', 'geheim2', 'C2FVsBQIhrscChlQIMV+b5sSYspob7oD']

describe.runIf(await redisAvailable())('settings of running processes', () => {
  test('that differ are in /readyz, the logs and the metrics of all, without secrets, and settle', async () => {
    await using stack = new AsyncDisposableStack()
    const { url } = stack.use(await startRedis())
    const lines: string[] = []
    const env = { REDIS_URL: url, PARTITIONS: '4', LOG_LEVEL: 'info' }
    const note = (line: string): void => void lines.push(line)
    const hook = (secret: string) => ({
      WEBHOOK_URLS: `http://user:${secret}@127.0.0.1:9/hook`,
      WEBHOOK_SECRET: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD',
    })
    const gateway = stack.use(await startGateway({ ...env, THRESHOLD: '3' }, note))
    const one = stack.use(await startAnalyzer({ ...env, ...hook('geheim1'), ANALYZER_ID: 'one' }, note))
    const other = await startAnalyzer({ ...env, ...hook('geheim2'), ANALYZER_ID: 'two', OUTBOX_MAX: '7' }, note)

    const readyOf = async (port: number) => {
      const response = await fetch(`http://127.0.0.1:${port}/readyz`)
      return { code: response.status, ...((await response.json()) as { warnings?: string[] }) }
    }
    for (const port of [gateway.port, gateway.metricsPort, one.metricsPort, other.metricsPort]) {
      await eventually(async () => {
        const { code, warnings = [] } = await readyOf(port)
        expect(code).toBe(200)
        expect(warnings.toSorted()).toEqual([
          expect.stringMatching(/^OUTBOX_MAX differs: 10000 on one; 7 on two$/),
          expect.stringMatching(/^THRESHOLD differs: 3 on gateway-\S+; 2 on one, two$/),
          expect.stringMatching(/^WEBHOOK_URLS differs: 1 value \(digest \w+\) on one; 1 value \(digest \w+\) on two$/),
        ])
      })
    }
    const metrics = await (await fetch(`http://127.0.0.1:${one.metricsPort}/metrics`)).text()
    expect(metrics).toContain('\nanalyzer_settings_differing 3\n')
    expect(lines.filter(line => line.includes('"setting":"OUTBOX_MAX"'))).toHaveLength(3)

    await other[Symbol.asyncDispose]()
    await eventually(async () => expect((await readyOf(one.metricsPort)).warnings).toHaveLength(1))
    for (const secret of SECRETS) expect(lines.join('\n')).not.toContain(secret)
  })

  test('a duplicate ANALYZER_ID does not leave an analyzer without partitions', async () => {
    await using stack = new AsyncDisposableStack()
    const { url } = stack.use(await startRedis())
    const lines: string[] = []
    const env = { REDIS_URL: url, PARTITIONS: '8', LOG_LEVEL: 'info', ANALYZER_ID: 'same' }
    const one = stack.use(await startAnalyzer(env))
    const other = stack.use(await startAnalyzer(env, line => void lines.push(line)))
    const owned = async ({ metricsPort }: { metricsPort: number }): Promise<number> => {
      const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
      return Number(/^analyzer_partitions_owned (\d+)$/m.exec(text)?.[1])
    }
    await eventually(async () => {
      const [first, second] = await Promise.all([owned(one), owned(other)])
      expect(first + second).toBe(8)
      expect(Math.min(first, second)).toBeGreaterThan(0)
    })
    expect(lines.join('\n')).toContain('another running process has the name same, so this one takes another')
    const ready = await (await fetch(`http://127.0.0.1:${other.metricsPort}/readyz`)).text()
    expect(ready).toContain('ANALYZER_ID is same in two running processes')
  })
})
