import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { Child } from './child.ts'

const SERVERS = ['redis-server', 'valkey-server'] as const
const READY_DEADLINE_MS = 10_000
const ANSWER_DEADLINE_MS = 1000

/** The kernel's limit on a socket's path is 108 bytes on Linux and 104 on macOS, the end included. */
const SOCKET_PATH_MAX = 100

export type RedisChoice =
  | { readonly kind: 'given'; readonly url: string; readonly title: string }
  | { readonly kind: 'started'; readonly url: string; readonly title: string; readonly child: Child }
  | { readonly kind: 'memory'; readonly title: string }

/** The Redis to work with: the one that was asked for, else one for the occasion, else none. */
export async function chooseRedis(given: string | undefined): Promise<RedisChoice> {
  if (given !== undefined) return { kind: 'given', url: given, title: `Redis at ${withoutSecret(given)}` }
  const program = findServer()
  if (program === undefined) return { kind: 'memory', title: 'no Redis: kept in memory, in one process' }
  return startRedis(program)
}

/** The first Redis server on PATH. */
export function findServer(path = process.env.PATH ?? ''): string | undefined {
  const folders = path.split(delimiter).filter(folder => folder !== '')
  return SERVERS.flatMap(name => folders.map(folder => join(folder, name))).find(isExecutable)
}

/** What can be shown of a Redis URL. */
export function withoutSecret(url: string): string {
  return url.replace(/(\/\/[^/@:]*:)[^@]*@/g, '$1***@')
}

async function startRedis(program: string): Promise<RedisChoice> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-'))
  const socket = join(folder, 'redis.sock')
  if (Buffer.byteLength(socket) > SOCKET_PATH_MAX) {
    await rm(folder, { recursive: true })
    throw new Error(`the temporary folder's path is too long for a socket: ${folder}. Set TMPDIR to a shorter one.`)
  }
  // No TCP port, so nobody else reaches it; no files, so nothing outlives it; never dropping keys to make room.
  const network = ['--port', '0', '--unixsocket', socket, '--unixsocketperm', '700', '--daemonize', 'no']
  const storage = ['--dir', folder, '--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction']
  const child = new Child({
    name: 'Redis',
    file: program,
    args: [...network, ...storage, '--loglevel', 'warning'],
    env: process.env,
    folder,
  })
  await answering(child, socket)
  const name = program.endsWith(SERVERS[0]) ? 'Redis' : 'Valkey'
  return { kind: 'started', url: `unix://${socket}`, title: `a ${name} for the occasion`, child }
}

/** Resolves when the server answers PING; rejects, with its last words, when it ends or takes too long. */
async function answering(child: Child, socket: string): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS
  let hasEnded = false
  const ended = child.exited.then(() => {
    hasEnded = true
  })
  while (!hasEnded && performance.now() < deadline) {
    if (await isAnswering(socket)) return
    await Promise.race([pause(20), ended])
  }
  await child.stop()
  throw new Error(`${child.name} did not start:\n${child.lines.join('\n')}`)
}

async function isAnswering(path: string): Promise<boolean> {
  const socket = createConnection({ path })
  try {
    await once(socket, 'connect')
    socket.write('PING\r\n')
    const [answer] = await once(socket, 'data', { signal: AbortSignal.timeout(ANSWER_DEADLINE_MS) })
    return String(answer).startsWith('+PONG')
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
