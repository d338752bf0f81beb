import type { EntryId } from '../../sample/receipt.ts'
import type { DeadLetter } from '../ports/commit.ts'
import type { ClaimOutcome, GatewayStore, Progress } from '../ports/gateway.ts'
import { ownerIn } from '../ports/lease.ts'
import { toEntry } from '../stream-entry.ts'
import { eachInOneWrite, inOneWrite } from './connection.ts'
import { isOutOfMemory, withStoreErrors } from './errors.ts'
import { readMemory } from './memory.ts'
import { readNewest } from './newest.ts'
import { toCounts, toFields, toPairs, toVerdicts } from './replies.ts'
import type { StoreContext } from './scripts.ts'

/** Keys that one step of a scan reads. */
const SCAN_COUNT = 100

/** The reply of read-aggregates.lua. */
type AggregatesReply = readonly [
  open: Buffer | null,
  row: Buffer | null,
  tail: Buffer | null,
  hours: Buffer,
  days: Buffer,
]

/** Claims and batches are remembered in one hash: BATCH of append.ts is the other prefix. */
const CLAIM = 'name:'

export function createGatewayStore(context: StoreContext, append: GatewayStore['append']): GatewayStore {
  const { client, keys, options } = context
  return {
    append,
    ...withStoreErrors<Omit<GatewayStore, 'append'>>({
      ...sampleReads(context),
      ...keyReads(context),
      claimRequest({ partition, name, content, ttlMs }) {
        const { requests, requestTimes } = keys.partition(partition)
        const args = [CLAIM + name, content, ttlMs, options.requestsMax]
        return client.claimRequest(requests, requestTimes, ...args).then(toClaimOutcome, toClaimFailure)
      },
      ruleCounts: async partition => toCounts(await client.hgetall(keys.partition(partition).ruleCounts)),
      owners: partitions =>
        eachInOneWrite(client, partitions, async partition => {
          const token = await client.get(keys.partition(partition).lease)
          return token === null ? null : ownerIn(token)
        }),
      async ownerChanges(partition) {
        const changes = await client.xrevrange(keys.partition(partition).ownerChanges, '+', '-')
        return changes.map(([id, flat]) => {
          const fields = toFields(flat)
          return { id, kind: fields.get('e') === 'released' ? 'released' : 'taken', owner: fields.get('o') ?? '' }
        })
      },
      memory: () => readMemory(client),
      async ping() {
        const begin = performance.now()
        await client.ping()
        return performance.now() - begin
      },
    }),
  }
}

function sampleReads({ client, keys }: StoreContext) {
  return {
    progress: partitions =>
      eachInOneWrite(client, partitions, async partition => {
        const at = keys.partition(partition)
        // The checkpoint first: otherwise work done in between would be a negative backlog.
        const checkpoint = client.hmget(at.checkpoint, 'id', 'offset', 'analysed', 'dead')
        const accepted = client.get(at.accepted)
        return toProgress(...(await Promise.all([checkpoint, accepted])))
      }),
    async verdicts(partition, id) {
      const at = keys.partition(partition)
      const [[verdicts], [entry]] = await inOneWrite(client, () =>
        Promise.all([client.xrangeBuffer(at.verdicts, id, id), client.xrange(at.samples, id, id)]),
      )
      if (verdicts === undefined || entry === undefined) return null
      return toVerdicts(id, verdicts[1], toEntry(...entry).samples ?? '')
    },
    async keptVerdicts(partition, { upTo = '+', count }) {
      const at = keys.partition(partition)
      const kept = await client.xrevrangeBuffer(at.verdicts, upTo, '-', 'COUNT', count)
      const ids = kept.map(([id]) => String(id))
      const [newest, oldest] = [ids[0], ids.at(-1)]
      if (newest === undefined || oldest === undefined) return []
      const entries = new Map(await client.xrange(at.samples, oldest, newest))
      return kept.flatMap(([, flat], i) => {
        const id = ids[i] ?? ''
        const fields = entries.get(id)
        return fields === undefined ? [] : (toVerdicts(id, flat, toEntry(id, fields).samples ?? '') ?? [])
      })
    },
    async anomalies(partition, { upTo = '+', count }) {
      const entries = await client.xrevrange(keys.partition(partition).anomalies, upTo, '-', 'COUNT', count)
      return entries.map(([id, flat]) => ({ id, analysis: toFields(flat).get('a') ?? '' }))
    },
    async hasEntryFrom(partition, id) {
      const entries = await client.xrange(keys.partition(partition).samples, id, '+', 'COUNT', 1)
      return entries.length > 0
    },
    async deadLetters(partition, { upTo = '+', count }) {
      const entries = await client.xrevrange(keys.partition(partition).deadLetters, upTo, '-', 'COUNT', count)
      return entries.map(toDeadLetter)
    },
    discardDeadLetter: async (partition, id) => (await client.xdel(keys.partition(partition).deadLetters, id)) === 1,
  } satisfies Partial<GatewayStore>
}

