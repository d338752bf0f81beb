import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { openStore } from '@tidemark/shared/store/open'
import { startRedisCluster } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { startRedisProcess } from '@tidemark/testkit/redis-process'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { startService } from '../stack/service-process.ts'
import { type Subject, THIS_CODE } from './subject.ts'

const execFileAsync = promisify(execFile)

export const PARTITIONS = 16

/** Production's durability, but no rewrite of the file, which would fall into some rounds only. */
const DURABLE = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec', '--auto-aof-rewrite-percentage', '0']

/** Commands that take longer are recorded, in microseconds. */
const SLOW_US = 1000
const SLOW_KEPT = 1000
const RECORD_SLOW = ['--slowlog-log-slower-than', String(SLOW_US), '--slowlog-max-len', String(SLOW_KEPT)]

const READY_WITHIN_MS = 60_000
const DRAINED_WITHIN_MS = 600_000

export type BenchRedis = Awaited<ReturnType<typeof startBenchRedis>>

interface BenchRedisOptions {
  /** Whose services use this Redis. */
  readonly subject?: Subject
  /** More than one are a cluster. */
  readonly masters?: number
  readonly partitions?: number
}

/** Starts a temporary Redis, or a cluster of several masters. */
export async function startBenchRedis(options: BenchRedisOptions = {}) {
  const { subject = THIS_CODE, masters = 1, partitions = PARTITIONS } = options
  await using starting = new AsyncDisposableStack()
  const cluster = masters > 1
  const args = [...DURABLE, ...RECORD_SLOW]
  const { url } = starting.use(
    cluster ? await startRedisCluster({ masters, argsOf: () => args }) : await startRedisProcess('redis-server', args),
  )
  const store = await openStore({
    redis: { url, cluster, partitions, backlogMax: 1e9, commandTimeoutMs: 30_000 },
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
  const env = { REDIS_URL: url, REDIS_CLUSTER: String(cluster), PARTITIONS: String(partitions), LOG_LEVEL: 'info' }
  const resources = starting.move()
  return {
    url,
    subject,
    partitions: Array.from({ length: partitions }, (_, partition) => partition),
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
    /**
     * Takes the append-only files out of the page cache, so that what is written next reuses its
     * memory. On a virtual machine the first use of memory costs the writer: without this, Redis
     * took half as much CPU again once it had written some gigabytes.
     */
    async releaseFiles() {
      for (const one of masterClients) await releaseCached(await appendOnlyFiles(one))
    },
    async forgetSlowCommands() {
      for (const one of masterClients) await one.slowlog('RESET')
    },
    /** Returns the milliseconds of the longest command since; SLOW_US if none took longer. */
    async longestCommandMs(): Promise<number> {
      const logs = await Promise.all(masterClients.map(one => one.slowlog('GET', SLOW_KEPT)))
      const durations = (logs.flat() as [id: number, at: number, us: number][]).map(([, , us]) => us)
      return Math.max(SLOW_US, ...durations) / 1000
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function appendOnlyFiles(client: Redis): Promise<string[]> {
  const { dir = '', appenddirname = '' } = Object.fromEntries(
    (await Promise.all(['dir', 'appenddirname'].map(name => client.config('GET', name)))) as [string, string][],
  )
  const folder = join(dir, appenddirname)
  return (await readdir(folder)).map(name => join(folder, name))
}

/** GNU dd changes nothing in a file with these options. Without it, nothing is done. */
async function releaseCached(files: readonly string[]): Promise<void> {
  for (const file of files) {
    await execFileAsync('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0']).catch(() => {})
  }
}

type Settings = Readonly<Record<string, string>>

/** Starts an analyzer that keeps its leases while it is stopped, without limits. */
export function startMeasuredAnalyzer(redis: BenchRedis, settings: Settings = {}) {
  const limits = { LEASE_TTL_MS: '300000', WINDOWS_BYTES_MAX: String(4 * 1024 ** 3), STORE_TIMEOUT_MS: '30000' }
  return startMeasured('analyzer', redis, { ...limits, ...settings })
}

/** Starts a gateway without limits on samples and requests, unless the settings have some. */
export function startMeasuredGateway(redis: BenchRedis, settings: Settings = {}) {
  const limits = { BACKLOG_SAMPLES_MAX: '1000000000', QUEUE_SAMPLES_MAX: '1000000' }
  // autocannon keeps sending on a connection that the gateway has closed.
  const connections = { REQUESTS_PER_CONNECTION_MAX: '1000000' }
  return startMeasured('gateway', redis, { ...limits, ...connections, ...settings })
}

/** Starts a service of the subject. Other versions may log other lines once they are ready. */
async function startMeasured(name: 'gateway' | 'analyzer', { env, subject }: BenchRedis, settings: Settings) {
  const all = { ...env, ...settings, ...subject.settings }
  const service = await startService(name, all, { root: subject.root, readyAt: ['listening'] })
  const readiness = `http://127.0.0.1:${name === 'gateway' ? service.port : service.metricsPort}/readyz`
  const deadline = performance.now() + READY_WITHIN_MS
  while (!(await fetch(readiness)).ok) {
    if (performance.now() > deadline) {
      await service.child.stop()
      throw new Error(`the ${name} of ${subject.name} is not ready:\n${service.child.lines.join('\n')}`)
    }
    await pause(20)
  }
  return service
}

/** Returns the number of unprocessed samples, and of samples analysed so far. */
export async function progressOf({ store, partitions }: BenchRedis): Promise<{ backlog: number; analysed: number }> {
  const all = await store.gateway.progress(partitions)
  const sum = (name: 'backlog' | 'analysed'): number => all.reduce((total, one) => total + one[name], 0)
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
