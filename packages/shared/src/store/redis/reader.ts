import type { Cluster, Redis } from 'ioredis'
import { pause } from '../../runtime/lifecycle.ts'
import type { EntryId } from '../../sample/receipt.ts'
import { CONSUMER, GROUP, type Keys } from '../keys.ts'
import type { AnalyzerStore, PartitionEntries } from '../ports/analyzer.ts'
import { toEntry } from '../stream-entry.ts'
import { type Client, type ConnectionOptions, connectBlocking, eachInOneWrite } from './connection.ts'
import { toStoreError } from './errors.ts'

type ReadOptions = Parameters<AnalyzerStore['read']>[1]
type Reader = Pick<AnalyzerStore, 'read' | 'interruptRead'> & AsyncDisposable

/** An entry without fields is pending and was deleted. */
export type StreamsReply =
  | readonly (readonly [string, readonly (readonly [EntryId, readonly string[] | null])[]])[]
  | null

/** Interruptions repeat at this pace: one may overtake the read on its way to Redis. */
const INTERRUPT_EVERY_MS = 5

/** The longest that a read blocks: the connection's timeout depends on it. */
const BLOCK_MAX_MS = 1000

/**
 * Creates a reader that reads all partitions with one blocking XREADGROUP. That blocks its
 * connection, so the reader has its own, and a new one after a failure: a connection that failed
 * inside a blocking command may never respond again.
 */
export function createBlockingReader(commands: Client, keys: Keys, options: ConnectionOptions): Reader {
  let connection: { client: Redis; id: number } | undefined
  /** Of the current read; aborted by an interruption. */
  let reading: AbortController | undefined

  async function connect() {
    const client = await connectBlocking(options, BLOCK_MAX_MS)
    try {
      return { client, id: Number(await client.client('ID')) }
    } catch (error) {
      // It would reconnect for ever, and keep the process alive.
      client.disconnect()
      throw error
    }
  }

  async function connected(): Promise<Redis> {
    if (connection?.client.status !== 'ready') {
      connection?.client.disconnect()
      connection = undefined
      connection = await connect()
    }
    return connection.client
  }

  async function unblock(interrupted: AbortController): Promise<void> {
    while (reading === interrupted) {
      // If this fails, the read fails too or ends by its timeout.
      if (connection !== undefined) await commands.call('CLIENT', 'UNBLOCK', connection.id).catch(() => undefined)
      await pause(INTERRUPT_EVERY_MS)
    }
  }

  async function request(partitions: readonly number[], { count, blockMs }: ReadOptions, signal: AbortSignal) {
    const client = await connected()
    const streams = partitions.map(partition => keys.partition(partition).samples)
    const wanted = [...streams, ...streams.map(() => '>')]
    // BLOCK 0 would block for ever.
    const block = signal.aborted ? 0 : Math.min(blockMs, BLOCK_MAX_MS)
    try {
      const reply =
        block > 0
          ? await client.xreadgroup('GROUP', GROUP, CONSUMER, 'COUNT', count, 'BLOCK', block, 'STREAMS', ...wanted)
          : await client.xreadgroup('GROUP', GROUP, CONSUMER, 'COUNT', count, 'STREAMS', ...wanted)
      return toPartitionEntries(reply as StreamsReply, partitions, streams)
    } catch (error) {
      client.disconnect()
      // Its status stays `ready` until its socket is closed, which takes a moment.
      connection = undefined
      throw error
    }
  }

  return {
    async read(partitions, options) {
      const current = new AbortController()
      reading = current
      try {
        if (partitions.length > 0) return await request(partitions, options, current.signal)
        // An analyzer that owns no partition must not spin.
        await pause(Math.min(options.blockMs, BLOCK_MAX_MS), current.signal)
        return []
      } finally {
        reading = undefined
      }
    },
    interruptRead() {
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

/** Pause after a round that found nothing: short at first, to add no latency under load. */
const POLL_MIN_MS = 1
const POLL_MAX_MS = 10

/**
 * Creates a reader that polls each partition without blocking. In a cluster one XREADGROUP must not
 * mix slots, and a slot may move to another node while a command blocks there.
 */
export function createPollingReader(client: Cluster, keys: Keys): Reader {
  let interruption = new AbortController()

  async function readOne(partition: number, count: number): Promise<PartitionEntries[]> {
    const { samples } = keys.partition(partition)
    try {
      const reply = await client.xreadgroup('GROUP', GROUP, CONSUMER, 'COUNT', count, 'STREAMS', samples, '>')
      return toPartitionEntries(reply as StreamsReply, [partition], [samples])
    } catch (error) {
      // An unavailable node must not delay the partitions of the other nodes.
      return [{ partition, entries: [], error: toStoreError(error) }]
    }
  }

  return {
    async read(partitions, { count, blockMs }) {
      interruption = new AbortController()
      const deadline = performance.now() + blockMs
      for (let wait = POLL_MIN_MS; ; wait = Math.min(2 * wait, POLL_MAX_MS)) {
        const found = (await eachInOneWrite(client, partitions, partition => readOne(partition, count))).flat()
        if (found.length > 0 || interruption.signal.aborted || performance.now() >= deadline) return found
        await pause(wait, interruption.signal)
      }
    },
    interruptRead: () => interruption.abort(),
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
    return partition === undefined || rows.length === 0
      ? []
      : [{ partition, entries: rows.map(([id, flat]) => toEntry(id, flat)) }]
  })
}
