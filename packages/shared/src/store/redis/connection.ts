import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { backoffMs } from '../../runtime/clock.ts'
import { StoreError } from '../ports/errors.ts'

export interface ConnectionOptions {
  /** redis://, rediss:// or unix:///path; of a cluster some nodes, separated by commas. */
  readonly url: string
  readonly cluster: boolean
  /** After this long a command counts as failed, with its outcome unknown. */
  readonly commandTimeoutMs: number
  /** Connection trouble, for the log. The connection heals itself. */
  readonly onTrouble: (error: Error) => void
}

/** A connection that runs commands and never waits in one: fails at once while Redis is away, and comes back by itself. */
export type Client = Redis | Cluster

const CONNECT_TIMEOUT_MS = 2000
const RECONNECT = { minMs: 20, maxMs: 1000 }

/** Opens a connection; rejects with a StoreError when Redis does not answer. */
export async function connect(options: ConnectionOptions): Promise<Client> {
  if (!options.cluster) return opened(newRedis(options), options)
  const cluster = newCluster(options)
  // ioredis connects a node at its first command and fails those that follow before it is ready, so nodes are connected
  // beforehand. Not before the cluster is ready: its own question whether it is would fail likewise.
  cluster.on('ready', () => void connectNodes(cluster))
  cluster.on('+node', (node: Redis) => {
    if (cluster.status === 'ready') void connectNode(node)
  })
  await opened(cluster, options)
  await connectNodes(cluster)
  return cluster
}

async function connectNodes(cluster: Cluster): Promise<void> {
  await Promise.all(cluster.nodes('all').map(connectNode))
}

/** Resolves when the node is connected, or when it turns out that it cannot be: its commands will tell. */
async function connectNode(node: Redis): Promise<void> {
  if (node.status === 'ready' || node.status === 'end') return
  const settled = Promise.race([once(node, 'ready'), once(node, 'end')])
  if (node.status === 'wait') node.connect().catch(() => undefined)
  await settled.catch(() => undefined)
}

/** Opens a connection to a single Redis for reads that wait up to `blockMs`. */
export async function connectBlocking(options: ConnectionOptions, blockMs: number): Promise<Redis> {
  const client = newRedis({ ...options, commandTimeoutMs: blockMs + options.commandTimeoutMs })
  return opened(client, options)
}

async function opened<T extends Client>(client: T, options: ConnectionOptions): Promise<T> {
  client.on('error', options.onTrouble)
  try {
    // A cluster's connect() is never settled when the cluster is not ready at first, so it gets a time.
    const ready = once(client, 'ready', { signal: AbortSignal.timeout(2 * CONNECT_TIMEOUT_MS) })
    await Promise.race([client.connect(), ready])
    return client
  } catch (error) {
    client.disconnect()
    throw new StoreError('Redis does not answer', { kind: 'refused', cause: error })
  }
}

function newRedis(options: ConnectionOptions): Redis {
  const common = redisOptions(options)
  return options.url.startsWith('unix://')
    ? new Redis({ ...common, path: options.url.slice('unix://'.length) })
    : new Redis(options.url, common)
}

function newCluster(options: ConnectionOptions): Cluster {
  const nodes = options.url.split(',')
  const { username, password, protocol } = new URL(nodes[0] ?? '')
  const { retryStrategy: _, lazyConnect: __, ...common } = redisOptions(options)
  return new Cluster(nodes, {
    lazyConnect: true,
    enableOfflineQueue: false,
    // A command that was sent and not answered is not sent again: it may have been executed.
    retryDelayOnFailover: 0,
    clusterRetryStrategy: reconnectDelay,
    slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
    redisOptions: {
      ...common,
      ...(username === '' ? {} : { username: decodeURIComponent(username) }),
      ...(password === '' ? {} : { password: decodeURIComponent(password) }),
      ...(protocol === 'rediss:' ? { tls: {} } : {}),
    },
  })
}

function redisOptions({ commandTimeoutMs }: ConnectionOptions) {
  return {
    lazyConnect: true,
    // While Redis is away a command fails at once; when a connection ends, what it had not answered fails at once.
    // Nothing is ever queued or sent again behind our back: an append that is sent twice is stored twice.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: commandTimeoutMs,
    // A peer that vanished without a word is noticed when it owes us an answer.
    socketTimeout: 2 * commandTimeoutMs,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: reconnectDelay,
    // After a fail-over the old primary answers as a replica; only a new connection finds the new one.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY') || error.message.startsWith('UNBLOCKED'),
  } satisfies RedisOptions
}

function reconnectDelay(attempt: number): number {
  return backoffMs(attempt, RECONNECT, Math.random)
}

/**
 * Runs `send`, and gives everything that it sends to the same node in one system call. ioredis' pipelines would do as much,
 * but each costs 5 us to make, and in a cluster may touch one node only.
 */
export function inOneWrite<T>(client: Client, send: () => T): T {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client]
  // A node that is being connected has no socket yet; what is sent to it fails at once anyway.
  const sockets = nodes.flatMap(node => (node.status === 'ready' ? [node.stream] : []))
  for (const socket of sockets) socket.cork()
  try {
    return send()
  } finally {
    for (const socket of sockets) socket.uncork()
  }
}

/** Our scripts and how many keys each takes; all but those that script-call.ts sends. */
const scripts = {
  claimRequest: 2,
  loadCheckpoint: 2,
  keptEntries: 2,
  noteAttempt: 2,
  withdrawAttempt: 1,
  backlog: 3,
  acquire: 1,
  renew: 1,
  release: 1,
  heartbeat: 1,
  layout: 1,
  expiredTimers: 1,
  dueNotifications: 2,
  recordNotifications: 4,
  noteDelivered: 3,
  setOperatorState: 3,
  saveStorm: 6,
  replaceRules: 2,
} as const

export type ScriptName = keyof typeof scripts
export type ScriptArgument = string | number | Buffer

/** Something that runs our scripts: a connection, or a pipeline of one. */
export type ScriptRunner = Record<ScriptName, (...args: ScriptArgument[]) => Promise<unknown>>

/**
 * Teaches `client` our scripts. ioredis sends a script's text once on each socket, its digest from then on, and the text
 * again when Redis forgot it.
 */
export function defineScripts<T extends Client>(client: T): T & ScriptRunner {
  for (const [name, numberOfKeys] of Object.entries(scripts)) {
    const file = name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
    const lua = readFileSync(new URL(`./lua/${file}.lua`, import.meta.url), 'utf8')
    client.defineCommand(name, { lua, numberOfKeys })
  }
  return client as T & ScriptRunner
}
