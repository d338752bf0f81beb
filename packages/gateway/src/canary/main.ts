import { ConfigError, readConfig } from '@tidemark/shared/runtime/config'
import { aborted, run } from '@tidemark/shared/runtime/lifecycle'
import { createLogger } from '@tidemark/shared/runtime/logger'
import { secretsIn } from '@tidemark/shared/runtime/secrets'
import { startCanary } from './canary.ts'
import { canarySettings } from './config.ts'

try {
  const config = readConfig(canarySettings, process.env)
  const log = createLogger('canary', config.LOG_LEVEL, { secrets: secretsIn(process.env) })
  await run(async (stop, resources) => {
    const canary = resources.use(await startCanary(config, log))
    log.info({ metricsPort: canary.port, url: config.CANARY_URL }, 'listening')
    await aborted(stop)
  }, log)
} catch (error) {
  if (!(error instanceof ConfigError)) throw error
  process.stderr.write(`tidemark canary: ${error.message}\n`)
  process.exitCode = 1
}
