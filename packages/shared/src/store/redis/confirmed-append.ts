import { Cluster, type Redis } from 'ioredis'
import { StoreError } from '../ports/errors.ts'
import type { AppendBatch, AppendOutcome } from '../ports/gateway.ts'
import { type Client, inOneWrite } from './connection.ts'

export interface ConfirmedAppendOptions {
  /** Nobody else's: WAIT holds up whatever is sent after it. */
  readonly client: Client
  readonly partitions: number
  /** Some key of the partition. */
  readonly keyOf: (partition: number) => string
  /** How long a replica may take to confirm. */
  readonly timeoutMs: number
  readonly appendOne: (node: Client, batch: AppendBatch) => Promise<AppendOutcome>
}

/**
 * Appends, and says `stored` only when a replica has it too: one WAIT for all of a call's batches on a node.
 *
 * WAIT speaks for what was written on its own connection, so appends go to their node's connection directly and never by
 * ioredis' redirections; and it is sent only when they are answered, if that connection is still the same: a script that
 * Redis had forgotten, for one, is sent a second time behind our back.
 */
export async function createConfirmedAppend(
  options: ConfirmedAppendOptions,
): Promise<(batches: readonly AppendBatch[]) => Promise<AppendOutcome[]>> {
  const { client, timeoutMs, appendOne } = options
  const nodeOf = client instanceof Cluster ? await clusterNodes(client, options) : () => client

  async function appendTo(node: Redis, batches: readonly AppendBatch[]): Promise<AppendOutcome[]> {
    if (node.status !== 'ready') return batches.map(() => failed('the node is away', 'refused'))
    const socket = node.stream
    const outcomes = await inOneWrite(node, () => Promise.all(batches.map(batch => appendOne(node, batch))))
    if (!outcomes.some(isStored) || (await isConfirmed(node, socket))) return outcomes
    return outcomes.map(one => (isStored(one) ? failed('no replica has confirmed the samples', 'unknown') : one))
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
        const answers =
          node === undefined ? own.map(() => failed('the node is not known', 'refused')) : await appendTo(node, own)
        indexes.forEach((index, i) => {
          outcomes[index] = answers[i] ?? failed('there was no answer', 'unknown')
        })
      }),
    )
    // A slot may have moved; nothing else would find that out.
    if (client instanceof Cluster && outcomes.some(({ kind }) => kind === 'failed')) client.refreshSlotsCache()
    return outcomes
  }
}

/** Finds the connection to the node that has a partition now. */
async function clusterNodes(
  client: Cluster,
  { partitions, keyOf }: ConfirmedAppendOptions,
): Promise<(partition: number) => Redis | undefined> {
  const slots = await Promise.all(
    Array.from({ length: partitions }, (_, partition) => client.cluster('KEYSLOT', keyOf(partition))),
  )
  return partition => {
    const [name] = client.slots[slots[partition] ?? -1] ?? []
    return client.nodes('master').find(({ options }) => `${options.host}:${options.port}` === name)
  }
}

function isStored({ kind }: AppendOutcome): boolean {
  return kind === 'stored' || kind === 'known'
}

function failed(message: string, kind: 'refused' | 'unknown'): AppendOutcome {
  return { kind: 'failed', error: new StoreError(message, { kind }) }
}
