import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from '../lib/packages.ts'
import { Child } from './child.ts'

const READY_LIMIT_MS = 60_000

/** The kernel limits a socket's path to 108 bytes on Linux, 104 on macOS, with the final zero. */
const SOCKET_PATH_MAX = 100

export type RedisChoice =
  | { readonly kind: 'given'; readonly url: string; readonly title: string }
  | { readonly kind: 'started'; readonly url: string; readonly title: string; readonly child: Child }
  | { readonly kind: 'memory'; readonly title: string }

/** Returns the given Redis, a temporary one if a server is installed, or none. */
export async function chooseRedis(given: string | undefined): Promise<RedisChoice> {
  if (given !== undefined) return { kind: 'given', url: given, title: `Redis at ${withoutSecret(given)}` }
  const program = findServer()
  if (program === undefined) return { kind: 'memory', title: 'no Redis: an in-memory store in one process' }
  return startRedis(program)
}

/** Returns the path of redis-server or valkey-server, the first of them that is on PATH. */
export function findServer(): string | undefined {
  return findProgram('redis-server', 'valkey-server')
}

/** Returns a Redis URL without its password. */
export function withoutSecret(url: string): string {
  return url.replace(/(\/\/[^/@:]*:)[^@]*@/g, '$1***@')
}

async function startRedis(program: string): Promise<RedisChoice> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-'))
  const socket = join(folder, 'redis.sock')
  if (Buffer.byteLength(socket) > SOCKET_PATH_MAX) {
    await rm(folder, { recursive: true })
    throw new Error(
      `the path of the temporary folder is too long for a socket: ${folder}. Set TMPDIR to a shorter path.`,
    )
  }
  // No TCP port, so no other user can connect; no files, so nothing stays; no eviction of keys.
  const network = ['--port', '0', '--unixsocket', socket, '--unixsocketperm', '700', '--daemonize', 'no']
  const storage = ['--dir', folder, '--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction']
  const args = [...network, ...storage]
  const child = new Child({ name: 'Redis', file: program, args, env: process.env, folder })
  await child.ready(line => /ready to accept connections/i.test(line), READY_LIMIT_MS)
  const name = program.endsWith('redis-server') ? 'Redis' : 'Valkey'
  return { kind: 'started', url: `unix://${socket}`, title: `a temporary ${name}`, child }
}
