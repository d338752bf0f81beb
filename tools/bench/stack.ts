import { COUNT, createRow, PUSHED, pushSample, rowShape } from '@tidemark/shared/detection/key-row'
import { encodeRow, storedLengthMax } from '@tidemark/shared/detection/window-row'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { packSubBatches } from '@tidemark/shared/sample/entry'
import { SamplePacker } from '@tidemark/shared/sample/packer'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { keysUnder } from '@tidemark/shared/store/keys'
import { openStore } from '@tidemark/shared/store/open'
import { Random } from '@tidemark/testkit/random'
import { startRedisCluster } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { startRedisProcess } from '@tidemark/testkit/redis-process'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { startAnalyzer, startGateway } from '../stack/service-process.ts'
import { keyNumber, reading } from './signal.ts'

export const PARTITIONS = 16
const ALL = Array.from({ length: PARTITIONS }, (_, partition) => partition)

const WINDOW = 50
const WINDOWS_AT_ONCE = 1024

/** The timestamp of the values before the measured ones. */
const HISTORY_FROM = 1_700_000_000_000

/** Samples per measured request. An entry has a sixteenth of them. */
export const REQUEST_SAMPLES = 1000

const DRAINED_WITHIN_MS = 600_000

/** Production's durability. */
const DURABLE = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec']

export type BenchRedis = Awaited<ReturnType<typeof startBenchRedis>>

/** Starts a temporary Redis, or a cluster of several masters. */
export async function startBenchRedis(masters = 1) {
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
    signal: AbortSignal.timeout(60_000),
  })
  if (store === undefined) throw new Error('the Redis of the bench does not respond')
  starting.use(store)
  const client = starting.adopt(rawClient(url), one => one.disconnect())
  const masterClients = url.split(',').map(one => starting.adopt(new Redis(one), opened => opened.disconnect()))
  const infoOf = async (section: string, field: RegExp): Promise<number[]> =>
    (await Promise.all(masterClients.map(one => one.info(section)))).map(text => Number(field.exec(text)?.[1]))
  const pids = await infoOf('server', /process_id:(\d+)/)
  const env = { REDIS_URL: url, REDIS_CLUSTER: String(cluster), PARTITIONS: String(PARTITIONS), LOG_LEVEL: 'info' }
  const resources = starting.move()
  return {
    url,
    /** One process for each master. */
    pids,
    client,
    store,
    /** The settings of every service. */
    env,
    /** Returns the bytes allocated by all masters. */
    usedMemory: async () => (await infoOf('memory', /used_memory:(\d+)/)).reduce((sum, bytes) => sum + bytes, 0),
    async flush() {
      for (const one of masterClients) await one.flushall()
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** If BENCH_PROFILES names a folder, each service writes a CPU profile there when it ends. */
function profiling(): Readonly<Record<string, string>> {
  const folder = process.env.BENCH_PROFILES
  return folder === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${folder}` }
}

/** Starts an analyzer that keeps its leases while it is stopped, without limits. */
export function startMeasuredAnalyzer({ env }: BenchRedis) {
  const settings = { LEASE_TTL_MS: '300000', WINDOWS_BYTES_MAX: String(4 * 1024 ** 3), STORE_TIMEOUT_MS: '30000' }
  return startAnalyzer({ ...env, ...settings, ...profiling() })
}

/** Starts a gateway without limits on samples and requests, unless the settings have some. */
export function startMeasuredGateway({ env }: BenchRedis, settings: Readonly<Record<string, string>> = {}) {
  const limits = { BACKLOG_SAMPLES_MAX: '1000000000', QUEUE_SAMPLES_MAX: '1000000' }
  // autocannon keeps sending on a connection that the gateway has closed.
  const connections = { REQUESTS_PER_CONNECTION_MAX: '1000000' }
  return startGateway({ ...env, ...limits, ...connections, ...settings, ...profiling() })
}

/** Writes full windows into Redis: analysing 50 samples of each key would take far longer. */
export async function fillWindows({ client }: BenchRedis, keys: number): Promise<void> {
  const random = new Random(1)
  const row = createRow(rowShape(WINDOW, 'zscore', false))
  const encoded = new Float64Array(storedLengthMax(row.shape))
  for (let from = 0; from < keys; from += WINDOWS_AT_ONCE) {
    const rows = Array.from({ length: Math.min(keys - from, WINDOWS_AT_ONCE) }, (_, n) => {
      row.rows[COUNT] = WINDOW
      row.rows[PUSHED] = 0
      for (let i = 0; i < WINDOW; i++) pushSample(row, reading(random), HISTORY_FROM + 1000 * i)
      const length = encodeRow(row, encoded, 0)
      return { key: keyNumber(from + n), row: Buffer.from(encoded.slice(0, length).buffer) }
    })
    const writes = [...Map.groupBy(rows, ({ key }) => partitionOf(key, PARTITIONS))].map(([partition, ones]) =>
      client.hset(keysUnder('tm').partition(partition).windows, ...ones.flatMap(one => [one.key, one.row])),
    )
    await Promise.all(writes)
  }
}

/** Appends a backlog as the gateway does. Each cycle through the keys is a second later. */
export async function fillBacklog({ store }: BenchRedis, samples: number, keys: number, seed = 1): Promise<void> {
  const random = new Random(seed)
  const packer = new SamplePacker(PARTITIONS)
  const begin = HISTORY_FROM + 100_000_000 * seed
  let count = 0
  for (let done = 0; done < samples; ) {
    const requests = Array.from({ length: Math.min(8, Math.ceil((samples - done) / REQUEST_SAMPLES)) }, () => {
      for (let i = 0; i < REQUEST_SAMPLES; i++) {
        const key = keyNumber(count % keys)
        const timestamp = begin + 1000 * Math.trunc(count++ / keys)
        packer.add(partitionOf(key, PARTITIONS), { key, value: reading(random), timestamp })
      }
      return packer.take().map(packed => ({ ...packed, samples: packSubBatches([packed.samples]) }))
    })
    const outcomes = (await Promise.all(requests.map(batches => store.gateway.append(batches)))).flat()
    const failed = outcomes.find(({ kind }) => kind !== 'stored')
    if (failed !== undefined) throw new Error(`the backlog could not be appended: ${JSON.stringify(failed)}`)
    done += requests.length * REQUEST_SAMPLES
  }
}

/** Returns the number of unprocessed samples, and of samples analysed so far. */
export async function progressOf({ store }: BenchRedis): Promise<{ backlog: number; analysed: number }> {
  const partitions = await store.gateway.progress(ALL)
  const sum = (name: 'backlog' | 'analysed'): number => partitions.reduce((total, one) => total + one[name], 0)
  return { backlog: sum('backlog'), analysed: sum('analysed') }
}

/** Waits until the backlog is empty. */
export async function drained(redis: BenchRedis): Promise<void> {
  const deadline = performance.now() + DRAINED_WITHIN_MS
  while ((await progressOf(redis)).backlog > 0) {
    if (performance.now() > deadline) throw new Error(`the backlog was not drained in ${DRAINED_WITHIN_MS / 1000} s`)
    await pause(20)
  }
}
