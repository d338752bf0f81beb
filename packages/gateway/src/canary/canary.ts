import { readFileSync } from 'node:fs'
import { systemClock } from '@tidemark/shared/runtime/clock'
import { ConfigError } from '@tidemark/shared/runtime/config'
import { createOpsApp, listenOps } from '@tidemark/shared/runtime/ops'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import type { CanaryConfig } from './config.ts'
import { createCanaryMetrics } from './metrics.ts'
import { certificateExpiry, probe } from './probe.ts'

/**
 * Starts a canary: it sends a sample again and again the way that clients do, reads its verdict,
 * and serves metrics of what it met. Resolves when it listens.
 */
export async function startCanary(config: CanaryConfig, log: Logger): Promise<AsyncDisposable & { port: number }> {
  const { CANARY_URL: url, CANARY_KEY: key, CANARY_TIMEOUT_MS: timeoutMs, CANARY_INTERVAL_MS: intervalMs } = config
  const registry = new Registry()
  const metrics = createCanaryMetrics(registry)
  metrics.lastSuccess.set(Date.now() / 1000)
  const stop = new AbortController()
  // Fails at once if the file is missing, and not with every sample.
  readApiKey(config.API_KEY_FILE)

  async function probeOnce(): Promise<void> {
    const beginMs = performance.now()
    const at = Date.now()
    const apiKey = readApiKey(config.API_KEY_FILE)
    const [{ result, reason }, expiryMs] = await Promise.all([
      probe({ url, key, apiKey, timeoutMs, stop: stop.signal }),
      certificateExpiry(url, timeoutMs),
    ])
    if (stop.signal.aborted) return
    if (expiryMs !== undefined) metrics.certificateExpiry.set(expiryMs / 1000)
    metrics.probes.inc({ result })
    if (result === 'ok') {
      metrics.lastSuccess.set(at / 1000)
      metrics.seconds.observe((performance.now() - beginMs) / 1000)
    } else log.warn({ result, reason, url }, 'a sample got no verdict')
  }

  async function work(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await probeOnce()
      } catch (error) {
        log.error({ err: error }, 'the canary could not send a sample')
      }
      await systemClock.pause(intervalMs, stop.signal)
    }
  }

  const app = createOpsApp({ registry, notReady: () => undefined })
  const ops = await listenOps({ fetch: app.fetch, hostname: config.METRICS_HOST, port: config.METRICS_PORT })
  const working = work()
  return {
    port: ops.port,
    async [Symbol.asyncDispose]() {
      stop.abort()
      await working
      await ops[Symbol.asyncDispose]()
    },
  }
}

function readApiKey(file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigError(`API_KEY_FILE: ${file} cannot be read: ${code}`, { cause: error })
  }
}
