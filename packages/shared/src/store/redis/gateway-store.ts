import type { EntryId } from '../../sample/receipt.ts'
import type { Keys } from '../keys.ts'
import type { DeadLetter } from '../ports/commit.ts'
import type { ClaimOutcome, GatewayStore, NoMemory, Progress } from '../ports/gateway.ts'
import { inOneWrite } from './connection.ts'
import { toEntry } from './entry-reply.ts'
import { isOutOfMemory, mapErrors } from './errors.ts'
import type { RedisStoreOptions } from './options.ts'
import { toFields, toPairs } from './replies.ts'
import { readRuleCounts } from './rule-counts.ts'
import type { ScriptClient } from './scripts.ts'
import { toVerdicts } from './verdict-reply.ts'

/** Keys that one step of a scan reads. */
const SCAN_COUNT = 100

export interface GatewayStoreOptions {
  readonly client: ScriptClient
  readonly keys: Keys
  readonly append: GatewayStore['append']
  readonly options: Pick<RedisStoreOptions, 'requestsMax'>
}

/**
 * Claims and appended batches are remembered in one hash: this prefix and BATCH of append.ts
 * distinguish them.
 */
const CLAIM = 'name:'

export function createGatewayStore({ client, keys, append, options }: GatewayStoreOptions): GatewayStore {
  return {
    append,
    claimRequest: ({ partition, name, content, ttlMs }) =>
      mapErrors(() => {
        const { requests, requestTimes } = keys.partition(partition)
        const args = [CLAIM + name, content, ttlMs, options.requestsMax]
        return client.claimRequest(requests, requestTimes, ...args).then(toClaimOutcome, toClaimFailure)
      }),
    ...entryReads(client, keys),
    ...keyReads(client, keys),
    ...deadLetters(client, keys),
    ruleCounts: partition => readRuleCounts(client, keys, partition),
    ping: () =>
      mapErrors(async () => {
        const begin = performance.now()
        await client.ping()
        return performance.now() - begin
      }),
  }
}

function entryReads(client: ScriptClient, keys: Keys): Pick<GatewayStore, 'progress' | 'verdicts'> {
  return {
    progress: partitions =>
      mapErrors(() => {
        const readOne = async (partition: number) => {
          const at = keys.partition(partition)
          // The checkpoint first: in the other order, work done in between would be a negative
          // backlog.
          const checkpoint = client.hmget(at.checkpoint, 'id', 'offset', 'analysed', 'dead')
          const accepted = client.get(at.accepted)
          return toProgress(...(await Promise.all([checkpoint, accepted])))
        }
        return inOneWrite(client, () => Promise.all(partitions.map(readOne)))
      }),
    verdicts: (partition, id) =>
      mapErrors(async () => {
        const at = keys.partition(partition)
        const [[verdicts], [entry]] = await inOneWrite(client, () =>
          Promise.all([client.xrangeBuffer(at.verdicts, id, id), client.xrange(at.samples, id, id)]),
        )
        if (verdicts === undefined || entry === undefined) return null
        return toVerdicts(id, verdicts[1], toEntry(entry).samples ?? '')
      }),
  }
}

function keyReads(
  client: ScriptClient,
  keys: Keys,
): Pick<GatewayStore, 'lastAnalyses' | 'scanAnalyses' | 'window' | 'shadowed'> {
  return {
    lastAnalyses: wanted =>
      mapErrors(() =>
        inOneWrite(client, () =>
          Promise.all(wanted.map(({ partition, key }) => client.hget(keys.partition(partition).lastAnalysis, key))),
        ),
      ),
    scanAnalyses: (partition, cursor) =>
      mapErrors(async () => {
        const [next, flat] = await client.hscan(keys.partition(partition).lastAnalysis, cursor, 'COUNT', SCAN_COUNT)
        return { analyses: toPairs(flat).map(([key, analysis]) => ({ key, analysis })), next }
      }),
    window: ({ partition, key }) =>
      mapErrors(async () => {
        const { windows, windowTails } = keys.partition(partition)
        // The tail first: in the other order, a row written in between would be newer than the row
        // that was read, and its tail would follow nothing.
        const [tail, row] = await inOneWrite(client, () =>
          Promise.all([client.hgetBuffer(windowTails, key), client.hgetBuffer(windows, key)]),
        )
        return row === null ? null : { row, tail }
      }),
    shadowed: (partition, rule, count) =>
      mapErrors(async () => {
        const entries = await client.xrevrange(keys.partition(partition).shadowed, '+', '-')
        const ofRule = entries.map(([, flat]) => flat).filter(([, of]) => of === rule)
        return ofRule.slice(0, count).map(([, , , analysis]) => analysis ?? '')
      }),
  }
}

function deadLetters(client: ScriptClient, keys: Keys): Pick<GatewayStore, 'deadLetters' | 'discardDeadLetter'> {
  return {
    deadLetters: (partition, { upTo = '+', count }) =>
      mapErrors(async () => {
        const entries = await client.xrevrange(keys.partition(partition).deadLetters, upTo, '-', 'COUNT', count)
        return entries.map(toDeadLetter)
      }),
    discardDeadLetter: (partition, id) =>
      mapErrors(async () => (await client.xdel(keys.partition(partition).deadLetters, id)) === 1),
  }
}

function toDeadLetter([id, flat]: readonly [EntryId, readonly string[]]): DeadLetter {
  const fields = toFields(flat)
  return { id, reason: fields.get('reason') ?? '', samples: fields.get('s') ?? '' }
}

function toClaimOutcome(reply: unknown): ClaimOutcome {
  const [kind, detail] = reply as ['new' | 'repeat' | 'conflict' | 'limit-reached', number | undefined]
  return kind === 'limit-reached' ? { kind, roomInMs: Math.max(0, Number(detail)) } : { kind }
}

function toClaimFailure(error: unknown): NoMemory {
  if (isOutOfMemory(error)) return { kind: 'no-memory' }
  throw error
}

function toProgress(
  [id, offset, analysed, dead]: readonly (string | null | undefined)[],
  accepted: string | null,
): Progress {
  const applied = Number(offset ?? 0)
  return {
    checkpoint: id ?? '0-0',
    accepted: Number(accepted ?? 0),
    analysed: Number(analysed ?? 0),
    dead: Number(dead ?? 0),
    lost: applied - Number(analysed ?? 0) - Number(dead ?? 0),
    backlog: Number(accepted ?? 0) - applied,
  }
}