function keyReads({ client, keys }: StoreContext) {
  return {
    lastAnalyses: wanted =>
      eachInOneWrite(client, wanted, ({ partition, key }) => client.hget(keys.partition(partition).lastAnalysis, key)),
    async scanAnalyses(partition, cursor) {
      const [next, flat] = await client.hscan(keys.partition(partition).lastAnalysis, cursor, 'COUNT', SCAN_COUNT)
      return { analyses: toPairs(flat).map(([key, analysis]) => ({ key, analysis })), next }
    },
    async window({ partition, key }) {
      const { windows, windowTails } = keys.partition(partition)
      // The tail first: otherwise a row written in between would be newer than the row that was
      // read, and its tail would follow nothing.
      const [tail, row] = await inOneWrite(client, () =>
        Promise.all([client.hgetBuffer(windowTails, key), client.hgetBuffer(windows, key)]),
      )
      return row && { row, tail }
    },
    async aggregates({ partition, key }) {
      const { aggregates, windows, windowTails, aggregatesHours, aggregatesDays } = keys.partition(partition)
      const args = [aggregates, windows, windowTails, `${aggregatesHours}:${key}`, `${aggregatesDays}:${key}`, key]
      const [open, row, tail, hours, days] = (await client.readAggregatesBuffer(...args)) as AggregatesReply
      return open && { open, window: row && { row, tail }, rings: { hours, days } }
    },
    shadowed: (partition, rule, count) =>
      readNewest(client, keys.partition(partition).shadowed, count, ([, [, of, , analysis = '']]) =>
        of === rule ? analysis : undefined,
      ),
  } satisfies Partial<GatewayStore>
}

function toDeadLetter([id, flat]: readonly [EntryId, readonly string[]]): DeadLetter {
  const fields = toFields(flat)
  return { id, reason: fields.get('reason') ?? '', samples: fields.get('s') ?? '' }
}

function toClaimOutcome(reply: unknown): ClaimOutcome {
  const [kind, detail] = reply as [Exclude<ClaimOutcome['kind'], 'no-memory'>, number | undefined]
  return kind === 'limit-reached' ? { kind, roomInMs: Math.max(0, Number(detail)) } : { kind }
}

function toClaimFailure(error: unknown): ClaimOutcome {
  if (isOutOfMemory(error)) return { kind: 'no-memory' }
  throw error
}

function toProgress([id, ...counts]: readonly (string | null)[], acceptedText: string | null): Progress {
  const [accepted, offset = 0, analysed = 0, dead = 0] = [acceptedText, ...counts].map(Number) as [number, ...number[]]
  return {
    checkpoint: id ?? '0-0',
    accepted,
    analysed,
    dead,
    lost: offset - analysed - dead,
    backlog: accepted - offset,
  }
}
