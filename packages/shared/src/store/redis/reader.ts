import type { Cluster, Redis } from 'ioredis'
import { pause } from '../../runtime/lifecycle.ts'
import type { EntryId } from '../../sample/receipt.ts'
import { CONSUMER, GROUP, type Keys } from '../keys.ts'
import type { PartitionEntries } from '../ports/analyzer.ts'
import { type Client, type ConnectionOptions, connectBlocking, inOneWrite } from './connection.ts'
import { toEntry } from './entry-reply.ts'
import { toStoreError } from './errors.ts'

export interface ReadOptions {
  readonly count: number
  readonly blockMs: number
}

export interface Reader extends AsyncDisposable {
  read(partitions: readonly number[], options: ReadOptions): Promise<PartitionEntries[]>
  interrupt(): void
}

type StreamsReply = readonly [string, readonly [EntryId, string[] | null][]][] | null

/** How often an interruption is repeated: the one before may have overtaken the read on its way to Redis. */
const INTERRUPT_EVERY_MS = 5

/** The longest wait of a read: the connection's time-out must know it beforehand. */
export const BLOCK_MAX_MS = 1000

/**
 * Reads all partitions with one XREADGROUP that waits in Redis. A waiting command blocks its connection, so the reader has
 * one of its own, made at the first read and anew after a failure: a connection that failed inside a blocking command may
 * never answer again.
 */
export function createBlockingReader(commands: Client, keys: Keys, options: ConnectionOptions): Reader {
  let connection: { client: Redis; id: number } | undefined
  /** Of the read that goes on; aborted by an interruption. */
  let reading: AbortController | undefined

  async function connected(): Promise<Redis> {
    if (connection?.client.status !== 'ready') {
      connection?.client.disconnect()
      connection = undefined
      const client = await connectBlocking(options, BLOCK_MAX_MS)
      connection = { client, id: Number(await client.client('ID')) }
    }
    return connection.client
  }

  async function unblock(interrupted: AbortController): Promise<void> {
    while (reading === interrupted) {
      // A failure here means that the read fails too, or ends by its own time.
      if (connection !== undefined) await commands.call('CLIENT', 'UNBLOCK', connection.id).catch(() => undefined)
      await pause(INTERRUPT_EVERY_MS)
    }
  }

  async function ask(partitions: readonly number[], { count, blockMs }: ReadOptions, signal: AbortSignal) {
    const client = await connected()
    const streams = partitions.map(partition => keys.partition(partition).samples)
    const wanted = [...streams, ...streams.map(() => '>')]
    // To Redis BLOCK 0 means for ever.
    const block = signal.aborted ? 0 : Math.min(blockMs, BLOCK_MAX_MS)
    try {
      const reply =
        block > 0
          ? await client.xreadgroup('GROUP', GROUP, CONSUMER, 'COUNT', count, 'BLOCK', block, 'STREAMS', ...wanted)
          : await client.xreadgroup('GROUP', GROUP, CONSUMER, 'COUNT', count, 'STREAMS', ...wanted)
      return toPartitionEntries(reply as StreamsReply, partitions, streams)
    } catch (error) {
      client.disconnect()
      // It says that it is ready until its socket is closed, which takes a moment.
      connection = undefined
      throw error
    }
  }

  return {
    async read(partitions, options) {
      const current = new AbortController()
      reading = current
      try {
        if (partitions.length > 0) return await ask(partitions, options, current.signal)
        // Who owns nothing has nothing to ask, and must not ask again and again.
        await pause(Math.min(options.blockMs, BLOCK_MAX_MS), current.signal)
        return []
      } finally {
        reading = undefined
      }
    },
    interrupt() {
      if (reading === undefined || reading.signal.aborted) return
      reading.abort()
      void unblock(reading)
    },
    async [Symbol.asyncDispose]() {
      reading?.abort()
      connection?.client.disconnect()
    },
  }
}

/** Waits between two rounds of reads that found nothing: short at first, so that a busy key sees no delay. */
const POLL_MIN_MS = 1
const POLL_MAX_MS = 10

/**
 * Reads each partition by itself without waiting in Redis, again and again. In a cluster partitions live in different
 * slots, which one XREADGROUP must not mix, and a slot may move to another node while a command waits there for it.
 */
export function createPollingReader(client: Cluster, keys: Keys): Reader {
  let interruption = new AbortController()

  async function round(partitions: readonly number[], count: number): Promise<PartitionEntries[]> {
    const readOne = async (partition: number): Promise<PartitionEntries[]> => {
      const { samples } = keys.partition(partition)
      try {
        const reply = await client.xreadgroup('GROUP', GROUP, CONSUMER, 'COUNT', count, 'STREAMS', samples, '>')
        return toPartitionEntries(reply as StreamsReply, [partition], [samples])
      } catch (error) {
        // One node that is away must not keep the partitions of the others waiting.
        return [{ partition, entries: [], error: toStoreError(error) }]
      }
    }
    return (await inOneWrite(client, () => Promise.all(partitions.map(readOne)))).flat()
  }

  return {
    async read(partitions, { count, blockMs }) {
      interruption = new AbortController()
      const deadline = performance.now() + blockMs
      for (let wait = POLL_MIN_MS; ; wait = Math.min(2 * wait, POLL_MAX_MS)) {
        const found = await round(partitions, count)
        if (found.length > 0 || interruption.signal.aborted || performance.now() >= deadline) return found
        await pause(wait, interruption.signal)
      }
    },
    interrupt: () => interruption.abort(),
    async [Symbol.asyncDispose]() {
      interruption.abort()
    },
  }
}

function toPartitionEntries(
  reply: StreamsReply,
  partitions: readonly number[],
  streams: readonly string[],
): PartitionEntries[] {
  return (reply ?? []).flatMap(([stream, rows]) => {
    const partition = partitions[streams.indexOf(stream)]
    return partition === undefined || rows.length === 0 ? [] : [{ partition, entries: rows.map(toEntry) }]
  })
}
