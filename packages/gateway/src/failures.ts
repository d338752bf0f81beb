import { createFailureLog } from '@tidemark/shared/runtime/logger'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { Logger } from 'pino'
import type { GatewayMetrics } from './metrics.ts'

export type Failures = ReturnType<typeof createFailures>

/**
 * Returns a function that logs and counts a failure, and says whose it is: the store's, which
 * passes or an operator fixes, or a bug of the gateway. Retries only help against the former.
 */
export function createFailures(log: Logger, metrics: Pick<GatewayMetrics, 'storeFailed' | 'bugFound'>) {
  const logOutage = createFailureLog(log)
  const logBug = createFailureLog(log, undefined, 'error')
  return (error: unknown, what: string, fields?: Readonly<Record<string, unknown>>): 'store' | 'bug' => {
    if (error instanceof StoreError) {
      metrics.storeFailed(error.kind)
      logOutage(error, what, { kind: error.kind, ...fields })
      return 'store'
    }
    metrics.bugFound()
    logBug(error, what, fields)
    return 'bug'
  }
}
