import { PARTITIONS_DEFAULT } from '../../sample/partition.ts'
import type { Store } from '../ports/store.ts'
import { alertsOn } from './alerts.ts'
import { analyzerOn } from './analyzer.ts'
import { type Data, type MemoryLimits, newPartition } from './data.ts'
import { gatewayOn } from './gateway.ts'
import { inspectionOf, type MemoryInspection } from './inspection.ts'
import { newRules, rulesOn } from './rules.ts'

export interface MemoryStoreOptions extends Partial<MemoryLimits> {
  readonly partitions?: number
  /** Unix milliseconds. Ids, leases and members follow it; the timeout of a read does not. */
  readonly now?: () => number
}

/**
 * The double of the Redis store in unit tests, and the fallback of `npm start` without Redis. It
 * behaves as Redis does, stream ids and consumer group included, and ends with the process.
 */
export interface MemoryStore extends Store {
  /** Returns another connection to the data: two analyzers need two blocking reads. */
  connect(): Store
  readonly inspect: MemoryInspection
}

export function createMemoryStore({
  partitions = PARTITIONS_DEFAULT,
  backlogMax = 1_000_000,
  anomaliesMax = 10_000,
  deadMax = 10_000,
  requestsMax = 20_000,
  alertsMax = 10_000,
  outboxMax = 10_000,
  shadowedMax = 1000,
  now = Date.now,
}: MemoryStoreOptions = {}): MemoryStore {
  const data: Data = {
    partitions: Array.from({ length: partitions }, newPartition),
    rules: newRules(),
    members: new Map(),
    readers: new Set(),
    backlogMax,
    anomaliesMax,
    deadMax,
    requestsMax,
    alertsMax,
    outboxMax,
    shadowedMax,
    now,
  }
  return { ...storeOn(data), connect: () => storeOn(data), inspect: inspectionOf(data) }
}

function storeOn(data: Data): Store {
  const analyzer = analyzerOn(data)
  return {
    partitions: data.partitions.length,
    durability: 'memory',
    gateway: gatewayOn(data),
    analyzer,
    rules: rulesOn(data),
    alerts: alertsOn(data),
    async [Symbol.asyncDispose]() {
      analyzer.interruptRead()
    },
  }
}
