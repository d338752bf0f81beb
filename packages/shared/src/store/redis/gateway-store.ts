import type { EntryId } from '../../sample/receipt.ts'
import { type EntryJudgements, VERDICT_FIELDS } from '../../verdict/kept-verdicts.ts'
import type { Keys } from '../keys.ts'
import type { DeadLetter } from '../ports/commit.ts'
import type { ClaimOutcome, GatewayStore, NoMemory, Progress } from '../ports/gateway.ts'
import { type Client, inOneWrite, type ScriptRunner } from './connection.ts'
import { toEntry } from './entry-reply.ts'
import { asked, isOutOfMemory } from './errors.ts'
import { readRuleCounts } from './rule-counts.ts'
import type { RedisStoreOptions } from './store.ts'

/** Keys that one step of a scan looks at. */
const SCAN_COUNT = 100

export interface GatewayStoreOptions {
  readonly client: Client & ScriptRunner
  readonly keys: Keys
  readonly append: GatewayStore['append']
  readonly options: Pick<RedisStoreOptions, 'requestsMax'>
}

/** Claims and appended batches are remembered in one hash: this and BATCH of append.ts tell them apart. */
const CLAIM = 'name:'

export function createGatewayStore({ client, keys, append, options }: GatewayStoreOptions): GatewayStore {
  const { requestsMax } = options

  return {
    append,

    claimRequest: ({ partition, name, content, ttlMs }) =>
      asked(async () => {
        const at = keys.partition(partition)
        const record = [CLAIM + name, content, ttlMs, requestsMax]
        const reply = client.claimRequest(at.requests, at.requestTimes, ...record)
        return reply.then(toClaimOutcome, (error: unknown): NoMemory => {
          if (isOutOfMemory(error)) return NO_MEMORY
          throw error
        })
      }),

    progress: partitions =>
      asked(() =>
        inOneWrite(client, () =>
          Promise.all(
            partitions.map(async partition => {
              const at = keys.partition(partition)
              // The checkpoint first: the other way round, work done in between would be a negative backlog.
              const checkpoint = client.hmget(at.checkpoint, 'id', 'offset', 'analysed', 'dead')
              const accepted = client.get(at.accepted)
              return toProgress(...(await Promise.all([checkpoint, accepted])))
            }),
          ),
        ),
      ),

    lastAnalyses: wanted =>
      asked(() =>
        inOneWrite(client, () =>
          Promise.all(wanted.map(({ partition, key }) => client.hget(keys.partition(partition).lastAnalysis, key))),
        ),
      ),

    scanAnalyses: (partition, cursor) =>
      asked(async () => {
        const [next, flat] = await client.hscan(keys.partition(partition).lastAnalysis, cursor, 'COUNT', SCAN_COUNT)
        const analyses: { key: string; analysis: string }[] = []
        for (let i = 0; i + 1 < flat.length; i += 2) analyses.push({ key: flat[i] ?? '', analysis: flat[i + 1] ?? '' })
        return { analyses, next }
      }),

    window: ({ partition, key }) =>
      asked(async () => {
        const { windows, windowTails } = keys.partition(partition)
        // The tail first: the other way round, a row written in between would be newer than the one that was read, and its
        // tail would follow nothing.
        const [tail, row] = await inOneWrite(client, () =>
          Promise.all([client.hgetBuffer(windowTails, key), client.hgetBuffer(windows, key)]),
        )
        return row === null ? null : { row, tail }
      }),

    verdicts: (partition, id) =>
      asked(async () => {
        const at = keys.partition(partition)
        const [[verdicts], [entry]] = await inOneWrite(client, () =>
          Promise.all([client.xrangeBuffer(at.verdicts, id, id), client.xrange(at.samples, id, id)]),
        )
        if (verdicts === undefined || entry === undefined) return null
        const [, flat] = verdicts
        const fields = new Map<string, Buffer>()
        for (let i = 0; i + 1 < flat.length; i += 2) fields.set(String(flat[i]), flat[i + 1] as Buffer)
        const number = (name: string): number => Number(String(fields.get(name)))
        return {
          id,
          samples: toEntry(entry).samples ?? '',
          findings: fields.get(VERDICT_FIELDS.findings) ?? new Uint8Array(),
          threshold: number(VERDICT_FIELDS.threshold),
          windowMin: number(VERDICT_FIELDS.windowMin),
          analyzedAt: number(VERDICT_FIELDS.analyzedAt),
          rulesVersion: number(VERDICT_FIELDS.rulesVersion),
          judged: toJudged(fields.get(VERDICT_FIELDS.judgements), fields.get(VERDICT_FIELDS.policies)),
        }
      }),

    deadLetters: (partition, { upTo = '+', count }) =>
      asked(async () => {
        const entries = await client.xrevrange(keys.partition(partition).dead, upTo, '-', 'COUNT', count)
        return entries.map(toDeadEntry)
      }),

    discardDeadLetter: (partition, id) =>
      asked(async () => (await client.xdel(keys.partition(partition).dead, id)) === 1),

    shadowed: (partition, rule, count) =>
      asked(async () => {
        const entries = await client.xrevrange(keys.partition(partition).shadowed, '+', '-')
        const ofRule = entries.map(([, flat]) => flat).filter(([, of]) => of === rule)
        return ofRule.slice(0, count).map(([, , , analysis]) => analysis ?? '')
      }),

    ruleCounts: partition => readRuleCounts(client, keys, partition),

    ping: () =>
      asked(async () => {
        const begin = performance.now()
        await client.ping()
        return performance.now() - begin
      }),
  }
}

function toJudged(judgements: Buffer | undefined, policies: Buffer | undefined): EntryJudgements | null {
  return judgements === undefined || policies === undefined ? null : { judgements, policies: String(policies) }
}

function toDeadEntry([id, flat]: readonly [EntryId, readonly string[]]): DeadLetter {
  const fields = new Map<string, string>()
  for (let i = 0; i + 1 < flat.length; i += 2) fields.set(flat[i] ?? '', flat[i + 1] ?? '')
  return { id, reason: fields.get('reason') ?? '', samples: fields.get('s') ?? '' }
}

function toClaimOutcome(reply: unknown): ClaimOutcome {
  const [kind, detail] = reply as ['new' | 'repeat' | 'conflict' | 'limit-reached', number | undefined]
  return kind === 'limit-reached' ? { kind, roomInMs: Math.max(0, Number(detail)) } : { kind }
}

const NO_MEMORY: NoMemory = { kind: 'no-memory' }

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
