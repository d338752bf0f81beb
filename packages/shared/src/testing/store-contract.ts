import { describe } from 'vitest'
import { describeAlerts } from './store-contract/alerts.ts'
import { describeAnalyses } from './store-contract/analyses.ts'
import { describeAppending } from './store-contract/appending.ts'
import { describeCommitting } from './store-contract/committing.ts'
import type { OpenStore } from './store-contract/harness.ts'
import { describeModel } from './store-contract/model.ts'
import { describeOwnership } from './store-contract/ownership.ts'
import { describeReading } from './store-contract/reading.ts'
import { describeRequests } from './store-contract/requests.ts'
import { describeRules } from './store-contract/rules.ts'

/** What every store is opened with for the contract: small limits that a test can reach. */
export const CONTRACT_OPTIONS = {
  partitions: 4,
  backlogMax: 30_000,
  anomaliesMax: 50,
  deadMax: 40,
  requestsMax: 30,
  alertsMax: 20,
  outboxMax: 15,
  shadowedMax: 25,
} as const

/**
 * The contract of the ports: every sentence of store/ports.ts as a test. `open` gives an empty store each time.
 * `modelRuns` is how many random orders of calls are tried.
 */
export function describeStoreContract(name: string, open: OpenStore, { modelRuns = 100 } = {}): void {
  describe(`the store contract, ${name}`, () => {
    describeAppending(open)
    describeRequests(open)
    describeOwnership(open)
    describeReading(open)
    describeCommitting(open)
    describeAnalyses(open)
    describeRules(open)
    describeAlerts(open)
    describeModel(open, modelRuns)
  })
}
