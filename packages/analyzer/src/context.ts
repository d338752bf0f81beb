import type { Clock } from '@tidemark/shared/runtime/clock'
import type { FailureLog } from '@tidemark/shared/runtime/logger'
import type { Logger } from 'pino'
import type { AnalyzerMetrics } from './metrics.ts'

/** What all parts of an analyzer need. */
export interface Context {
  readonly metrics: AnalyzerMetrics
  readonly log: Logger
  readonly logFailure: FailureLog
  readonly clock: Clock
}
