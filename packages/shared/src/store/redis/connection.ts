import { once } from 'node:events'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { backoffMs } from '../../runtime/clock.ts'
import { redisNodes } from '../../runtime/config.ts'
import type { RedisAccess } from '../../runtime/redis-access.ts'
import { AccessDenied, StoreError } from '../ports/errors.ts'
import { accessAdvice } from './access.ts'

export interface ConnectionOptions {
  /** redis://, rediss:// or unix:///path; of a cluster some nodes, separated by commas. */
  readonly url: string
  readonly cluster: boolean
  /** The user, password and certificates beside those of the URL, as they are now. */
  readonly access: () => RedisAccess
  /** Timeout of a command, after which its outcome is unknown. */
  readonly commandTimeoutMs: number
  /** Logs errors of the connection, which recovers by itself, and unreadable stored data. */
  readonly onFailure: (error: Error) => void
}

/** For commands that do not block: fails at once while Redis is unavailable, and reconnects. */
export type Client = Redis | Cluster

const CONNECT_TIMEOUT_MS = 2000
const RECONNECT = { minMs: 20, maxMs: 1000 }

/** Opens a connection; rejects with a StoreError when Redis does not respond. */
export async function connect(options: ConnectionOptions): Promise<Client> {
  if (!options.cluster) return opened(newRedis(options), options)
  const cluster = newCluster(options)
  // ioredis connects a node at its first command and fails the next ones until it is ready, so
  // nodes are connected in advance, once the cluster is ready: its own check would fail likewise.
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

/** Resolves when the node is connected or has given up; then its commands fail. */
async function connectNode(node: Redis): Promise<void> {
  if (node.status === 'ready' || node.status === 'end') return
  const settled = Promise.race([once(node, 'ready'), once(node, 'end')])
  if (node.status === 'wait') node.connect().catch(() => undefined)
  await settled.catch(() => undefined)
}

/**
 * Returns a function that finds the connection to the node that has a partition now.
 * `partitionKeys` are any key of each.
 */
export async function clusterNodes(
  client: Cluster,
  partitionKeys: readonly string[],
): Promise<(partition: number) => Redis | undefined> {
  const slots = await Promise.all(partitionKeys.map(key => client.cluster('KEYSLOT', key)))
  return partition => {
    const [name] = client.slots[slots[partition] ?? -1] ?? []
    return client.nodes('master').find(({ options }) => `${options.host}:${options.port}` === name)
  }
}

/** Opens a connection to a single Redis for reads that block up to `blockMs`. */
export async function connectBlocking(options: ConnectionOptions, blockMs: number): Promise<Redis> {
  const client = newRedis({ ...options, commandTimeoutMs: blockMs + options.commandTimeoutMs })
  return opened(client, options)
}

/**
 * Opens a connection to a single Redis, or to a node of a cluster, that ends with its socket: it
 * never reconnects unnoticed.
 */
export async function connectOnce(options: ConnectionOptions, node?: Redis): Promise<Redis> {
  const once = { lazyConnect: true, retryStrategy: () => null, reconnectOnError: null } satisfies RedisOptions
  const client = node === undefined ? newRedis(options) : (node.duplicate(once) as Redis)
  // A node of a cluster has the password and certificates of when it was connected.
  Object.assign(client.options, once, options.access())
  return opened(client, options)
}

async function opened<T extends Client>(client: T, options: ConnectionOptions): Promise<T> {
  client.on('error', (error: Error) => options.onFailure(denialOf(error) ?? error))
  try {
    // A cluster's connect() never settles when the cluster is not ready at first: hence a timeout.
    const ready = once(client, 'ready', { signal: AbortSignal.timeout(2 * CONNECT_TIMEOUT_MS) })
    await Promise.race([client.connect(), ready])
    return client
  } catch (error) {
    client.disconnect()
    throw denialOf(error) ?? new StoreError('Redis does not respond', { kind: 'refused', cause: error })
  }
}

/** A retry may succeed even after a wrong password: it may be rotated in Redis later. */
export function denialOf(error: unknown): AccessDenied | undefined {
  const advice = accessAdvice(error)
  return advice === undefined ? undefined : new AccessDenied(advice, { kind: 'refused', cause: error })
}

function newRedis(options: ConnectionOptions): Redis {
  const common = {
    ...redisOptions(options),
    // A password or certificate that was replaced meanwhile is read again.
    retryStrategy(attempt: number) {
      useAccess()
      return reconnectDelay(attempt)
    },
  }
  const client = options.url.startsWith('unix://')
    ? new Redis({ ...common, path: options.url.slice('unix://'.length) })
    : new Redis(options.url, common)
  // ioredis would prefer what the URL says. It reads these options at each new connection.
  const useAccess = (): void => void Object.assign(client.options, options.access())
  useAccess()
  return client
}

function newCluster(options: ConnectionOptions): Cluster {
  const nodes = redisNodes(options.url)
  const { username, password, protocol } = new URL(nodes[0] ?? '')
  const { retryStrategy: _, lazyConnect: __, ...common } = redisOptions(options)
  return new Cluster(nodes, {
    lazyConnect: true,
    enableOfflineQueue: false,
    // A command without a reply is not sent again: it may have been executed.
    retryDelayOnFailover: 0,
    clusterRetryStrategy: reconnectDelay,
    slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
    // Getters: ioredis reads them for each node that it connects.
    redisOptions: {
      ...common,
      get username() {
        return options.access().username ?? decodeURIComponent(username)
      },
      get password() {
        return options.access().password ?? decodeURIComponent(password)
      },
      get tls() {
        // Undefined, which the types do not know, means no TLS.
        return (options.access().tls ?? (protocol === 'rediss:' ? {} : undefined)) as object
      },
    },
  })
}

function redisOptions({ commandTimeoutMs }: ConnectionOptions) {
  return {
    lazyConnect: true,
    // Commands fail at once while Redis is unavailable, or when their connection ends.
    // ioredis must not queue or resend anything: an append that is sent twice is stored twice.
    enableOfflineQueue: false,
    // It needs INFO, which an ACL may deny. While Redis loads, each command is refused anyway.
    enableReadyCheck: false,
    // CLIENT SETINFO, which an ACL may deny and Redis before 7.2 does not know.
    disableClientInfo: true,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: commandTimeoutMs,
    // Detects a peer that vanished without closing the connection, when a reply is overdue.
    socketTimeout: 2 * commandTimeoutMs,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: reconnectDelay,
    // After a failover the old primary is a replica; only a new connection finds the new primary.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY') || error.message.startsWith('UNBLOCKED'),
  } satisfies RedisOptions
}

function reconnectDelay(attempt: number): number {
  return backoffMs(attempt, RECONNECT, Math.random)
}

/**
 * Runs `send` and writes all its commands to a node in one system call. An ioredis pipeline takes
 * 5 us to create, and in a cluster may touch one node only.
 */
export function inOneWrite<T>(client: Client, send: () => T): T {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client]
  // A node that is connecting has no socket yet; commands to it fail at once anyway.
  const sockets = nodes.flatMap(node => (node.status === 'ready' ? [node.stream] : []))
  for (const socket of sockets) socket.cork()
  try {
    return send()
  } finally {
    for (const socket of sockets) socket.uncork()
  }
}

/**
 * Divides items of different partitions into those that one command may touch: all of them, or in
 * a cluster, where each partition has a slot of its own, one at a time.
 */
export function inOneCommand<T>(client: Client, items: readonly T[]): (readonly T[])[] {
  if (client instanceof Cluster) return items.map(one => [one])
  return items.length === 0 ? [] : [items]
}

/** Sends a request for each item in one write, and returns the results in order. */
export function eachInOneWrite<T, R>(client: Client, items: readonly T[], request: (item: T) => Promise<R>) {
  return inOneWrite(client, () => Promise.all(items.map(request)))
}
