import { describe } from 'vitest'
import { describeAggregates } from './aggregates.ts'
import { describeAlerts } from './alerts.ts'
import { describeAnalyses } from './analyses.ts'
import { describeApiKeys } from './api-keys.ts'
import { describeAppending } from './appending.ts'
import { describeAudit } from './audit.ts'
import { describeCommitting } from './committing.ts'
import { describeFeed } from './feed.ts'
import { describeFeedback } from './feedback.ts'
import type { OpenStore } from './harness.ts'
import { describeKeys } from './keys.ts'
import { describeLimits } from './limits.ts'
import { describeModel } from './model.ts'
import { describeOwnership } from './ownership.ts'
import { describePoints } from './points.ts'
import { describeProcesses } from './processes.ts'
import { describeReading } from './reading.ts'
import { describeRequests } from './requests.ts'
import { describeRules } from './rules.ts'
import { describeSessions } from './sessions.ts'
import { describeTotals } from './totals.ts'

/** Options of every store under the contract: small limits that a test can reach. */
export const CONTRACT_OPTIONS = {
  partitions: 4,
  backlogMax: 30_000,
  anomaliesMax: 50,
  deadMax: 40,
  requestsMax: 30,
  alertsMax: 20,
  outboxMax: 15,
  shadowedMax: 25,
  auditMax: 20,
} as const

/**
 * Describes the contract of the ports: each sentence of store/ports as a test. `open` returns an
 * empty store each time. `modelRuns` is the number of random sequences of calls.
 */
export function describeStoreContract(name: string, open: OpenStore, { modelRuns = 100 } = {}): void {
  describe(`the store contract, ${name}`, () => {
    describeAppending(open)
    describeRequests(open)
    describeOwnership(open)
    describeReading(open)
    describeCommitting(open)
    describeAnalyses(open)
    describeAggregates(open)
    describeRules(open)
    describeProcesses(open)
    describeAlerts(open)
    describeFeedback(open)
    describeApiKeys(open)
    describeLimits(open)
    describeAudit(open)
    describeKeys(open)
    describeFeed(open)
    describeSessions(open)
    describePoints(open)
    describeTotals(open)
    describeModel(open, modelRuns)
  })
}
