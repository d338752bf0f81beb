import assert from 'node:assert/strict'
import { digestOf, EMPTY_DOCUMENT, formatRuleDocument } from '../../detection/rules/document.ts'
import { PARTITIONS_DEFAULT } from '../../sample/partition.ts'
import type { ProcessStore } from '../ports/processes.ts'
import { RULE_CHANGES_KEPT, type RuleStore } from '../ports/rules.ts'
import { ENDED_SESSIONS_MAX, type SessionStore } from '../ports/sessions.ts'
import { STORE_LIMITS, type Store, type StoreLimits } from '../ports/store.ts'
import { alertsOn } from './alerts.ts'
import { analyzerOn } from './analyzer.ts'
import { apiKeysOn } from './api-keys.ts'
import { auditOn } from './audit.ts'
import { ApiKeys, type Data, Partition, Rules } from './data.ts'
import { feedOn } from './feed.ts'
import { gatewayOn } from './gateway.ts'
import { inspectionOf } from './inspection.ts'
import { keysOn } from './keys.ts'
import { limitsOn } from './limits.ts'
import { keepNewest, Log } from './log.ts'
import { pointsOn } from './points.ts'
import { totalsOn } from './totals.ts'

export interface MemoryStoreOptions extends Partial<StoreLimits> {
  readonly partitions?: number
  /** Unix milliseconds. Ids, leases and members follow it; the timeout of a read does not. */
  readonly now?: () => number
}

/**
 * The double of the Redis store in unit tests, and the fallback of `npm start` without Redis. It
 * behaves as Redis does, with stream ids and a consumer group. Its data ends with the process.
 */
export interface MemoryStore extends Store {
  /** Returns another connection to the data: two analyzers need two blocking reads. */
  connect(): Store
  readonly inspect: ReturnType<typeof inspectionOf>
}

export function createMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  const { partitions = PARTITIONS_DEFAULT, now = Date.now, ...limits } = options
  const data: Data = {
    ...STORE_LIMITS,
    ...limits,
    partitions: Array.from({ length: partitions }, () => new Partition()),
    rules: new Rules(),
    apiKeys: new ApiKeys(),
    members: new Map(),
    processes: new Map(),
    buckets: new Map(),
    totals: new Map(),
    audit: new Log(),
    sessions: { secret: undefined, ended: new Map() },
    readers: new Set(),
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
    processes: processesOn(data),
    alerts: alertsOn(data),
    apiKeys: apiKeysOn(data),
    feed: feedOn(data),
    limits: limitsOn(data),
    audit: auditOn(data),
    keys: keysOn(data),
    sessions: sessionsOn(data),
    points: pointsOn(data),
    totals: totalsOn(data),
    async [Symbol.asyncDispose]() {
      analyzer.interruptRead()
    },
  }
}

function processesOn({ processes, now }: Data): ProcessStore {
  return {
    async report(own, ttlMs) {
      for (const { name, expiresAt } of processes.values()) if (expiresAt <= now()) processes.delete(name)
      if ((processes.get(own.name)?.instance ?? own.instance) !== own.instance) return undefined
      processes.set(own.name, { ...own, expiresAt: now() + ttlMs })
      const reports = [...processes.values()].map(({ expiresAt, ...report }) => report)
      return reports.toSorted((a, b) => (a.name < b.name ? -1 : 1))
    },
    async withdraw(name) {
      processes.delete(name)
    },
  }
}

function sessionsOn({ sessions }: Data): SessionStore {
  return {
    async load(secret) {
      sessions.secret ??= secret
      return { secret: sessions.secret, ended: [...sessions.ended.keys()] }
    },
    async end(id, expiresAt) {
      sessions.ended.set(id, expiresAt)
      const byExpiry = [...sessions.ended].toSorted(([, a], [, b]) => a - b)
      for (const [ended] of byExpiry.slice(0, -ENDED_SESSIONS_MAX)) sessions.ended.delete(ended)
    },
  }
}

function digestIn({ document }: Rules): string {
  return document === EMPTY_DOCUMENT ? '' : digestOf(formatRuleDocument(document))
}

function rulesOn({ rules }: Data): RuleStore {
  return {
    digest: async () => digestIn(rules),
    async load() {
      const { version } = rules.document
      const newestVersion = Math.max(version, rules.changes.at(-1)?.version ?? 0)
      return { document: structuredClone(rules.document), digest: digestIn(rules), newestVersion }
    },
    async replace(document, change, before) {
      assert.equal(change.version, document.version, 'the change has the version of the document')
      if (digestIn(rules) !== before) return false
      rules.document = structuredClone(document)
      rules.changes.push(structuredClone(change))
      keepNewest(rules.changes, RULE_CHANGES_KEPT)
      return true
    },
    async changes({ upTo = Number.POSITIVE_INFINITY, count }) {
      const found = rules.changes.filter(({ version }) => version <= upTo)
      return structuredClone(found.reverse().slice(0, count))
    },
  }
}
