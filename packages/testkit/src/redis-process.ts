import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** A running server, as a process or in a container. `start` does nothing while it runs. */
export interface RunningRedis extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Starts it again on the same port with the same data. */
  start(): Promise<void>
  /** Stops it as SIGTERM does. */
  stop(): Promise<void>
  /** Stops it as SIGKILL does. */
  kill(): Promise<void>
  log(): Promise<string>
}

/**
 * Runs the command after its first argument, a folder, until a signal's name arrives on stdin, a
 * pipe. When the test ends or its process is killed, the pipe closes without one: then the server
 * is killed and the folder removed, so that nothing outlives a test.
 */
const GUARD = `
folder=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- & server=$!
if read -r signal <&3; then kill -s "$signal" $server; wait $server
else kill -s KILL $server; wait $server; rm -rf "$folder"
fi`

/**
 * Starts redis-server or valkey-server as a child process, in a temporary folder and on a free
 * port.
 */
export async function startRedisProcess(file: string, args: readonly string[]): Promise<RunningRedis> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-redis-'))
  const [port = 0, clusterPort = 0] = await freePorts(2)
  const command = [file, '--port', port, '--bind', '127.0.0.1', '--dir', folder, '--logfile', 'redis.log']
  // The cluster bus would otherwise use the port plus 10,000, which may be taken or too large.
  const all = [...command, ...args, ...(args.includes('--cluster-enabled') ? ['--cluster-port', clusterPort] : [])]

  const run = (): ChildProcess =>
    // In its own session the server does not receive Ctrl-C: the test decides the order of
    // stopping.
    spawn('sh', ['-c', GUARD, 'tidemark-guard', folder, ...all.map(String)], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
  let guard = run()

  async function end(signal?: 'TERM' | 'KILL'): Promise<void> {
    const ended = guard.exitCode === null && guard.signalCode === null ? once(guard, 'exit') : undefined
    guard.stdin?.on('error', () => {})
    guard.stdin?.end(signal === undefined ? undefined : `${signal}\n`)
    await ended
  }

  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    start: async () => {
      await end('TERM')
      guard = run()
    },
    stop: () => end('TERM'),
    kill: () => end('KILL'),
    log: () => readFile(join(folder, 'redis.log'), 'utf8').catch(() => ''),
    async [Symbol.asyncDispose]() {
      // A stopped server has no guard left that would remove the folder.
      if (guard.exitCode !== null) guard = run()
      await end()
    },
  }
}

/** Returns whether `file` is a program on PATH that runs. */
export async function isOnPath(file: string): Promise<boolean> {
  return promisify(execFile)(file, ['--version']).then(
    () => true,
    () => false,
  )
}

/** Returns free ports. All are held until all are known, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map(server => {
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  })
  await Promise.all(servers.map(server => server.close() && once(server, 'close')))
  return ports
}

/** Returns a free port. */
export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1)
  return port
}
