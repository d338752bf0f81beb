import { pause } from '@tidemark/shared/runtime/lifecycle'
import { Redis } from 'ioredis'
import { dockerEngine, redisImage, startRedisContainer } from './docker-engine.ts'
import { isOnPath, type RunningRedis, startRedisProcess } from './redis-process.ts'

/**
 * Where a Redis for tests comes from, in the order of preference. TIDEMARK_TEST_REDIS forces one.
 */
const KINDS = ['docker', 'redis-server', 'valkey-server'] as const

export type RedisKind = (typeof KINDS)[number]

/** The append-only file keeps data across a stop, as in production. */
const ARGS_DEFAULT = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec']

/** The advice when there is no Redis. */
const REMEDY = 'install it with "apt-get install redis-server" or "brew install redis", or start a Docker engine'

const RESPONSE_WITHIN_MS = 60_000

export interface RedisFixture extends RunningRedis {
  readonly which: RedisKind
  /** `Redis 7.0.15`, `Valkey 8.1.0` */
  readonly version: string
}

export interface RedisFixtureOptions {
  /** Arguments of redis-server, after those of the fixture: later ones win. */
  readonly args?: readonly string[]
  readonly which?: RedisKind
}

/**
 * Returns whether tests that need Redis run. With CI=true they always run, and fail without Redis;
 * otherwise they are skipped without Redis, with a line that says so.
 */
export async function redisAvailable(): Promise<boolean> {
  if ((await findKind()) !== undefined || process.env.CI === 'true') return true
  say(`SKIPPED: there is no Redis for these tests: ${REMEDY}`)
  return false
}

/** The same as redisAvailable for tests that need local processes, as a cluster does. */
export async function redisClusterAvailable(): Promise<boolean> {
  if ((await findProcessKind()) !== undefined || process.env.CI === 'true') return true
  say(`SKIPPED: a cluster for tests needs redis-server on PATH: ${REMEDY}`)
  return false
}

/**
 * Starts a Redis that runs as long as the fixture, never longer than this process, and waits until
 * it responds.
 */
export async function startRedis({ args = [], which }: RedisFixtureOptions = {}): Promise<RedisFixture> {
  const kind = which ?? (await findKind())
  if (kind === undefined) throw new Error(`no Redis for tests was found: ${REMEDY}`)
  const fixture = await startKind(kind, [...ARGS_DEFAULT, ...args])
  announce(`the tests' Redis is ${fixture.version} ${kind === 'docker' ? `in Docker (${redisImage()})` : `(${kind})`}`)
  return fixture
}

async function startKind(kind: RedisKind, args: readonly string[]): Promise<RedisFixture> {
  await using starting = new AsyncDisposableStack()
  const server = starting.use(kind === 'docker' ? await startRedisContainer(args) : await startRedisProcess(kind, args))
  const url = withPassword(server.url, args)
  const version = await responding({ ...server, url })
  starting.move()
  return {
    ...server,
    url,
    which: kind,
    version,
    async start() {
      await server.start()
      await responding({ ...server, url })
    },
  }
}

/** Adds the password of `--requirepass` to a URL. */
function withPassword(url: string, args: readonly string[]): string {
  const at = args.lastIndexOf('--requirepass')
  return at < 0 ? url : url.replace('redis://', `redis://:${encodeURIComponent(args[at + 1] ?? '')}@`)
}

let found: Promise<RedisKind | undefined> | undefined

function findKind(): Promise<RedisKind | undefined> {
  found ??= forcedKind() ?? findAnyKind()
  return found
}

function forcedKind(): Promise<RedisKind> | undefined {
  const forced = process.env.TIDEMARK_TEST_REDIS
  if (forced === undefined || forced === '') return undefined
  const kind = KINDS.find(one => one === forced)
  if (kind === undefined) throw new Error(`TIDEMARK_TEST_REDIS is ${forced} and must be one of ${KINDS.join(', ')}`)
  return Promise.resolve(kind)
}

async function findAnyKind(): Promise<RedisKind | undefined> {
  const isDocker = (await dockerEngine()) !== undefined
  if (!isDocker) return findProcessKind()
  try {
    const tried = await startKind('docker', ARGS_DEFAULT)
    await tried[Symbol.asyncDispose]()
    return 'docker'
  } catch (error) {
    // An engine without access to the image is common behind a proxy; a Redis on PATH does as well.
    const kind = await findProcessKind()
    if (kind !== undefined) announce(`Docker responds but cannot run ${redisImage()} (${error}), so ${kind} is used`)
    return kind
  }
}

async function findProcessKind(): Promise<'redis-server' | 'valkey-server' | undefined> {
  const forced = process.env.TIDEMARK_TEST_REDIS
  const kinds = (['redis-server', 'valkey-server'] as const).toSorted(
    (a, b) => Number(b === forced) - Number(a === forced),
  )
  for (const kind of kinds) if (await isOnPath(kind)) return kind
  return undefined
}

