import { Cluster, type Redis } from 'ioredis'
import { StoreError } from '../ports/errors.ts'
import type { AppendBatch, AppendOutcome, GatewayStore } from '../ports/gateway.ts'
import { type Client, clusterNodes } from './connection.ts'

/** Appends batches in order and returns their outcomes. Rejects only on a bug. */
export type AppendTo = (node: Client, batches: readonly AppendBatch[]) => Promise<AppendOutcome[]>

export interface ConfirmedAppendOptions {
  /** Used for appends only: WAIT blocks every command sent after it. */
  readonly client: Client
  /** Any key of each partition. */
  readonly partitionKeys: readonly string[]
  /** How long a replica may take to confirm. */
  readonly timeoutMs: number
  readonly appendTo: AppendTo
}

/**
 * Creates an `append` that reports `stored` only when a replica has the samples too: one WAIT for
 * all batches of a call on a node. WAIT covers what was written on its own connection, so appends
 * go to their node directly, never through ioredis' redirections. WAIT is sent after their replies
 * and only on the same connection: ioredis may have sent an append again, for example as EVAL.
 */
export async function createConfirmedAppend(options: ConfirmedAppendOptions): Promise<GatewayStore['append']> {
  const { client, partitionKeys, timeoutMs, appendTo } = options
  const nodeOf = client instanceof Cluster ? await clusterNodes(client, partitionKeys) : () => client

  async function appendConfirmed(node: Redis | undefined, batches: readonly AppendBatch[]): Promise<AppendOutcome[]> {
    if (node === undefined) return batches.map(() => failed('no node is known for the partition', 'refused'))
    if (node.status !== 'ready') return batches.map(() => failed('the node is unavailable', 'refused'))
    const socket = node.stream
    const outcomes = await appendTo(node, batches)
    if (!outcomes.some(isStored) || (await isConfirmed(node, socket))) return outcomes
    return outcomes.map(one => (isStored(one) ? failed('no replica confirmed the samples', 'unknown') : one))
  }

  async function isConfirmed(node: Redis, socket: Redis['stream']): Promise<boolean> {
    if (node.stream !== socket) return false
    return node.wait(1, timeoutMs).then(
      replicas => replicas >= 1,
      () => false,
    )
  }

  return async batches => {
    const groups = Map.groupBy(batches.keys(), index => nodeOf(batches[index]?.partition ?? 0))
    const outcomes: AppendOutcome[] = []
    await Promise.all(
      [...groups].map(async ([node, indexes]) => {
        const own = indexes.flatMap(index => batches[index] ?? [])
        const outcomesOfNode = await appendConfirmed(node, own)
        indexes.forEach((index, i) => {
          outcomes[index] = outcomesOfNode[i] ?? failed('the node returned no outcome', 'unknown')
        })
      }),
    )
    // A slot may have moved; nothing else would detect that.
    if (client instanceof Cluster && outcomes.some(({ kind }) => kind === 'failed')) client.refreshSlotsCache()
    return outcomes
  }
}

function isStored({ kind }: AppendOutcome): boolean {
  return kind === 'stored' || kind === 'known'
}

function failed(message: string, kind: 'refused' | 'unknown'): AppendOutcome {
  return { kind: 'failed', error: new StoreError(message, { kind }) }
}
