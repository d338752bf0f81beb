import { COUNT, createRow, PUSHED, pushSample, rowShape } from '@tidemark/shared/detection/key-row'
import { encodeRow, storedLengthMax } from '@tidemark/shared/detection/window-row'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { packSubBatches } from '@tidemark/shared/sample/entry'
import { SamplePacker } from '@tidemark/shared/sample/packer'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { type Keys, keysUnder } from '@tidemark/shared/store/keys'
import { openStore } from '@tidemark/shared/store/open'
import type { Store } from '@tidemark/shared/store/ports/store'
import { Random } from '@tidemark/testkit/random'
import { startRedisCluster } from '@tidemark/testkit/redis-fixture'
import { startRedisProcess } from '@tidemark/testkit/redis-process'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { type Service, startAnalyzer, startGateway } from '../stack/service-process.ts'
import { keyNumber, reading } from './signal.ts'

export const PARTITIONS = 16

const ALL = Array.from({ length: PARTITIONS }, (_, partition) => partition)

const WINDOW = 50

/** The timestamp of the values before the measured ones. */
const HISTORY_FROM = 1_700_000_000_000

const WINDOWS_AT_ONCE = 1024

/** A temporary Redis with production's durability (AOF, fsync every second). */
export interface BenchRedis extends AsyncDisposable {
  readonly url: string
  /** One, or one per master. */
  readonly pids: readonly number[]
  readonly clients: readonly Redis[]
  readonly keys: Keys
  readonly store: Store
  /** The settings of every service. */
  readonly env: Readonly<Record<string, string>>
  /** Returns the bytes allocated by all masters. */
  usedMemory(): Promise<number>
  /** Deletes everything. */
  flush(): Promise<void>
}

const DURABLE = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec', '--maxmemory-policy', 'noeviction']

