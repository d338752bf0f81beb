import { ConfigError } from '@tidemark/shared/runtime/config'
import { createWatchedFile, fileFault, poll } from '@tidemark/shared/runtime/watched-file'
import type { Logger } from 'pino'
import type { GatewayConfig } from '../../../config.ts'
import { SeriesIndex } from './series.ts'
import { parseSeriesRules, RULES_BYTES_MAX, SeriesRules } from './series-rules.ts'

interface SeriesIndexOptions {
  readonly config: GatewayConfig
  readonly log: Logger
  readonly metrics: { seriesRulesBroken(isBroken: boolean): void }
}

/**
 * Creates the index of Prometheus' series by the rules of PROMETHEUS_RULES_FILE, and keeps those up
 * to date. While the file cannot be used, its last rules apply. Throws a ConfigError if it cannot
 * be used at the start.
 */
export async function openSeriesIndex({ config, log, metrics }: SeriesIndexOptions) {
  const { PROMETHEUS_RULES_FILE: path, PROMETHEUS_KEY: template, PROMETHEUS_COUNTERS: counters } = config
  const index = new SeriesIndex({ template, counters, rules: new SeriesRules() })
  const polling = new AsyncDisposableStack()
  if (path !== undefined) {
    const file = createWatchedFile(path, RULES_BYTES_MAX, parseSeriesRules)
    const adopt = async (): Promise<void> => {
      const rules = await file.read()
      if (rules === undefined) return
      index.replaceRules(rules)
      log.info({ rules: rules.count }, 'PROMETHEUS_RULES_FILE loaded')
    }
    try {
      await adopt()
    } catch (error) {
      throw new ConfigError(`PROMETHEUS_RULES_FILE: ${fileFault(path, error)}`, { cause: error })
    }
    let logged = ''
    polling.use(
      poll(async () => {
        try {
          await adopt()
          metrics.seriesRulesBroken(false)
          logged = ''
        } catch (error) {
          const fault = fileFault(path, error)
          metrics.seriesRulesBroken(true)
          if (fault === logged) return
          logged = fault
          log.error(`PROMETHEUS_RULES_FILE: ${fault}; the rules that it had before stay in force`)
        }
      }),
    )
  }
  return { index, [Symbol.asyncDispose]: () => polling.disposeAsync() }
}