/** Waits until the server responds and has loaded its data; returns its name and version. */
async function responding(server: RunningRedis): Promise<string> {
  const deadline = performance.now() + RESPONSE_WITHIN_MS
  for (;;) {
    const client = new Redis(server.url, { lazyConnect: true, retryStrategy: null, connectTimeout: 1_000 })
    client.on('error', () => {})
    try {
      await client.connect()
      const info = await client.info('server')
      const valkey = /valkey_version:(\S+)/.exec(info)?.[1]
      return valkey === undefined ? `Redis ${/redis_version:(\S+)/.exec(info)?.[1]}` : `Valkey ${valkey}`
    } catch (error) {
      if (performance.now() > deadline) {
        const log = (await server.log()).split('\n').slice(-20).join('\n')
        throw new Error(`the tests' Redis does not respond:\n${log}`, { cause: error })
      }
      await pause(10)
    } finally {
      client.disconnect()
    }
  }
}

export interface RedisClusterFixture extends AsyncDisposable {
  /** The URLs of all nodes, separated by commas. */
  readonly url: string
  /** The masters, then the replicas. */
  readonly nodes: readonly RedisFixture[]
}

export interface RedisClusterOptions {
  readonly masters?: number
  readonly replicas?: number
  /** Further arguments of a node, and a callback as soon as it runs, before it meets the others. */
  readonly argsOf?: (index: number) => readonly string[]
  readonly onStarted?: (index: number, node: RedisFixture) => void
}

/**
 * Starts a cluster of local processes, assigns the slots to the masters, and waits until all nodes
 * agree.
 */
export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisClusterFixture> {
  const { masters = 3, replicas = 0, argsOf = () => [], onStarted = () => {} } = options
  const kind = await findProcessKind()
  if (kind === undefined) throw new Error(`a cluster for tests needs redis-server on PATH: ${REMEDY}`)
  await using starting = new AsyncDisposableStack()
  const args = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '2000']
  const started = await Promise.allSettled(
    Array.from({ length: masters + replicas }, (_, i) => startKind(kind, [...ARGS_DEFAULT, ...args, ...argsOf(i)])),
  )
  const nodes: RedisFixture[] = []
  for (const result of started) if (result.status === 'fulfilled') nodes.push(starting.use(result.value))
  const failure = started.find(result => result.status === 'rejected')
  if (failure !== undefined) throw failure.reason
  for (const [i, node] of nodes.entries()) onStarted(i, node)

  using clients = new DisposableStack()
  const members = nodes.map(node => clients.adopt(new Redis(node.url), client => client.disconnect()))
  await form(members, masters)
  announce(`the tests' cluster is ${masters} masters and ${replicas} replicas of ${nodes[0]?.version} (${kind})`)
  const resources = starting.move()
  return {
    url: nodes.map(({ url }) => url).join(','),
    nodes,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

const SLOTS = 16_384

async function form(members: readonly Redis[], masters: number): Promise<void> {
  await Promise.all(
    members.slice(0, masters).map(async (client, index) => {
      const first = Math.floor((index * SLOTS) / masters)
      const next = Math.floor(((index + 1) * SLOTS) / masters)
      await client.cluster('ADDSLOTSRANGE', first, next - 1)
      // Without different epochs the nodes would first have to resolve collisions.
      await client.cluster('SET-CONFIG-EPOCH', index + 1)
    }),
  )
  const [seed, ...others] = members
  for (const other of others) {
    const { host = '', port = 0 } = other.options
    const [busPort] = (await other.config('GET', 'cluster-port')).slice(1)
    await seed?.call('CLUSTER', 'MEET', host, port, String(busPort))
  }
  await everyMember(members, async client => (await nodesOf(client)).trim().split('\n').length === members.length)
  const ids = await Promise.all(members.map(client => client.cluster('MYID')))
  await Promise.all(
    members.slice(masters).map(async (client, index) => {
      const id = String(ids[index % masters])
      await everyMember([client], async () => (await nodesOf(client)).includes(id))
      await client.cluster('REPLICATE', id)
    }),
  )
  await everyMember(members, async client => String(await client.cluster('INFO')).includes('cluster_state:ok'))
}

async function nodesOf(client: Redis): Promise<string> {
  return String(await client.cluster('NODES'))
}

async function everyMember(members: readonly Redis[], holds: (client: Redis) => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + RESPONSE_WITHIN_MS
  for (const client of members) {
    while (!(await holds(client))) {
      if (performance.now() > deadline) throw new Error(`the tests' cluster does not form`)
      await pause(20)
    }
  }
}

const announced = new Set<string>()

/** Prints the line once per process. */
function announce(line: string): void {
  if (announced.has(line)) return
  announced.add(line)
  say(line)
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}