/** Starts a Redis, or a cluster of several masters. */
export async function startBenchRedis(masters = 1): Promise<BenchRedis> {
  await using starting = new AsyncDisposableStack()
  const cluster = masters > 1
  const { url } = starting.use(
    cluster
      ? await startRedisCluster({ masters, argsOf: () => DURABLE })
      : await startRedisProcess('redis-server', DURABLE),
  )
  const store = await openStore({
    redis: { url, cluster, partitions: PARTITIONS, backlogMax: 1e9, commandTimeoutMs: 30_000 },
    log: pino({ level: 'silent' }),
    signal: AbortSignal.timeout(10_000),
  })
  if (store === undefined) throw new Error('the Redis of the bench does not respond')
  starting.use(store)
  const clients = url.split(',').map(one => new Redis(one))
  starting.defer(() => {
    for (const client of clients) client.disconnect()
  })
  const infoOf = async (section: string, field: RegExp): Promise<number[]> =>
    (await Promise.all(clients.map(client => client.info(section)))).map(text => Number(field.exec(text)?.[1]))
  const pids = await infoOf('server', /process_id:(\d+)/)
  const resources = starting.move()
  return {
    url,
    pids,
    clients,
    keys: keysUnder('tm'),
    store,
    env: {
      REDIS_URL: url,
      REDIS_CLUSTER: String(cluster),
      PARTITIONS: String(PARTITIONS),
      LOG_LEVEL: 'info',
    },
    usedMemory: async () => (await infoOf('memory', /used_memory:(\d+)/)).reduce((sum, bytes) => sum + bytes, 0),
    async flush() {
      for (const client of clients) await client.flushall()
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** Settings that measure speed only: a stopped process keeps its leases, and no limit applies. */
const ANALYZER_ENV = { LEASE_TTL_MS: '300000', WINDOWS_MAX: '2000000', STORE_TIMEOUT_MS: '30000' }

/** If BENCH_PROFILES names a folder, each service writes a CPU profile there when it ends. */
function profiling(): Readonly<Record<string, string>> {
  const folder = process.env.BENCH_PROFILES
  return folder === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${folder}` }
}

/** Starts an analyzer to be measured. */
export function startMeasuredAnalyzer(redis: BenchRedis, env: Readonly<Record<string, string>> = {}): Promise<Service> {
  return startAnalyzer({ ...redis.env, ...ANALYZER_ENV, ...profiling(), ...env })
}

/** Starts a gateway to be measured, without limits on samples and requests. */
export function startMeasuredGateway(redis: BenchRedis, env: Readonly<Record<string, string>> = {}): Promise<Service> {
  const limits = { BACKLOG_SAMPLES_MAX: '1000000000', QUEUE_SAMPLES_MAX: '1000000' }
  // autocannon keeps sending on a connection that the gateway has closed.
  const connections = { REQUESTS_PER_CONNECTION_MAX: '1000000' }
  return startGateway({ ...redis.env, ...limits, ...connections, ...profiling(), ...env })
}

/** Writes full windows into Redis: analysing 50 samples of each key would take far longer. */
export async function fillWindows({ clients, keys: names }: BenchRedis, keys: number): Promise<void> {
  const random = new Random(1)
  const row = createRow(rowShape(WINDOW, 'zscore', false))
  const encoded = new Float64Array(storedLengthMax(row.shape))
  const homes = await Promise.all(ALL.map(partition => homeOf(clients, names.partition(partition).windows)))
  for (let from = 0; from < keys; from += WINDOWS_AT_ONCE) {
    const rows: [string, Buffer][][] = ALL.map(() => [])
    for (let n = from; n < Math.min(keys, from + WINDOWS_AT_ONCE); n++) {
      row.rows[COUNT] = WINDOW
      row.rows[PUSHED] = 0
      for (let i = 0; i < WINDOW; i++) pushSample(row, reading(random), HISTORY_FROM + 1000 * i)
      const key = keyNumber(n)
      const length = encodeRow(row, encoded, 0)
      rows[partitionOf(key, PARTITIONS)]?.push([key, Buffer.from(encoded.slice(0, length).buffer)])
    }
    await Promise.all(
      rows.map(async (pairs, partition) => {
        if (pairs.length > 0) await homes[partition]?.hset(names.partition(partition).windows, ...pairs.flat())
      }),
    )
  }
}

/** Returns the master that has a key. */
async function homeOf(clients: readonly Redis[], key: string): Promise<Redis | undefined> {
  for (const client of clients) {
    const isHere = await client.exists(key).then(
      () => true,
      () => false,
    )
    if (isHere) return client
  }
  return undefined
}

/** Samples per measured request. An entry has a sixteenth of them. */
export const REQUEST_SAMPLES = 1000

/**
 * Appends a backlog as the gateway does: requests of 1,000 samples, divided over the partitions.
 * The samples cycle through the keys: with more keys than samples in a batch, every sample of a
 * batch has another key.
 */
export async function fillBacklog({ store }: BenchRedis, samples: number, keys: number, seed = 1): Promise<void> {
  const random = new Random(seed)
  const packer = new SamplePacker(PARTITIONS)
  // Each cycle through the keys is a second later.
  const begin = HISTORY_FROM + 100_000_000 * seed
  let count = 0
  for (let done = 0; done < samples; ) {
    const requests = Array.from({ length: Math.min(8, Math.ceil((samples - done) / REQUEST_SAMPLES)) }, () => {
      for (let i = 0; i < REQUEST_SAMPLES; i++) {
        const key = keyNumber(count % keys)
        const timestamp = begin + 1000 * Math.trunc(count++ / keys)
        packer.add({ key, value: reading(random), timestamp })
      }
      return packer.take().map(packed => ({ ...packed, samples: packSubBatches([packed.samples]) }))
    })
    const outcomes = (await Promise.all(requests.map(batches => store.gateway.append(batches)))).flat()
    const failed = outcomes.find(({ kind }) => kind !== 'stored')
    if (failed !== undefined) throw new Error(`the backlog could not be appended: ${JSON.stringify(failed)}`)
    done += requests.length * REQUEST_SAMPLES
  }
}

export async function backlogOf({ store }: BenchRedis): Promise<number> {
  return (await store.gateway.progress(ALL)).reduce((sum, { backlog }) => sum + backlog, 0)
}

/** Returns the number of samples analysed so far. */
export async function analysedOf({ store }: BenchRedis): Promise<number> {
  return (await store.gateway.progress(ALL)).reduce((sum, { analysed }) => sum + analysed, 0)
}

/** Waits until the backlog is empty. */
export async function drained(redis: BenchRedis, withinMs = 120_000): Promise<void> {
  const deadline = performance.now() + withinMs
  while ((await backlogOf(redis)) > 0) {
    if (performance.now() > deadline) throw new Error(`the backlog was not drained within ${withinMs / 1000} s`)
    await pause(20)
  }
}
